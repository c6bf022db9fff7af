// Package v1 shares its name with another package, as versions of Kubernetes APIs do.
package v1

// Meta is embedded by value.
type Meta struct {
	Name, Namespace string
	UID             UID
	Labels          map[string]string
}

// UID is a named string.
type UID string

// Pod has what the structs of Kubernetes consist of.
type Pod struct {
	Kind byte
	Meta
	*Status
	Spec   Spec
	Owners [3]Owner
	Ready  chan bool
	any    interface{}
}

// Status is embedded by pointer.
type Status struct{ Phase int32 }

// Spec is reached only as a field, and what it lists only through it.
type Spec struct {
	Containers []Container
	Hook       func(*Pod, error) bool
}

// Container is reached only through a slice.
type Container struct {
	Image string
	Ports []uint16
}

// Owner is reached only through an array.
type Owner struct{ Kind, Name string }
