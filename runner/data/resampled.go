package data

import "ablate/runner/random"

// resampled returns the data set with held-out images that are drawn from the seed, as many as it holds out. It
// is the largest source of variance that Bouthillier et al. found ("Accounting for variance in machine learning
// benchmarks", MLSys 2021), which a fixed split leaves out of every interval.
func (ds *Dataset) resampled(seed uint64) *Dataset {
	left := ds.Train.Len()
	all := union{[2]Split{ds.Train, ds.Validation}, ds.Shape.Len()}
	order := random.New(seed, "data/split").Perm(0, left+ds.Validation.Len())
	drawn := *ds
	drawn.Train, drawn.Validation = all.pick(order[:left]), all.pick(order[left:])
	drawn.Mean, drawn.Colour = nil, nil // they were of other images
	return &drawn
}

// A union is two splits as one, images of a size in bytes.
type union struct {
	of   [2]Split
	size int
}

// at finds image i of the union in its split.
func (u union) at(i int) (Split, int) {
	if n := u.of[0].Len(); i >= n {
		return u.of[1], i - n
	}
	return u.of[0], i
}

// pick is the split of some of the images.
func (u union) pick(order []int32) Split {
	labels := make([]int32, len(order))
	for i, at := range order {
		split, j := u.at(int(at))
		labels[i] = split.Labels[j]
	}
	return Split{Labels: labels, stored: picked{u, order}}
}

// picked are some images of a union, in an order of their own.
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

// digest is empty: what is recorded is that of all training images, which the seed cuts in two.
func (p picked) digest(int) string { return "" }
