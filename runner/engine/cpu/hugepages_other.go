//go:build !linux

package cpu

// hugePages is a wish that only Linux hears.
func hugePages([]float32) {}
