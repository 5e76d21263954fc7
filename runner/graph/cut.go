package graph

import "gorgonia.org/tensor"

// A Cut divides a tensor among devices. It reads the tensor as [Outer, Length,
// Inner] and gives each device a block of the middle axis. The zero Cut leaves it whole.
type Cut struct{ Outer, Length, Inner int }

// Whole says that nothing is cut.
func (c Cut) Whole() bool { return c == Cut{} }

// Len is the number of values of the whole tensor; a Cut that leaves it whole does not know.
func (c Cut) Len() int { return c.Outer * c.Length * c.Inner }

// Block gives the block of the axis that is part i's of so many.
func (c Cut) Block(i, of int) (first, n int) {
	first = i * c.Length / of
	return first, (i+1)*c.Length/of - first
}

// Runs calls f for every stretch of the whole tensor's values [first, first+n)
// that lies together in one of so many parts: n values from off in the part on,
// at from first on.
func (c Cut) Runs(of, first, n int, f func(part, off, at, n int)) {
	if c.Whole() {
		f(0, first, 0, n)
		return
	}
	row := c.Length * c.Inner
	for done := 0; done < n; {
		outer, in := (first+done)/row, (first+done)%row
		part := ((in/c.Inner+1)*of - 1) / c.Length
		start, length := c.Block(part, of)
		take := min((start+length)*c.Inner-in, n-done)
		f(part, outer*length*c.Inner+in-start*c.Inner, done, take)
		done += take
	}
}

// lastAxis cuts channels: the last axis of activations, weights and biases.
func lastAxis(s tensor.Shape) Cut {
	if len(s) == 0 {
		return Cut{}
	}
	last := s[len(s)-1]
	return Cut{Outer: s.TotalSize() / last, Length: last, Inner: 1}
}

// ByChannels is how a parameter is divided when each device has a column: by the layer's channels.
func (p Param) ByChannels() Cut {
	return Cut{Outer: tensor.Shape(p.Shape).TotalSize() / p.Channels, Length: p.Channels, Inner: 1}
}
