package data

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/augment"
	"ablate/runner/data/imaging"
	"ablate/runner/random"
)

// photographs returns a data set of n random images whose channels are correlated, as they are in
// photographs.
func photographs(n, side int) *Dataset {
	ds := &Dataset{Name: "photographs", Classes: make([]string, 5),
		Shape: arch.Shape{Height: side, Width: side, Channels: 3}}
	z := make([]float32, 2)
	for i := range n {
		ds.Train.Labels = append(ds.Train.Labels, int32(i%5))
		for p := range side * side {
			random.New(1, "photographs").Normal(z, uint64(i*side*side+p), 0, 1)
			light, tint := 128+40*float64(z[0]), 15*float64(z[1])
			for _, v := range []float64{light + tint, 0.9*light - 0.5*tint, 0.7*light - tint} {
				ds.Train.Images = append(ds.Train.Images, byte(max(0, min(255, v))))
			}
		}
	}
	ds.Test = ds.Train
	return ds
}

// The images of a chunk share one crop and flip; other chunks and epochs have others.
func TestChunksShareCropAndFlip(t *testing.T) {
	ds := &Dataset{Classes: make([]string, 2), Shape: arch.Shape{Height: 12, Width: 12, Channels: 1}}
	for range 40 { // all images are the same, with value y·16 + x at each pixel, so that a crop shows where it lies
		ds.Train.Labels = append(ds.Train.Labels, 0)
		for y := range 12 {
			for x := range 12 {
				ds.Train.Images = append(ds.Train.Images, byte(16*y+x))
			}
		}
	}
	cfg := recipe.Data{Mean: "none", Scale: 1, Crop: 3, Flip: true, CropChunk: 8}
	// Batches of 10 cut the chunks of 8 in two.
	p := newPipeline(t, ds, cfg, 10, 7)
	views := func(epoch int) (seen [][]float32) {
		for _, b := range all(t, p.Train(t.Context(), epoch, 0)) {
			for j := range b.N {
				seen = append(seen, b.X[9*j:9*j+9])
			}
		}
		return seen
	}
	different := map[string]bool{}
	for epoch := range 3 {
		for i, v := range views(epoch) {
			if first := views(epoch)[i/8*8]; !slices.Equal(v, first) {
				t.Fatalf("epoch %d: image %d is shown otherwise than the first of its chunk", epoch, i)
			}
			different[fmt.Sprint(v)] = true
		}
	}
	if len(different) < 10 {
		t.Errorf("15 chunks of 200 possible views share %d", len(different))
	}
	// An epoch that is continued from the middle of a chunk shows the same.
	rest := all(t, p.Train(t.Context(), 1, 2))
	whole := all(t, p.Train(t.Context(), 1, 0))
	if !equal(rest, whole[2:]) {
		t.Error("an epoch that continues from batch 2 differs")
	}
}

// Each kind of noise can end at an epoch of its own, without an effect on the others.
func TestNoiseOff(t *testing.T) {
	ds := photographs(6, 8)
	noise := recipe.Data{Mean: "none", Scale: 1, Crop: 5, Flip: true, PCAColour: recipe.PCAColour{Std: 0.1}}
	shown := func(cfg recipe.Data, epoch int) map[int32]augment.Transform {
		p := newPipeline(t, ds, cfg, 6, 3)
		seen := map[int32]augment.Transform{}
		for i := range int32(6) {
			seen[i] = p.in(epoch).augmented(epoch, int(i), i)
		}
		return seen
	}
	for epoch, off := range map[int]bool{3: false, 4: true, 5: true} {
		full := shown(noise, epoch)
		for what, k := range map[string]struct {
			off  recipe.AugmentUntil
			want func(v augment.Transform) augment.Transform
		}{
			"crop": {recipe.AugmentUntil{Crop: 4}, func(v augment.Transform) augment.Transform {
				v.Top, v.Left = 1,
					1
				return v
			}},
			"flip": {recipe.AugmentUntil{Flip: 4}, func(v augment.Transform) augment.Transform { v.Flip = false; return v }},
			"colour": {recipe.AugmentUntil{PCAColour: 4}, func(v augment.Transform) augment.Transform {
				v.Shifted,
					v.Shift = false, [3]float32{}
				return v
			}},
		} {
			cfg := noise
			cfg.AugmentUntil = k.off
			changed := false
			for i, got := range shown(cfg, epoch) {
				want := full[i]
				if off {
					want = k.want(want)
				}
				changed = changed || want != full[i]
				if got != want {
					t.Errorf("%s off from epoch 4: in epoch %d image %d is shown as %+v, want %+v", what, epoch, i, got, want)
				}
			}
			if changed != off {
				t.Errorf("%s off changes epoch %d: %v", what, epoch, changed)
			}
		}
	}
	centre := noise
	centre.CropAt, centre.Flip, centre.PCAColour = recipe.CropCentre, false, recipe.PCAColour{}
	trained := images(all(t, newPipeline(t, ds, centre, 6, 3).Train(t.Context(), 0, 0)))
	tested := images(all(t, newPipeline(t, ds, centre, 6, 3).Test(t.Context(), recipe.CentreCrop)))
	for i := range int32(6) {
		if !slices.Equal(trained[i], tested[i]) {
			t.Errorf("without noise, image %d is trained on otherwise than it is tested", i)
		}
	}
}

