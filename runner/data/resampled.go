package data

import "ablate/runner/random"

// resampled returns the data set with held-out images that are drawn from the seed, in the same
// number. Their choice is the largest source of variance that Bouthillier et al. found
// ("Accounting for variance in machine learning benchmarks", MLSys 2021); with a fixed split, no
// interval includes it.
func (ds *Dataset) resampled(seed uint64) *Dataset {
	left := ds.Train.Len()
	all := union{[2]Split{ds.Train, ds.Validation}, ds.Shape.Len()}
	order := random.New(seed, "data/split").Perm(0, left+ds.Validation.Len())
	drawn := *ds
	drawn.Train, drawn.Validation = all.pick(order[:left]), all.pick(order[left:])
	drawn.Mean, drawn.Colour = nil, nil // they described other images
	return &drawn
}

// A union joins two splits, with images of a size in bytes.
type union struct {
	of   [2]Split
	size int
}

// at returns the split and the index in it of image i of the union.
func (u union) at(i int) (Split, int) {
	if n := u.of[0].Len(); i >= n {
		return u.of[1], i - n
	}
	return u.of[0], i
}

// pick returns a split of some of the images, in the given order.
func (u union) pick(order []int32) Split {
	labels := make([]int32, len(order))
	for i, at := range order {
		split, j := u.at(int(at))
		labels[i] = split.Labels[j]
	}
	return Split{Labels: labels, stored: picked{u, order}}
}

// A picked holds some images of a union, in an order of its own.
type picked struct {
	union
	order []int32
}

func (p picked) image(i int, buf []byte) ([]byte, error) {
	split, j := p.at(int(p.order[i]))
	return split.Image(j, p.size, buf)
}

func (p picked) name(i int) string {
	split, j := p.at(int(p.order[i]))
	return split.Name(j)
}

// digest returns "": the record has the digest of all training images, which the seed divides.
func (p picked) digest(int) string { return "" }
