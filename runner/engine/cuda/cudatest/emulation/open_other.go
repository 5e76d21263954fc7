//go:build !linux

package emulation

// open is never called: New requires Linux.
func open(string) (*GPU, error) { return nil, ErrNoCompiler }
