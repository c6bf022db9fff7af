// Package named has another name than the last part of its path.
package named

// Sized has a length that depends on its type argument.
type Sized[T any] struct {
	Before bool
	Value  T
}

// Ledger has a method that only an interface calls.
type Ledger struct{ total int }

// Add may be called through an interface.
//
//go:noinline
func (l *Ledger) Add(name string, amounts ...int64) (int, error) {
	l.total += len(name) + len(amounts)
	return l.total, nil
}

// Adder keeps the signature of Add in the executable.
type Adder interface {
	Add(name string, amounts ...int64) (int, error)
}
