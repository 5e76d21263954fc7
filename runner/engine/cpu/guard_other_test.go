//go:build !linux

package cpu

import "testing"

// guarded returns n values. Systems other than Linux check only writes, by the values beside the
// operands.
func guarded(_ testing.TB, n int, _ bool) []float32 { return make([]float32, n) }
