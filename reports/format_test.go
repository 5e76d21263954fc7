package reports

import (
	"fmt"
	"math"
	"testing"
)

func ExampleAt_String() {
	at, err := ParseAt("epoch:30")
	fmt.Println(at, err)
	// Output: epoch:30 <nil>
}

func TestFigures(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{metrics[0].Signed(0.0071), "+0.71"}, {metrics[0].Signed(-0.0017), "−0.17"},
		{metrics[0].Signed(0.00001), "0.00"}, {metrics[0].Signed(-0.00001), "0.00"},
		{metrics[2].Signed(-1.23456), "−1.2346"}, {metrics[2].Signed(1e-9), "0.0000"},
		{seedList([]uint64{1}), "seed 1"}, {seedList([]uint64{1, 2}), "seeds 1, 2"},
		{seedList([]uint64{1, 2, 3, 7, 9, 10, 11}), "seeds 1–3, 7, 9–11"},
		{seedList([]uint64{math.MaxUint64 - 1, math.MaxUint64}), "seeds 18446744073709551614, 18446744073709551615"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
