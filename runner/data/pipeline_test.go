package data

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"ablate/arch"
	"ablate/recipe"
)

// numbered returns a data set of n training and m test images. Values differ from image to image:
// value v of image i is i + 10·v, and its label is i%10.
func numbered(n, m int, shape arch.Shape) *Dataset {
	split := func(n int) (s Split) {
		for i := range n {
			s.Labels = append(s.Labels, int32(i%10))
			for v := range shape.Len() {
				s.Images = append(s.Images, byte(i+10*v))
			}
		}
		return s
	}
	return &Dataset{Name: "numbered", Classes: make([]string, 10), Shape: shape, Train: split(n), Test: split(m)}
}

var raw = recipe.Data{Mean: "none", Scale: 1}

func newPipeline(t *testing.T, ds *Dataset, cfg recipe.Data, batch int, seed uint64) *Pipeline {
	t.Helper()
	p, err := NewPipeline(t.Context(), ds, cfg, batch, seed)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// all reads a reader to its end and copies the batches.
func all(t *testing.T, r *Reader) []Batch {
	t.Helper()
	defer r.Close()
	var batches []Batch
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			return batches
		}
		if err != nil {
			t.Fatal(err)
		}
		c := *b
		c.X, c.Y, c.Other, c.Indices = slices.Clone(b.X), slices.Clone(b.Y), slices.Clone(b.Other), slices.Clone(b.Indices)
		c.Images.Pixels, c.Images.Transforms = slices.Clone(b.Images.Pixels), slices.Clone(b.Images.Transforms)
		batches = append(batches, c)
	}
}

// images returns what an epoch showed of each image.
func images(batches []Batch) map[int32][]float32 {
	seen := map[int32][]float32{}
	for _, b := range batches {
		size := len(b.X) / len(b.Y)
		for j := range b.N {
			seen[b.Indices[j]] = b.X[j*size : (j+1)*size]
		}
	}
	return seen
}

func equal(a, b []Batch) bool {
	return slices.EqualFunc(a, b, func(a, b Batch) bool {
		return slices.Equal(a.X, b.X) && slices.Equal(a.Y, b.Y) && a.N == b.N && a.First == b.First &&
			slices.Equal(a.Indices, b.Indices)
	})
}

var augmented = recipe.Data{Mean: "image", Scale: 0.5, Pad: 1, Crop: 4, Flip: true}

func TestTrainIsAFunctionOfSeedAndEpoch(t *testing.T) {
	ds := numbered(23, 3, arch.Shape{Height: 4, Width: 4, Channels: 3})
	read := func(seed uint64, epoch, from int) []Batch {
		return all(t, newPipeline(t, ds, augmented, 5, seed).Train(t.Context(), epoch, from))
	}
	first := read(1, 0, 0)
	if len(first) != 4 {
		t.Fatalf("%d batches of 5 from 23 images, want 4", len(first))
	}
	if !equal(first, read(1, 0, 0)) {
		t.Error("the same seed and epoch gave other batches")
	}
	if !equal(first[2:], read(1, 0, 2)) {
		t.Error("reading from batch 2 differs from the whole epoch's")
	}
	if equal(first, read(2, 0, 0)) || equal(first, read(1, 1, 0)) {
		t.Error("another seed or epoch gave the same batches")
	}
	if rest := read(1, 0, 4); len(rest) != 0 {
		t.Errorf("%d batches after the last", len(rest))
	}
	seen := map[int32]bool{}
	for _, b := range first {
		for j, i := range b.Indices {
			if seen[i] {
				t.Errorf("image %d twice in an epoch", i)
			}
			seen[i] = true
			if b.Y[j] != float32(i%10) {
				t.Errorf("image %d has label %v", i, b.Y[j])
			}
		}
	}
}

func TestAugmentationBelongsToTheImage(t *testing.T) {
	ds := numbered(24, 1, arch.Shape{Height: 4, Width: 4, Channels: 1})
	small := images(all(t, newPipeline(t, ds, augmented, 2, 9).Train(t.Context(), 3, 0)))
	large := images(all(t, newPipeline(t, ds, augmented, 12, 9).Train(t.Context(), 3, 0)))
	if len(small) != 24 || len(large) != 24 {
		t.Fatalf("%d and %d images", len(small), len(large))
	}
	for i, x := range small {
		if !slices.Equal(x, large[i]) {
			t.Errorf("image %d was cut or turned otherwise in larger batches", i)
		}
	}
	ds.Train, _ = ds.Train.first(20, "train", ds.Shape.Len())
	plain := augmented
	plain.Mean = "none"
	fewer := images(all(t, newPipeline(t, ds, plain, 5, 9).Train(t.Context(), 3, 0)))
	for i, x := range images(all(t, newPipeline(t, numbered(24, 1, ds.Shape), plain, 2, 9).Train(t.Context(), 3, 0))) {
		if y, ok := fewer[i]; ok && !slices.Equal(x, y) {
			t.Errorf("image %d was cut or turned otherwise in a smaller set", i)
		}
	}
}