// PCA colour agrees with the formula in float64, with the covariance computed pixel by pixel. Any
// orthonormal basis of the covariance's axes gives the same distribution, so the test compares
// what a shift must be whatever the signs: Σ α_i·s_i·p_i.
func TestPCAColour(t *testing.T) {
	ds := photographs(40, 6)
	var mean [3]float64
	pixels := len(ds.Train.Images) / 3
	for i, v := range ds.Train.Images {
		mean[i%3] += float64(v) / float64(pixels)
	}
	var cov [3][3]float64
	for p := range pixels {
		for i := range 3 {
			for j := range 3 {
				cov[i][j] += (float64(ds.Train.Images[3*p+i]) - mean[i]) * (float64(ds.Train.Images[3*p+j]) - mean[j]) /
					float64(pixels)
			}
		}
	}
	for _, k := range []struct {
		cfg    recipe.PCAColour
		length func(eigenvalue float64) float64
		gain   float64
	}{
		{recipe.PCAColour{Std: 0.1}, math.Sqrt, 1},
		{recipe.PCAColour{Std: 0.1, Shrink: true}, math.Sqrt, 1 / 1.1},
		{recipe.PCAColour{Std: 0.1, Scale: recipe.Eigenvalue}, func(v float64) float64 { return v / 255 }, 1},
	} {
		ds.Colour = nil
		p := newPipeline(t, ds, recipe.Data{Mean: "none", Scale: 2, PCAColour: k.cfg}, 10, 5)
		for i, axis := range p.axes.axis {
			length := math.Sqrt(axis[0]*axis[0] + axis[1]*axis[1] + axis[2]*axis[2])
			value := ds.Colour.Values[i]
			if math.Abs(length-k.length(value)) > 1e-9*length {
				t.Errorf("%+v: axis %d is %v long, eigenvalue %v", k.cfg, i, length, value)
			}
			for r := range 3 { // cov·axis = λ·axis, whatever the sign of the axis
				var product float64
				for c := range 3 {
					product += cov[r][c] * axis[c]
				}
				if math.Abs(product-value*axis[r]) > 1e-6*cov[0][0]*length {
					t.Errorf("%+v: axis %d is no eigenvector: %v, %v", k.cfg, i, product, value*axis[r])
				}
			}
		}
		if v := ds.Colour.Values; v[0] < v[1] || v[1] < v[2] || v[0] < 2*v[1] {
			t.Errorf("eigenvalues %v", v)
		}
		const epoch = 3
		seen := map[[3]float32]bool{}
		for index, x := range images(all(t, p.Train(t.Context(), epoch, 0))) {
			var alpha [3]float32
			random.New(5, "data/pca-colour").NormalFrom(alpha[:], epoch, 4*uint64(index), 0, 0.1)
			seen[alpha] = true
			for v := range x {
				want := float64(ds.Train.Images[int(index)*len(x)+v])
				for i := range 3 {
					want += float64(alpha[i]) * p.axes.axis[i][v%3]
				}
				if want *= 2 * k.gain; math.Abs(float64(x[v])-want) > 1e-4 {
					t.Fatalf("%+v: value %d of image %d is %v, want %v", k.cfg, v, index, x[v], want)
				}
			}
		}
		if len(seen) != 40 {
			t.Errorf("%d of 40 images have draws of their own", len(seen))
		}
		for i, x := range images(all(t, p.Test(t.Context(), recipe.CentreCrop))) {
			if x[0] != 2*float32(ds.Test.Images[int(i)*len(x)]) {
				t.Fatalf("test image %d is shifted or shrunk", i)
			}
		}
	}
	// α over many images and epochs has mean 0 and standard deviation 0.1.
	var sum, squares float64
	alpha := make([]float32, 3)
	for i := range uint64(20_000) {
		random.New(5, "data/pca-colour").NormalFrom(alpha, i%7, 4*i, 0, 0.1)
		for _, a := range alpha {
			sum += float64(a)
			squares += float64(a) * float64(a)
		}
	}
	if mean, sd := sum/60_000, math.Sqrt(squares/60_000); math.Abs(mean) > 0.002 || math.Abs(sd-0.1) > 0.001 {
		t.Errorf("α has mean %v and standard deviation %v", mean, sd)
	}
}

