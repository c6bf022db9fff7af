// Subject says about itself what the reader of executables has to find out: where its functions are, and how
// its types are laid out. Each line is a statement, its words set apart by tabs.
package main

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"unsafe"

	named "example.test/subject/odd"
	one "example.test/subject/one/v1"
	two "example.test/subject/two/v1"
)

type receiver struct{ calls int }

//go:noinline
func (r *receiver) pointer() int { r.calls++; return r.calls }

//go:noinline
func (r receiver) value() int { return r.calls }

//go:noinline
func generic[T any](value T) T {
	runtime.KeepAlive(value)
	return value
}

//go:noinline
func closure(by int) func(int) int {
	return func(value int) int { return value + by }
}

//go:noinline
func first() interface{} {
	type local struct{ A int64 }
	return local{}
}

//go:noinline
func second() interface{} {
	type local struct{ B, C int64 }
	return local{}
}

// Too small to be called: its code is within that of main, and nowhere else.
func small(value int) int { return value + 1 }

func main() {
	r := &receiver{}
	for _, function := range []interface{}{
		(*receiver).pointer, receiver.value, r.pointer, closure, closure(1), first, second, main, strings.Split, fmt.Println,
		(*named.Ledger).Add,
	} {
		describeFunction(runtime.FuncForPC(reflect.ValueOf(function).Pointer()))
	}
	for _, value := range []interface{}{
		one.Pod{}, &one.Pod{}, one.Meta{}, one.UID(""), one.Status{}, one.Spec{}, one.Container{}, one.Owner{},
		two.Pod{}, &two.Pod{},
		named.Sized[int64]{}, named.Sized[one.Pod]{}, &named.Ledger{},
		receiver{}, &receiver{}, reflect.Value{}, "", byte(0),
	} {
		describeType(value)
	}
	fmt.Sprint(generic(int8(1)), generic("2"), reflect.ValueOf(generic[int8]), reflect.ValueOf(generic[string]))
	var adder named.Adder = &named.Ledger{}
	if _, err := adder.Add(fmt.Sprint(first(), second()), int64(small(r.pointer()+r.value()))); err != nil {
		panic(err)
	}
	method, _ := reflect.TypeOf(adder).MethodByName("Add")
	fmt.Println("method\t" + strings.Join(signature(method.Type), "\t"))
}

func describeFunction(function *runtime.Func) {
	code := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), function.Entry())), 16)
	fmt.Printf("function\t%s\t%d\t%s\n", function.Name(), function.Entry(), hex.EncodeToString(code))
}

func describeType(value interface{}) {
	t := reflect.TypeOf(value)
	address := *(*uintptr)(unsafe.Pointer(&value))
	fmt.Printf("type\t%s\t%d\t%d\n", name(t), address, t.Size())
	if t.Kind() != reflect.Struct {
		return
	}
	for i := 0; i < t.NumField(); i++ {
		field := t.Field(i)
		fmt.Printf("field\t%s\t%s\t%d\t%s\t%t\n", name(t), field.Name, field.Offset, name(field.Type), field.Anonymous)
	}
}

// The full name of a named type and of the pointer to one, otherwise as Go writes it.
func name(t reflect.Type) string {
	switch {
	case t.PkgPath() != "":
		return t.PkgPath() + "." + t.Name()
	case t.Kind() == reflect.Ptr && t.Elem().PkgPath() != "":
		return "*" + name(t.Elem())
	}
	return t.String()
}

// The parameters and results of a method, without its receiver.
func signature(t reflect.Type) []string {
	var words []string
	for i := 1; i < t.NumIn(); i++ {
		words = append(words, "in "+t.In(i).String())
	}
	for i := 0; i < t.NumOut(); i++ {
		words = append(words, "out "+t.Out(i).String())
	}
	return words
}
