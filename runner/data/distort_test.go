package data

import (
	"math"
	"slices"
	"testing"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/random"
)

// coloured returns a data set of random images.
func coloured(n, side int) *Dataset {
	s := Split{Images: make([]byte, n*side*side*3)}
	for i := range s.Images {
		s.Images[i] = byte(random.New(3, "coloured").Uint32(0, uint64(i)))
	}
	for i := range n {
		s.Labels = append(s.Labels, int32(i%10))
	}
	return &Dataset{
		Name: "coloured", Classes: make([]string, 10), Shape: arch.Shape{Height: side, Width: side, Channels: 3}, Train: s,
		Test: s,
	}
}

// A part that is neither turned nor resized equals the cut, and a quarter turn permutes the
// pixels.
func TestSample(t *testing.T) {
	ds := coloured(1, 12)
	p := newPipeline(t, ds, recipe.Data{Mean: "image", Scale: 0.5, Crop: 8}, 1, 1)
	want, got := make([]float32, p.shape.Len()), make([]float32, p.shape.Len())
	image, err := ds.Train.Image(0, ds.Shape.Len(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p.mean = slices.Repeat([]float32{100, 90, 80}, 144)
	for _, flip := range []bool{false, true} {
		v := p.cut(3, 1)
		v.Flip, v.Shifted, v.Shift = flip, true, [3]float32{1, 2, 3}
		p.show(want, image, v)
		p.sample(got, image, rectangle{top: 3, left: 1, height: 8, width: 8}, 0, v)
		for i := range want {
			if math.Abs(float64(got[i]-want[i])) > 1e-4 {
				t.Fatalf("flip %v: value %d is %v, cut out %v", flip, i, got[i], want[i])
			}
		}
	}
	v := p.cut(2, 2)
	p.show(want, image, v)
	p.sample(got, image, rectangle{top: 2, left: 2, height: 8, width: 8}, math.Pi/2, v)
	for y := range 8 {
		for x := range 8 {
			for c := range 3 {
				if a, b := got[(y*8+x)*3+c], want[(x*8+7-y)*3+c]; math.Abs(float64(a-b)) > 1e-3 {
					t.Fatalf("a quarter turn has %v at row %d, column %d, want %v", a, y, x, b)
				}
			}
		}
	}
	p.sample(got, image, rectangle{top: -20, left: -20, height: 8, width: 8}, 0, v)
	if slices.ContainsFunc(got, func(x float32) bool { return x != 0 }) {
		t.Error("there is something outside the image")
	}
	halves := make([]float32, p.shape.Len()) // half of an image of one colour, whatever the part
	flat := slices.Repeat([]byte{110, 100, 90}, 144)
	p.sample(halves, flat, rectangle{top: 1.5, left: 2.25, height: 9, width: 6}, 0, p.centre())
	if slices.ContainsFunc(halves, func(x float32) bool { return math.Abs(float64(x)-5) > 1e-4 }) {
		t.Error("a part of a flat image is not flat")
	}
}

// Parts lie within the image, and their areas and sides stay within the recipe's limits.
func TestAreas(t *testing.T) {
	ds := coloured(1, 64)
	crop := newPipeline(t, ds, recipe.Data{Mean: "none", Scale: 1, Crop: 32,
		ResizedCrop: recipe.ResizedCrop{MinArea: 0.2, MaxRatio: 2}}, 1, 1)
	scale := newPipeline(t, ds, recipe.Data{Mean: "none", Scale: 1, Crop: 32,
		MultiScale: recipe.MultiScale{From: 32, To: 96}}, 1, 1)
	var smallest, largest float64 = 1, 0
	for i := range uint64(2000) {
		for _, p := range []*Pipeline{crop, scale} {
			r := p.area(0, i, p.centre())
			if r.top < 0 || r.left < 0 || r.top+r.height > 64+1e-9 || r.left+r.width > 64+1e-9 {
				t.Fatalf("%+v is not a part of the image", r)
			}
			share, ratio := r.height*r.width/64/64, r.height/r.width
			if p == crop {
				smallest, largest = min(smallest, share), max(largest, share)
				if share < 0.19 || ratio < 0.48 || ratio > 2.1 {
					t.Fatalf("%+v is %.2f of the image, its sides are as %.2f", r, share, ratio)
				}
			} else if s := 64 * 32 / r.height; ratio != 1 || math.Abs(s-math.Round(s)) > 1e-9 || s < 32 || s > 96 {
				t.Fatalf("%+v is of an image scaled to %v", r, s)
			}
		}
	}
	if smallest > 0.22 || largest < 0.95 {
		t.Errorf("areas are %v to %v of the image", smallest, largest)
	}
}

func TestColourJitter(t *testing.T) {
	ds := coloured(1, 8)
	image := ds.Train.Images
	same := func(a, b []byte) bool { return slices.Equal(a, b) }
	if !same(jittered(image, recipe.ColourJitter{}, random.New(1, "j"), 0, 0), image) {
		t.Error("no change changes an image")
	}
	grey := make([]byte, len(image))
	for i := 0; i < len(image); i += 3 {
		y := byte(0.2989*float64(image[i]) + 0.587*float64(image[i+1]) + 0.114*float64(image[i+2]) + 0.5)
		grey[i], grey[i+1], grey[i+2] = y, y, y
	}
	flat := jittered(grey, recipe.ColourJitter{Saturation: 1}, random.New(1, "j"), 0, 0)
	for i := range flat {
		if d := int(flat[i]) - int(grey[i]); d < -1 || d > 1 {
			t.Fatalf("saturation makes %d of the grey %d", flat[i], grey[i])
		}
	}
	bright := jittered(image, recipe.ColourJitter{Brightness: 0.5}, random.New(1, "j"), 0, 4)
	factor := 0.5 + random.New(1, "j").Float64(0, 4)
	for i, x := range image {
		if want := min(255, factor*float64(x)); math.Abs(float64(bright[i])-want) > 0.51 {
			t.Fatalf("times %v, %d becomes %d", factor, x, bright[i])
		}
	}
}

// Erased rectangles have the sizes that the recipe allows; a cutout is a square, as far as it lies
// inside the image.
func TestErase(t *testing.T) {
	ds := coloured(200, 32)
	zeros := func(cfg recipe.Data) (shares []float64) {
		cfg.Mean, cfg.Scale = "none", 1
		p := newPipeline(t, ds, cfg, 10, 1)
		x := make([]float32, p.shape.Len())
		for i := range uint64(2000) {
			for j := range x {
				x[j] = 1
			}
			p.erased(x, 0, i)
			n := 0
			for _, v := range x {
				if v == 0 {
					n++
				}
			}
			shares = append(shares, float64(n)/float64(len(x)))
		}
		return shares
	}
	hit := 0
	for _, share := range zeros(recipe.Data{Erase: recipe.Erase{Probability: 0.25}}) {
		if share > 0 {
			hit++
			if share < 0.01 || share > 0.36 {
				t.Fatalf("%v of an image is erased", share)
			}
		}
	}
	if hit < 430 || hit > 570 {
		t.Errorf("%d of 2000 images are erased at a probability of a quarter", hit)
	}
	for _, share := range zeros(recipe.Data{Cutout: 16}) {
		if share < 0.05 || share > 0.25 {
			t.Fatalf("a cutout of half the side takes %v of the image", share)
		}
	}
}

// A mixed batch consists of its images and the previous ones, weighted by the shares of their
// labels.
func TestMixing(t *testing.T) {
	ds := coloured(40, 8)
	plain := recipe.Data{Mean: "none", Scale: 1, Flip: true}
	for _, c := range []recipe.Data{{Mixup: 0.4}, {CutMix: 1}, {Mixup: 1, CutMix: 1}} {
		cfg := plain
		cfg.Mixup, cfg.CutMix = c.Mixup, c.CutMix
		p := newPipeline(t, ds, cfg, 8, 1)
		want := all(t, newPipeline(t, ds, plain, 8, 1).Train(t.Context(), 2, 0))
		got := all(t, p.Train(t.Context(), 2, 0))
		blended, cut := 0, 0
		for i, b := range got {
			size := p.shape.Len()
			for j := range 8 {
				before := (j + 7) % 8
				if b.Y[j] != want[i].Y[j] {
					t.Fatal("an image's own label changes")
				}
				own := 0
				for k := range size {
					x, other, mixed := want[i].X[j*size+k], want[i].X[before*size+k], b.X[j*size+k]
					blend := b.Share*x + (1-b.Share)*other
					switch {
					case mixed == x:
						own++
					case mixed == other:
						cut++
					case math.Abs(float64(mixed-blend)) < 1e-3:
						blended++
					default:
						t.Fatalf("%+v: %v is neither of %v and %v nor between them at %v", c, mixed, x, other, b.Share)
					}
				}
				if share := float64(own) / float64(size); c.Mixup == 0 && math.Abs(share-float64(b.Share)) > 0.03 {
					t.Errorf("%v of an image stays, its label's share is %v", share, b.Share)
				}
			}
		}
		if (blended > 0) != (c.Mixup > 0) || (cut > 100) != (c.CutMix > 0) {
			t.Errorf("%+v: %d values are blended, %d swapped", c, blended, cut)
		}
		rest := all(t, p.Train(t.Context(), 2, 3))
		if !slices.Equal(rest[0].X, got[3].X) || rest[0].Share != got[3].Share {
			t.Error("an epoch that continues from its middle shows other images")
		}
	}
}

// From the epoch at which it ends, an augmentation acts as if it had never been in the recipe. The
// others do not change.
func TestDistortionsEnd(t *testing.T) {
	ds := coloured(40, 12)
	plain := recipe.Data{Mean: "channel", Scale: 1, Crop: 8, Flip: true}
	everything := plain
	everything.Rotate, everything.Cutout, everything.Mixup, everything.CutMix = 20, 4, 0.5, 1
	everything.ResizedCrop, everything.Erase = recipe.ResizedCrop{MinArea: 0.3}, recipe.Erase{Probability: 0.7}
	everything.ColourJitter = recipe.ColourJitter{Brightness: 0.4, Saturation: 0.4}
	scaled := everything
	scaled.ResizedCrop, scaled.MultiScale = recipe.ResizedCrop{}, recipe.MultiScale{From: 8, To: 20}
	mixing := plain
	mixing.Mixup = 0.5
	for name, c := range map[string]struct {
		with, without recipe.Data
		until         recipe.AugmentUntil
	}{
		"resized_crop":  {everything, without(everything, "resized_crop"), recipe.AugmentUntil{ResizedCrop: 3}},
		"multi_scale":   {scaled, without(scaled, "multi_scale"), recipe.AugmentUntil{MultiScale: 3}},
		"rotate":        {everything, without(everything, "rotate"), recipe.AugmentUntil{Rotate: 3}},
		"colour_jitter": {everything, without(everything, "colour_jitter"), recipe.AugmentUntil{ColourJitter: 3}},
		"erase":         {everything, without(everything, "erase"), recipe.AugmentUntil{Erase: 3}},
		"cutout":        {everything, without(everything, "cutout"), recipe.AugmentUntil{Cutout: 3}},
		"mixup":         {everything, without(everything, "mixup"), recipe.AugmentUntil{Mixup: 3}},
		"cutmix":        {everything, without(everything, "cutmix"), recipe.AugmentUntil{CutMix: 3}},
		"all mixing":    {mixing, plain, recipe.AugmentUntil{Mixup: 3}},
	} {
		ends := c.with
		ends.AugmentUntil = c.until
		for epoch, like := range map[int]recipe.Data{2: c.with, 3: c.without, 4: c.without} {
			want := all(t, newPipeline(t, ds, like, 8, 1).Train(t.Context(), epoch, 0))
			for i, b := range all(t, newPipeline(t, ds, ends, 8, 1).Train(t.Context(), epoch, 0)) {
				if !slices.Equal(b.X, want[i].X) {
					t.Fatalf("%s ends before epoch 3: batch %d of epoch %d is another", name, i, epoch)
				}
				share, others := want[i].Share, want[i].Other
				if others == nil { // no other image is mixed in
					share, others = 1, want[i].Y
				}
				if b.Share != share || !slices.Equal(b.Other, others) {
					t.Fatalf("%s ends before epoch 3: epoch %d mixes %v of %v", name, epoch, b.Share, b.Other)
				}
			}
		}
	}
}

// without returns a recipe's data section without one augmentation.
func without(d recipe.Data, kind string) recipe.Data {
	switch kind {
	case "resized_crop":
		d.ResizedCrop = recipe.ResizedCrop{}
	case "multi_scale":
		d.MultiScale = recipe.MultiScale{}
	case "rotate":
		d.Rotate = 0
	case "colour_jitter":
		d.ColourJitter = recipe.ColourJitter{}
	case "erase":
		d.Erase = recipe.Erase{}
	case "cutout":
		d.Cutout = 0
	case "mixup":
		d.Mixup = 0
	case "cutmix":
		d.CutMix = 0
	}
	return d
}