// Colours that the source knows are used, and grey images cannot have colour noise.
func TestPCAColourKnownOrImpossible(t *testing.T) {
	ds := photographs(4, 4)
	ds.Colour = &imaging.Colour{Values: [3]float64{400, 100, 25}, Vectors: [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}
	p := newPipeline(t, ds, recipe.Data{Mean: "none", Scale: 1, PCAColour: recipe.PCAColour{Std: 1}}, 2, 1)
	if got := p.axes.shift([3]float32{1, -1, 2}); got != [3]float32{20, -10, 10} {
		t.Errorf("shift %v, want 20, −10, 10", got)
	}
	grey := numbered(4, 1, arch.Shape{Height: 2, Width: 2, Channels: 1})
	_, err := NewPipeline(t.Context(), grey, recipe.Data{Mean: "none", Scale: 1, PCAColour: recipe.PCAColour{Std: 0.1}}, 2,
		1)
	if err == nil || !strings.Contains(err.Error(), "data.pca_colour is for images of 3 channels") {
		t.Errorf("grey images: %v", err)
	}
}

// The 2012 source subtracts the centre of the mean image, wherever the crop lies.
func TestMeanImageCentre(t *testing.T) {
	// Value v of image i is i + 10v, so that of the mean is 1.5 + 10v. The top left crop of image 0
	// has values 0, 1, 4 and 5, the centre 5, 6, 9 and 10: 50 more.
	ds := numbered(4, 1, arch.Shape{Height: 4, Width: 4, Channels: 1})
	for mean, want := range map[string]float32{"image": -1.5, "image_centre": -51.5} {
		p := newPipeline(t, ds, recipe.Data{Mean: mean, Scale: 1, Crop: 2}, 4, 1)
		b := &Batch{X: make([]float32, 4), Y: make([]float32, 1), Indices: make([]int32, 1)}
		if err := p.prepare(b, 0, ds.Train, 0, p.cut(0, 0), nil); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(b.X, []float32{want, want, want, want}) {
			t.Errorf("%s: the top left crop is %v, want %v everywhere", mean, b.X, want)
		}
	}
	if _, err := NewPipeline(t.Context(), ds, recipe.Data{Mean: "image_centre", Scale: 1, Crop: 6, Pad: 1}, 1,
		1); err == nil {
		t.Error("a crop larger than the mean image is accepted")
	}
}

// The ten views of a 4×4 image, by hand: corners and centre, then their reflections.
func TestTenViews(t *testing.T) {
	ds := numbered(3, 3, arch.Shape{Height: 4, Width: 4, Channels: 1})
	p := newPipeline(t, ds, recipe.Data{Mean: "none", Scale: 1, Crop: 2}, 2, 1)
	want := [][]float32{
		{0, 10, 40, 50}, {20, 30, 60, 70}, {80, 90, 120, 130}, {100, 110, 140, 150}, {50, 60, 90, 100},
		{10, 0, 50, 40}, {30, 20, 70, 60}, {90, 80, 130, 120}, {110, 100, 150, 140}, {60, 50, 100, 90},
	}
	batches := all(t, p.Test(t.Context(), recipe.TenCrop))
	if len(batches) != 20 {
		t.Fatalf("%d batches of 2 for ten views of 3 images", len(batches))
	}
	for i, b := range batches {
		if b.View != i%10 || b.Views != 10 || b.First != i/10*2 || b.N != 2-i/10 {
			t.Errorf("batch %d: view %d of %d, first %d, %d images", i, b.View, b.Views, b.First, b.N)
		}
		for j := range b.N {
			image := float32(b.First + j)
			for v, x := range b.X[4*j : 4*j+4] {
				if x != image+want[b.View][v] {
					t.Errorf("view %d of image %v is %v, want %v more than that", b.View, image, b.X[4*j:4*j+4], want[b.View])
				}
			}
		}
	}
	// With a border, the corners lie in the border.
	p = newPipeline(t, ds, recipe.Data{Mean: "none", Scale: 1, Pad: 1, Crop: 4}, 1, 1)
	first := all(t, p.Test(t.Context(), recipe.TenCrop))[0]
	if want := []float32{0, 0, 0, 0, 0, 0, 10, 20, 0, 40, 50, 60, 0, 80, 90, 100}; !slices.Equal(first.X, want) {
		t.Errorf("the top left corner of the bordered image is %v", first.X)
	}
}

// Exactly the requested share of labels is wrong, and none of these is right by chance. They are
// the same for every recipe under a seed, and the test labels stay as they are.
func TestLabelNoise(t *testing.T) {
	ds := photographs(200, 2)
	labels := slices.Clone(ds.Train.Labels)
	noisy := func(seed uint64, cfg recipe.Data) []int32 {
		return newPipeline(t, ds, cfg, 10, seed).train.Labels
	}
	cfg := recipe.Data{Mean: "none", Scale: 1, LabelNoise: 0.15}
	got := noisy(1, cfg)
	wrong, classes := 0, map[int32]int{}
	for i, l := range got {
		if l != labels[i] {
			wrong++
			classes[(l-labels[i]+5)%5]++
		}
	}
	if wrong != 30 {
		t.Errorf("%d of 200 labels are wrong, want 30", wrong)
	}
	for other := int32(1); other < 5; other++ {
		if classes[other] == 0 {
			t.Errorf("no label moved by %d classes: %v", other, classes)
		}
	}
	variant := cfg
	variant.Flip, variant.Mean = true, "image"
	if !slices.Equal(got, noisy(1, variant)) {
		t.Error("a variant under the same seed has other wrong labels")
	}
	if slices.Equal(got, noisy(2, cfg)) {
		t.Error("another seed has the same wrong labels")
	}
	if !slices.Equal(ds.Train.Labels, labels) {
		t.Error("the data set's own labels changed")
	}
	p := newPipeline(t, ds, cfg, 10, 1)
	for _, b := range all(t, p.Train(t.Context(), 0, 0)) {
		for j := range b.N {
			if b.Y[j] != float32(got[b.Indices[j]]) {
				t.Fatalf("image %d trains as %v, want %d", b.Indices[j], b.Y[j], got[b.Indices[j]])
			}
		}
	}
	for _, b := range all(t, p.Test(t.Context(), recipe.CentreCrop)) {
		for j := range b.N {
			if b.Y[j] != float32(labels[b.Indices[j]]) {
				t.Fatalf("test image %d has label %v", b.Indices[j], b.Y[j])
			}
		}
	}
	cfg.LabelNoise = 1
	for i, l := range noisy(1, cfg) {
		if l == labels[i] {
			t.Fatalf("all labels are to be wrong, %d is right", i)
		}
	}
}

// Full augmentation gives the same result with any number of goroutines.
func TestAugmentationDoesNotDependOnThreads(t *testing.T) {
	ds := photographs(50, 9)
	cfg := recipe.Data{Mean: "image_centre", Scale: 0.5, Crop: 6, CropChunk: 4, Flip: true, LabelNoise: 0.2,
		PCAColour: recipe.PCAColour{Std: 0.1, Shrink: true}}
	read := func(threads int) []Batch {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
		return all(t, newPipeline(t, ds, cfg, 12, 4).Train(t.Context(), 2, 0))
	}
	want := read(1)
	for _, threads := range []int{2, 5, 16} {
		if !equal(want, read(threads)) {
			t.Errorf("%d threads prepare other batches than one", threads)
		}
	}
}

func TestAugmentedBatchesDoNotAllocate(t *testing.T) {
	cfg := recipe.Data{Mean: "image", Scale: 1, Crop: 6, Flip: true, CropChunk: 2, PCAColour: recipe.PCAColour{Std: 0.1}}
	p := newPipeline(t, photographs(300, 8), cfg, 2, 1)
	r := p.Train(t.Context(), 0, 0)
	defer r.Close()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}
