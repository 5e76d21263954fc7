//go:build !amd64 || noasm

package cpu

// isas returns the kernels that this CPU can run, the fastest first.
func isas() []*isa { return []*isa{&goISA} }
