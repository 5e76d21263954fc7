package data

import (
	"math"
	"slices"
	"testing"

	"ablate/recipe"
	"ablate/runner/data/imaging"
)

// Known colours in every space. Hues are in 256ths of the circle: 60° is 42.67.
func TestColourSpaces(t *testing.T) {
	rgb := []byte{255, 0, 0, 255, 255, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 128, 128, 128, 200, 100, 150}
	for space, want := range map[recipe.ColourSpace][]byte{
		// ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B
		recipe.Grey: {76, 226, 150, 29, 0, 255, 128, 136},
		recipe.HSV:  {0, 255, 255, 43, 255, 255, 85, 255, 255, 171, 255, 255, 0, 0, 0, 0, 0, 255, 0, 0, 128, 235, 128, 200},
	} {
		got := make([]byte, len(want))
		convertPixels(got, rgb, space)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", space, got, want)
		}
	}
	// JFIF (ITU-T T.871): Cb = 128 − 0.168736 R − 0.331264 G + 0.5 B, Cr = 128 + 0.5 R − 0.418688 G − 0.081312 B
	got := make([]byte, len(rgb))
	convertPixels(got, rgb, recipe.YCbCr)
	for i := 0; i < len(rgb); i += 3 {
		r, g, b := float64(rgb[i]), float64(rgb[i+1]), float64(rgb[i+2])
		for c, want := range []float64{0.299*r + 0.587*g + 0.114*b, 128 - 0.168736*r - 0.331264*g + 0.5*b, 128 +
			0.5*r - 0.418688*g - 0.081312*b} {
			if math.Abs(float64(got[i+c])-min(want, 255)) > 0.51 {
				t.Errorf("ycbcr: value %d of pixel %d is %d, want %v", c, i/3, got[i+c], want)
			}
		}
	}
}

// The HSV of every 17th colour agrees with the formula in float64.
func TestHSVFormula(t *testing.T) {
	for r := 0; r < 256; r += 17 {
		for g := 0; g < 256; g += 17 {
			for b := 0; b < 256; b += 17 {
				h, s, v := hsv(byte(r), byte(g), byte(b))
				top, bottom := float64(max(r, g, b)), float64(min(r, g, b))
				if float64(v) != top {
					t.Fatalf("value of %d %d %d is %d", r, g, b, v)
				}
				if top == 0 || top == bottom {
					continue
				}
				if want := 255 * (top - bottom) / top; math.Abs(float64(s)-want) > 0.5+1e-9 {
					t.Fatalf("saturation of %d %d %d is %d, want %v", r, g, b, s, want)
				}
				// This is the colour's angle in the plane across the grey axis, by the definition of the
				// hexagon.
				var sixths float64
				switch spread := top - bottom; top {
				case float64(r):
					sixths = math.Mod(float64(g-b)/spread+6, 6)
				case float64(g):
					sixths = float64(b-r)/spread + 2
				default:
					sixths = float64(r-g)/spread + 4
				}
				want := sixths / 6 * 256
				if d := math.Abs(float64(h) - want); min(d, 256-d) > 0.5+1e-9 {
					t.Fatalf("hue of %d %d %d is %d, want %v", r, g, b, h, want)
				}
			}
		}
	}
}

// Images in memory, in a pack and in files are converted alike. Their mean is that of the
// converted images, and the digest remains that of the files.
func TestConvertedDatasets(t *testing.T) {
	root := imageTree(t, 8)
	files := recipe.Data{Name: "imagefolder", Root: root, ShortSide: 8, Mean: "image", Scale: 1}
	packed := recipe.Data{Name: "packed", Root: packTree(t, root, imaging.Fit{ShortSide: 8}, 0), Mean: "image", Scale: 1}
	for _, space := range []recipe.ColourSpace{recipe.Grey, recipe.HSV} {
		var batches [][]Batch
		for _, cfg := range []recipe.Data{files, packed} {
			plain := open(t, cfg)
			cfg.ColourSpace = space
			ds := open(t, cfg)
			if ds.Shape.Channels != channels(space) || ds.Digests["train"] != plain.Digests["train"] {
				t.Errorf("%s %s: %d channels, digest %s", cfg.Name, space, ds.Shape.Channels, ds.Digests["train"])
			}
			memory := &Dataset{Shape: plain.Shape, Classes: plain.Classes,
				Train: copied(t, plain.Train, plain.Shape.Len()), Test: copied(t, plain.Test, plain.Shape.Len())}
			if err := memory.convert(space); err != nil {
				t.Fatal(err)
			}
			if !equal(all(t, newPipeline(t, ds, cfg, 4, 1).Train(t.Context(), 0, 0)),
				all(t, newPipeline(t, memory, cfg, 4, 1).Train(t.Context(), 0, 0))) {
				t.Errorf("%s %s: stored images and those in memory differ", cfg.Name, space)
			}
			batches = append(batches, all(t, newPipeline(t, ds, cfg, 4, 1).Train(t.Context(), 0, 0)))
		}
		if !equal(batches[0], batches[1]) {
			t.Errorf("%s: files and pack differ", space)
		}
		var sum float64
		for _, x := range images(batches[0]) {
			for _, v := range x {
				sum += float64(v)
			}
		}
		if math.Abs(sum) > 0.1 {
			t.Errorf("%s: the mean was subtracted, but values add up to %v", space, sum)
		}
	}
	if _, err := Open(t.Context(), recipe.Data{Name: "shapes", Train: 10, Test: 10, ColourSpace: recipe.Grey,
		Validation: 10}); err == nil {
		t.Error("all training images held out")
	}
}

