//go:build !linux

package emulation

// open is not reached: New wants Linux.
func open(string) (*GPU, error) { return nil, ErrNoCompiler }
