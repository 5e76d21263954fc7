//go:build !linux

package cpu

import "testing"

// guarded returns n values; other systems check the bounds of writes by their neighbours' values only.
func guarded(_ testing.TB, n int, _ bool) []float32 { return make([]float32, n) }
