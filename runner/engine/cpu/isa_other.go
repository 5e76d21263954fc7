//go:build !amd64 || noasm

package cpu

// isas are the kernels this CPU can run, the fastest first.
func isas() []*isa { return []*isa{&goISA} }
