// Package v1 shares its name with another package, as versions of Kubernetes APIs do.
package v1

// Pod is another type than that of the other package.
type Pod struct {
	Padding [7]byte
	Other   uint64
}
