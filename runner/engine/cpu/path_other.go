//go:build !amd64 || noasm

package cpu

// paths are the kernels this CPU can run, the fastest first.
func paths() []*path { return []*path{&goPath} }
