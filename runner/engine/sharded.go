package engine

import "ablate/runner/graph"

// A sharded tensor is a tensor as devices hold it: a copy on each, or cut into parts.
type sharded struct {
	shape    []int // of the whole tensor; of one chunk where the parts are chunks of a batch
	sharding graph.Sharding
	parts    []Tensor // equal copies if the tensor is not divided
}

func (s sharded) len() int {
	if s.sharding.Whole() {
		return Tensor{Shape: s.shape}.Len()
	}
	return s.sharding.Len()
}

// write sets the values from index first onwards, in every copy.
func (s sharded) write(first int, values []float32) error {
	if s.sharding.Whole() {
		for _, t := range s.parts {
			if err := t.Mem.Write(t.Off+first, values); err != nil {
				return err
			}
		}
		return nil
	}
	return s.each(first, len(values), func(t Tensor, off, at, n int) error {
		return t.Mem.Write(t.Off+off, values[at:at+n])
	})
}

// read copies the values from the first onwards to the host.
func (s sharded) read(to []float32) error {
	return s.each(0, len(to), func(t Tensor, off, at, n int) error { return t.Mem.Read(t.Off+off, to[at:at+n]) })
}

// each calls f for every contiguous run of values in a part. The first error ends it.
func (s sharded) each(first, n int, f func(t Tensor, off, at, n int) error) error {
	var err error
	s.sharding.Runs(len(s.parts), first, n, func(part, off, at, n int) {
		if err == nil {
			err = f(s.parts[part], off, at, n)
		}
	})
	return err
}