// Every crop and flip that should occur does occur, and no other.
func TestCropsAndFlips(t *testing.T) {
	ds := &Dataset{Shape: arch.Shape{Height: 2, Width: 2, Channels: 1},
		Train: Split{Images: []byte{1, 2, 3, 4}, Labels: []int32{0}}}
	bordered := [4][4]float32{1: {0, 1, 2, 0}, 2: {0, 3, 4, 0}}
	for _, k := range []struct {
		flip  bool
		views int
	}{{false, 9}, {true, 18}} {
		want := map[[4]float32]bool{}
		for y := range 3 {
			for x := range 3 {
				a, b, c, d := bordered[y][x], bordered[y][x+1], bordered[y+1][x], bordered[y+1][x+1]
				want[[4]float32{a, b, c, d}] = true
				if k.flip {
					want[[4]float32{b, a, d, c}] = true
				}
			}
		}
		p := newPipeline(t, ds, recipe.Data{Mean: "none", Scale: 1, Pad: 1, Crop: 2, Flip: k.flip}, 1, 4)
		got := map[[4]float32]int{}
		for epoch := range 400 {
			for _, b := range all(t, p.Train(t.Context(), epoch, 0)) {
				view := [4]float32(b.X)
				if !want[view] {
					t.Fatalf("flip %v: %v is no crop of the bordered image", k.flip, view)
				}
				got[view]++
			}
		}
		if len(got) != len(want) {
			t.Errorf("flip %v: %d of %d views seen in 400 epochs", k.flip, len(got), len(want))
		}
	}
}

func TestMean(t *testing.T) {
	ds := numbered(40, 1, arch.Shape{Height: 2, Width: 3, Channels: 2})
	for _, k := range []struct {
		mean  string
		group func(value int) int // values that share a mean
	}{
		{"image", func(v int) int { return v }},
		{"channel", func(v int) int { return v % 2 }},
	} {
		cfg := recipe.Data{Mean: k.mean, Scale: 0.25}
		sums, left := map[int]float64{}, []float32(nil)
		for i, x := range images(all(t, newPipeline(t, ds, cfg, 8, 1).Train(t.Context(), 0, 0))) {
			for v := range x {
				sums[k.group(v)] += float64(x[v])
			}
			if i == 7 {
				left = x
			}
		}
		for group, sum := range sums {
			if math.Abs(sum) > 1e-3 {
				t.Errorf("%s: the mean was subtracted, but group %d adds up to %v", k.mean, group, sum)
			}
		}
		// Within a group, differences between values are the pixels' times the scale.
		if k.mean == "channel" && left[2]-left[0] != 20*0.25 {
			t.Errorf("pixels 20 apart came out %v apart at scale 0.25", left[2]-left[0])
		}
	}
	for i, x := range images(all(t, newPipeline(t, ds, raw, 8, 1).Train(t.Context(), 0, 0))) {
		for v := range x {
			if x[v] != float32(i)+10*float32(v) {
				t.Fatalf("mean none: value %d of image %d is %v", v, i, x[v])
			}
		}
	}
}

func TestTestImages(t *testing.T) {
	ds := numbered(10, 7, arch.Shape{Height: 4, Width: 4, Channels: 1})
	p := newPipeline(t, ds, recipe.Data{Mean: "none", Scale: 1, Crop: 2, Flip: true}, 3, 1)
	if p.Shape() != (arch.Shape{Height: 2, Width: 2, Channels: 1}) {
		t.Fatalf("shape %v after a crop of 2", p.Shape())
	}
	batches := all(t, p.Test(t.Context(), recipe.CentreCrop))
	next := int32(0)
	for _, b := range batches {
		if b.First != int(next) {
			t.Errorf("First is %d, want %d", b.First, next)
		}
		for j := range b.N {
			i := float32(next)
			// values 5, 6, 9, 10 are the centre
			if want := []float32{i + 50, i + 60, i + 90, i + 100}; !slices.Equal(b.X[j*4:j*4+4], want) {
				t.Errorf("image %v is %v, want its centre %v", i, b.X[j*4:j*4+4], want)
			}
			if b.Indices[j] != next || b.Y[j] != i {
				t.Errorf("image %d: index %d, label %v", next, b.Indices[j], b.Y[j])
			}
			next++
		}
	}
	last := batches[len(batches)-1]
	if next != 7 || len(batches) != 3 || last.N != 1 {
		t.Fatalf("%d images in %d batches, %d in the last", next, len(batches), last.N)
	}
	if slices.ContainsFunc(last.X[4:], func(x float32) bool { return x != 0 }) || last.Y[1] != 0 || last.Y[2] != 0 {
		t.Errorf("the last batch is not filled with zeros: %v, %v", last.X, last.Y)
	}
}