// With split: resampled, each seed holds out different images, every image is in exactly one of
// the two parts, and a seed always holds out the same images.
func TestResampled(t *testing.T) {
	root := imageTree(t, 8)
	cfg := recipe.Data{Name: "packed", Root: packTree(t, root, imaging.Fit{ShortSide: 8}, 0), Mean: "image", Scale: 1}
	whole := open(t, cfg)
	cfg.Validation, cfg.Split = 5, recipe.ResampledSplit
	held := open(t, cfg)
	size := whole.Shape.Len()
	memory := &Dataset{Shape: whole.Shape, Classes: whole.Classes, Train: copied(t, whole.Train, size)}
	if err := memory.holdOut(5); err != nil {
		t.Fatal(err)
	}
	names := func(p *Pipeline, of *Split) (all []string) {
		for i := range of.Len() {
			all = append(all, of.Name(i))
		}
		return all
	}
	var before []string
	for seed := range uint64(3) {
		p := newPipeline(t, held, cfg, 4, seed)
		out := names(p, &p.ds.Validation)
		if len(out) != 5 || p.ds.Train.Len() != whole.Train.Len()-5 {
			t.Fatalf("%d of %d images are held out", len(out), whole.Train.Len())
		}
		if slices.Equal(out, before) {
			t.Error("another seed holds out the same images")
		}
		before = out
		both := append(names(p, &p.ds.Train), out...)
		slices.Sort(both)
		if slices.Sort(both); len(slices.Compact(both)) != whole.Train.Len() {
			t.Errorf("%d images are in either part, want %d", len(slices.Compact(both)), whole.Train.Len())
		}
		again := newPipeline(t, held, cfg, 4, seed)
		if !slices.Equal(names(again, &again.ds.Validation), out) {
			t.Error("a seed holds out other images the second time")
		}
		same := newPipeline(t, memory, cfg, 4, seed)
		for i := range 5 {
			a, err := p.ds.Validation.Image(i, size, p.ds.Validation.buffer(size))
			b, err2 := same.ds.Validation.Image(i, size, same.ds.Validation.buffer(size))
			if err != nil || err2 != nil || !slices.Equal(a, b) {
				t.Errorf("image %d in memory is not that of the pack: %v, %v", i, err, err2)
			}
		}
		if slices.Equal(p.mean, newPipeline(t, held, recipe.Data{Mean: "image", Scale: 1}, 4, seed).mean) {
			t.Error("the mean is that of the fixed split")
		}
	}
}

// The held-out images are the last ones, in memory as in a pack, and are not trained on.
func TestValidation(t *testing.T) {
	root := imageTree(t, 8)
	cfg := recipe.Data{Name: "packed", Root: packTree(t, root, imaging.Fit{ShortSide: 8}, 0), Mean: "none", Scale: 1}
	whole := open(t, cfg)
	cfg.Validation = 5
	held := open(t, cfg)
	n, size := whole.Train.Len(), whole.Shape.Len()
	if held.Train.Len() != n-5 || held.Validation.Len() != 5 || held.Test.Len() != whole.Test.Len() {
		t.Fatalf("%d, %d and %d images", held.Train.Len(), held.Validation.Len(), held.Test.Len())
	}
	if held.Mean != nil {
		t.Error("the mean is that of all images")
	}
	memory := &Dataset{Shape: whole.Shape, Classes: whole.Classes, Train: copied(t, whole.Train, size)}
	if err := memory.holdOut(5); err != nil {
		t.Fatal(err)
	}
	for _, ds := range []*Dataset{held, memory} {
		p := newPipeline(t, ds, cfg, 4, 1)
		last := images(all(t, p.Validation(t.Context())))
		for i := range 5 {
			want, err := whole.Train.Image(n-5+i, size, whole.Train.buffer(size))
			if err != nil {
				t.Fatal(err)
			}
			for v, x := range last[int32(i)] {
				if x != float32(want[v]) {
					t.Fatalf("validation image %d is not training image %d", i, n-5+i)
				}
			}
			if ds.Validation.Labels[i] != whole.Train.Labels[n-5+i] {
				t.Errorf("label of validation image %d", i)
			}
		}
		if p.Batches() != (n-5)/4 {
			t.Errorf("%d batches", p.Batches())
		}
	}
}
