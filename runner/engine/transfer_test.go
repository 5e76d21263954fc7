package engine

import (
	"slices"
	"testing"

	"ablate/runner/graph"
)

// part copies a device's part of a whole tensor, value by value, by the definition of a cut.
func part(c graph.Sharding, i, of int, whole []float32) []float32 {
	if c.Whole() {
		return slices.Clone(whole)
	}
	var out []float32
	first, n := c.Block(i, of)
	for j, v := range whole {
		if l := j / c.Inner % c.Length; l >= first && l < first+n {
			out = append(out, v)
		}
	}
	return out
}

// A gather gives every device its part, whichever way the tensor was cut before.
func TestMovesGiveEveryDeviceItsPart(t *testing.T) {
	const size = 3 * 4 * 5
	cuts := []graph.Sharding{{}, {Outer: 1, Length: size, Inner: 1}, {Outer: 12, Length: 5, Inner: 1},
		{Outer: 3, Length: 4, Inner: 5}, {Outer: 1, Length: 3, Inner: 20}}
	whole := make([]float32, size)
	for i := range whole {
		whole[i] = float32(i + 1)
	}
	for _, from := range cuts {
		for _, to := range cuts {
			if from.Whole() && to.Whole() {
				continue
			}
			for of := 1; of <= 4; of++ {
				for d := range of {
					m := Gather{From: from, To: to, Part: d, Of: of}
					want := part(to, d, of, whole)
					got := make([]float32, len(want))
					var foreign int64
					m.Stretches(func(s Stretch) {
						in := whole
						if !from.Whole() {
							in = part(from, s.Part, of, whole)
						}
						copy(got[s.To:s.To+s.N], in[s.From:s.From+s.N])
						if !from.Whole() && s.Part != d {
							foreign += 4 * int64(s.N)
						}
					})
					if !slices.Equal(got, want) {
						t.Fatalf("%+v: %v, want %v", m, got, want)
					}
					if m.moved() != foreign {
						t.Fatalf("%+v moves %d bytes from others, says %d", m, foreign, m.moved())
					}
				}
			}
		}
	}
}

// In place, a device's own values stay where they are.
func TestMovesInPlaceLeaveOwnValues(t *testing.T) {
	c := graph.Sharding{Outer: 1, Length: 10, Inner: 1}
	for d := range 3 {
		n := 0
		Gather{From: c, Part: d, Of: 3, InPlace: true}.Stretches(func(s Stretch) {
			if s.Part == d {
				t.Errorf("device %d copies its own values %+v", d, s)
			}
			n += s.N
		})
		if _, own := c.Block(d, 3); n != 10-own {
			t.Errorf("device %d copies %d values of others, has %d of 10", d, n, own)
		}
	}
}
