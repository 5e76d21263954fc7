package graph

import "gorgonia.org/tensor"

// A Sharding divides a tensor among devices. It reads the tensor as [Outer, Length, Inner] and
// assigns a block of the middle axis to each device. The zero Sharding does not divide it.
type Sharding struct{ Outer, Length, Inner int }

// Whole reports whether the tensor is not divided.
func (c Sharding) Whole() bool { return c == Sharding{} }

// Len returns the number of values of the whole tensor; it is not known for the zero Sharding.
func (c Sharding) Len() int { return c.Outer * c.Length * c.Inner }

// Block returns the range of the axis that belongs to device i of several.
func (c Sharding) Block(i, of int) (first, n int) {
	first = i * c.Length / of
	return first, (i+1)*c.Length/of - first
}

// Runs calls f for every contiguous stretch of the values [first, first+n) of the whole tensor
// that lies in one of several parts. The stretch has n values. It starts at value off of the part,
// and at value at of the requested range.
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

// lastAxis divides by channels: the last axis of activations, weights and biases.
func lastAxis(s tensor.Shape) Sharding {
	if len(s) == 0 {
		return Sharding{}
	}
	last := s[len(s)-1]
	return Sharding{Outer: s.TotalSize() / last, Length: last, Inner: 1}
}

// ByChannels returns how a parameter is divided if each device has a column: by the layer's
// channels.
func (p Param) ByChannels() Sharding {
	return Sharding{Outer: tensor.Shape(p.Shape).TotalSize() / p.Channels, Length: p.Channels, Inner: 1}
}
