package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A divisor divides exactly, at the edges of its range and between.
func TestDivisor(t *testing.T) {
	divisors := []int{1, 2, 3, 5, 7, 96, 641, 4095, 4096, 4097, 1<<30 - 1, 1 << 30, 1<<30 + 1, math.MaxInt32 - 1,
		math.MaxInt32}
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		divisors = append(divisors, 1+r.IntN(1<<(1+r.IntN(30))))
	}
	for _, d := range divisors {
		s := divisor(d)
		over := func(n int) int { // as prelude.cu has it
			return int((uint32(uint64(n)*uint64(uint32(s[1]))>>32) + uint32(n)) >> uint32(s[2]))
		}
		try := []int{0, 1, math.MaxInt32 - 1, math.MaxInt32}
		for range 50 {
			m := r.IntN(math.MaxInt32/d + 1)
			try = append(try, r.IntN(math.MaxInt32), m*d, max(m*d-1, 0), min(m*d+1, math.MaxInt32))
		}
		for _, n := range try {
			if over(n) != n/d {
				t.Fatalf("%d / %d = %d, not %d", n, d, over(n), n/d)
			}
		}
	}
}
