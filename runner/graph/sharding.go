package graph

import "gorgonia.org/tensor"

// A Sharding divides a tensor among devices. It reads the tensor as [Outer, Length,
// Inner] and leaves a block of the middle axis to each device. The zero Sharding leaves it whole.
type Sharding struct{ Outer, Length, Inner int }

// Whole says that nothing is cut.
func (c Sharding) Whole() bool { return c == Sharding{} }

// Len is the number of values of the whole tensor; a Sharding that leaves it whole does not know.
func (c Sharding) Len() int { return c.Outer * c.Length * c.Inner }

// Block is the part of the axis that device i of several has.
func (c Sharding) Block(i, of int) (first, n int) {
	first = i * c.Length / of
	return first, (i+1)*c.Length/of - first
}

// Runs calls f for every stretch of the whole tensor's values [first, first+n)
// that lies together in one of several parts: n values from off in the part on,
// at from first on.
func (c Sharding) Runs(of, first, n int, f func(part, off, at, n int)) {
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
func lastAxis(s tensor.Shape) Sharding {
	if len(s) == 0 {
		return Sharding{}
	}
	last := s[len(s)-1]
	return Sharding{Outer: s.TotalSize() / last, Length: last, Inner: 1}
}

// ByChannels is how a parameter is divided when each device has a column: by the layer's channels.
func (p Param) ByChannels() Sharding {
	return Sharding{Outer: tensor.Shape(p.Shape).TotalSize() / p.Channels, Length: p.Channels, Inner: 1}
}
