//go:build !linux

package cpu

// hugePages does nothing: only Linux takes the request.
func hugePages([]float32) {}