func TestPipelineRefuses(t *testing.T) {
	ds := numbered(10, 2, arch.Shape{Height: 4, Width: 4, Channels: 1})
	for _, k := range []struct {
		cfg   recipe.Data
		batch int
		says  string
	}{
		{raw, 11, "train.batch is 11, data numbered has 10 training images"},
		{raw, 0, "train.batch is 0"},
		{recipe.Data{Crop: 5}, 1, "data.crop is 5, images are 4×4 with their border"},
		{recipe.Data{Pad: 2}, 1, "data.pad is 2 without data.crop"},
	} {
		if _, err := NewPipeline(t.Context(), ds, k.cfg, k.batch, 1); err == nil || !strings.Contains(err.Error(), k.says) {
			t.Errorf("%+v, batch %d: %v, want %q", k.cfg, k.batch, err, k.says)
		}
	}
	p := newPipeline(t, ds, raw, 5, 1)
	for _, from := range []int{-1, 3} {
		r := p.Train(t.Context(), 0, from)
		if _, err := r.Next(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("from batch %d of 2: %v", from, err)
		}
		r.Close()
	}
}

// A bubble fails if a goroutine outlives it, so the test shows that none remains after each way to
// stop.
func TestReadersEnd(t *testing.T) {
	ds := numbered(60, 60, arch.Shape{Height: 2, Width: 2, Channels: 1})
	p := newPipeline(t, ds, raw, 2, 1)
	for name, use := range map[string]func(t *testing.T){
		"read to the end": func(t *testing.T) {
			r := p.Train(t.Context(), 0, 0)
			for range p.Batches() {
				if _, err := r.Next(); err != nil {
					t.Error(err)
				}
			}
			for range 2 {
				if _, err := r.Next(); !errors.Is(err, io.EOF) {
					t.Errorf("after the last batch: %v", err)
				}
			}
		},
		"closed at once": func(t *testing.T) {
			r := p.Train(t.Context(), 0, 0)
			r.Close()
			r.Close()
			if _, err := r.Next(); !errors.Is(err, context.Canceled) {
				t.Errorf("after Close: %v", err)
			}
		},
		"cancelled on the way": func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			r := p.Test(ctx, recipe.CentreCrop)
			if _, err := r.Next(); err != nil {
				t.Error(err)
			}
			cancel()
			if _, err := r.Next(); !errors.Is(err, context.Canceled) {
				t.Errorf("after the cancellation: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, use) })
	}
}

// A batch is not written to while the caller holds it.
func TestBatchBelongsToTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipeline(t, numbered(40, 1, arch.Shape{Height: 1, Width: 1, Channels: 1}), raw, 2, 1)
		r := p.Train(t.Context(), 0, 0)
		defer r.Close()
		for range p.Batches() {
			b, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			held := slices.Clone(b.X)
			synctest.Wait() // until the reader has no free batch left to write into
			if !slices.Equal(held, b.X) {
				t.Fatalf("%v became %v", held, b.X)
			}
		}
	})
}

func TestBatchesDoNotAllocate(t *testing.T) {
	p := newPipeline(t, numbered(200, 1, arch.Shape{Height: 4, Width: 4, Channels: 1}), augmented, 1, 1)
	for _, p.Raw = range []bool{false, true} {
		r := p.Train(t.Context(), 0, 0)
		defer r.Close()
		if n := testing.AllocsPerRun(100, func() {
			if _, err := r.Next(); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("raw %v: %v allocations a batch", p.Raw, n)
		}
	}
}

// Raw batches hold the bytes and the views from which the values of the others are made. The rest
// of the last batch has views past every image.
func TestRawBatches(t *testing.T) {
	ds := photographs(23, 6)
	for what, cfg := range map[string]recipe.Data{
		"crops over the border": {Mean: "image", Scale: 0.5, Pad: 2, Crop: 6, Flip: true},
		"colours": {Mean: "image_centre", Scale: 0.02, Crop: 4,
			PCAColour: recipe.PCAColour{Std: 0.1, Shrink: true}},
		"as they are": {Mean: "channel", Scale: 1},
	} {
		p := newPipeline(t, ds, cfg, 5, 7)
		read := func() []Batch {
			return slices.Concat(all(t, p.Train(t.Context(), 2, 1)), all(t, p.Test(t.Context(), recipe.TenCrop)),
				all(t, p.Test(t.Context(), recipe.CentreCrop)))
		}
		want := read()
		p.Raw = true
		got := read()
		size, stored := p.Shape().Len(), ds.Shape.Len()
		for i := range got {
			raw := got[i].Images
			if got[i].X != nil || raw.Shape != ds.Shape || len(raw.Transforms) != 5 || len(raw.Pixels) != 5*stored {
				t.Fatalf("%s: batch %d has %d values, %d bytes and %d views of %v", what, i, len(got[i].X), len(raw.Pixels),
					len(raw.Transforms), raw.Shape)
			}
			for j, v := range raw.Transforms {
				image := raw.Pixels[j*stored:][:stored]
				if j < got[i].N && !slices.Equal(image, ds.Train.Images[int(got[i].Indices[j])*stored:][:stored]) {
					t.Errorf("%s: batch %d, image %d is not image %d of the split", what, i, j, got[i].Indices[j])
				}
				x := make([]float32, size)
				p.show(x, image, v)
				got[i].X = append(got[i].X, x...)
			}
		}
		if !equal(got, want) {
			t.Errorf("%s: bytes and views come to other values", what)
		}
	}
}
