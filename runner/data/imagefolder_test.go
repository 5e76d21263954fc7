package data

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ablate/recipe"
	"ablate/runner/data/imagefiles"
	"ablate/runner/data/imaging"
	"ablate/runner/data/pack"
)

// imageTree makes an ImageFolder of three classes, each with n images in train and two in val.
func imageTree(t testing.TB, n int) string {
	t.Helper()
	root := t.TempDir()
	for class := range 3 {
		for split, count := range map[string]int{"train": n, "val": 2} {
			dir := filepath.Join(root, split, fmt.Sprintf("c%d", class))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for i := range count {
				img := image.NewNRGBA(image.Rect(0, 0, 12, 9))
				for j := range img.Pix {
					img.Pix[j] = byte(j*(i+3) + 31*class + len(split))
				}
				var b bytes.Buffer
				if err := errors.Join(png.Encode(&b, img), os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.png", i)), b.Bytes(),
					0o644)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return root
}

func packTree(t testing.TB, root string, fit imaging.Fit, maxSkipped int) string {
	t.Helper()
	set, err := imagefiles.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	dir := filepath.Join(t.TempDir(), "pack")
	if _, err := pack.Write(t.Context(), set, dir, pack.Options{Fit: fit, Workers: 2,
		MaxSkipped: maxSkipped}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t testing.TB, cfg recipe.Data) *Dataset {
	t.Helper()
	ds, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ds.Close() })
	return ds
}

// Training sees the same batches, bit for bit, from files, from a pack of them and from memory.
func TestFilesAndPackGiveTheSameBatches(t *testing.T) {
	root := imageTree(t, 8)
	cfg := recipe.Data{Mean: "image", Scale: 0.5, Crop: 5, Flip: true, Train: 20}
	files, packed := cfg, cfg
	files.Name, files.Root, files.ShortSide = "imagefolder", root, 8
	packed.Name, packed.Root = "packed", packTree(t, root, imaging.Fit{ShortSide: 8}, 0)
	inMemory := &Dataset{Name: "memory"}
	var want []Batch
	for _, ds := range []*Dataset{open(t, files), open(t, packed), inMemory} {
		p := newPipeline(t, ds, cfg, 6, 7)
		var got []Batch
		for epoch := range 2 {
			for _, r := range []*Reader{p.Train(t.Context(), epoch, 0), p.Test(t.Context(), recipe.CentreCrop)} {
				for range p.Batches() {
					b, err := r.Next()
					if err != nil {
						break
					}
					got = append(got, Batch{X: slices.Clone(b.X), Y: slices.Clone(b.Y), N: b.N, First: b.First,
						Indices: slices.Clone(b.Indices)})
				}
				r.Close()
			}
		}
		if want == nil {
			want = got
			*inMemory = Dataset{Name: "memory", Shape: ds.Shape, Classes: ds.Classes,
				Train: copied(t, ds.Train, ds.Shape.Len()), Test: copied(t, ds.Test, ds.Shape.Len())}
		}
		if len(got) != 8 || len(want) != len(got) {
			t.Fatalf("%s: %d batches, want %d", ds.Name, len(got), len(want))
		}
		for i := range got {
			if !slices.Equal(got[i].X, want[i].X) || !slices.Equal(got[i].Y, want[i].Y) ||
				!slices.Equal(got[i].Indices, want[i].Indices) {
				t.Errorf("%s: batch %d differs", ds.Name, i)
			}
		}
	}
}

// copied returns a split with its images in memory.
func copied(t *testing.T, s Split, size int) Split {
	to := Split{Labels: s.Labels}
	if err := s.each(t.Context(), size, func(_ int, image []byte) {
		to.Images = append(to.Images,
			image...)
	}); err != nil {
		t.Fatal(err)
	}
	return to
}

// A mean that a source knows equals the computed one. For a part of the images the mean is
// computed.
func TestKnownMeans(t *testing.T) {
	root := imageTree(t, 5)
	dir := packTree(t, root, imaging.Fit{Size: 6}, 0)
	for _, n := range []int{0, 7} {
		for _, cfg := range []recipe.Data{{Name: "imagefolder", Root: root, Size: 6, Train: n},
			{Name: "packed", Root: dir, Train: n}} {
			ds := open(t, cfg)
			want, err := meanImage(t.Context(), ds.Train, ds.Shape.Len())
			if err != nil {
				t.Fatal(err)
			}
			if known := ds.Mean != nil; known != (n == 0 || cfg.Name == "imagefolder") {
				t.Errorf("%s, %d images: mean known: %v", cfg.Name, n, known)
			}
			if got, err := ds.mean(t.Context(), "image"); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, %d images: %v, %v, want %v", cfg.Name, n, got, err, want)
			}
		}
	}
}

// The first images are a sample of all classes, and different samples have different digests.
func TestFirstImagesAreMixed(t *testing.T) {
	root := imageTree(t, 20)
	dir := packTree(t, root, imaging.Fit{Size: 2}, 0)
	digests := map[string]bool{}
	for _, n := range []int{0, 12} {
		for _, cfg := range []recipe.Data{{Name: "imagefolder", Root: root, Size: 2, Train: n},
			{Name: "packed", Root: dir, Train: n}} {
			ds := open(t, cfg)
			digests[ds.Digests["train"]] = true
			for class := range int32(3) {
				if !slices.Contains(ds.Train.Labels, class) {
					t.Errorf("%s, %d images: none of class %d: %v", cfg.Name, n, class, ds.Train.Labels)
				}
			}
		}
	}
	if len(digests) != 4 {
		t.Errorf("%d digests for four data sets", len(digests))
	}
}

// Images are not enlarged unless the recipe asks for it: 64×64 files used to become 256×256, of
// which a crop of 56 is a corner.
func TestSmallFilesNeedASize(t *testing.T) {
	t.Parallel()
	for _, images := range []int{2, 20} { // fewer than the sample, and more
		cfg := recipe.Data{Name: "imagefolder", Root: imageTree(t, images)}
		_, err := Open(t.Context(), cfg)
		want := "neither data.size nor data.short_side is set, and "
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "as in data.size=9") {
			t.Errorf("%d images a class: %v", images, err)
		}
		cfg.ShortSide = 256
		if ds := open(t, cfg); ds.Shape.Height != 256 || ds.Files.String() != "12×9 files" {
			t.Errorf("with a size: %v of %s", ds.Shape, ds.Files)
		}
	}
}

// The steps from an image to an input are described in words.
func TestInputWords(t *testing.T) {
	t.Parallel()
	cfg := recipe.Data{Name: "imagefolder", Root: imageTree(t, 5), Size: 8, Validation: 3, Mean: "image", Scale: 0.5,
		Crop: 6, Flip: true}
	p := newPipeline(t, open(t, cfg), cfg, 5, 1)
	want := "12×9 files → 8×8 images (stretched to 8×8) → − mean of 12 training images → × 0.5 → " +
		"crop 6×6 at random places (the centre at test) → mirrored at random"
	if got := p.Words(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if p.Batches() != 2 || p.LeftOver() != 2 {
		t.Errorf("%d batches, %d images left over", p.Batches(), p.LeftOver())
	}
}

func TestBadFilesBeforeTraining(t *testing.T) {
	root := imageTree(t, 4)
	bad := filepath.Join(root, "train", "c1", "2.png")
	if err := os.WriteFile(bad, []byte("GIF89a"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := recipe.Data{Name: "imagefolder", Root: root, Size: 4}
	if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrCorrupt) ||
		!strings.Contains(err.Error(), "1 files hold no usable image") || !strings.Contains(err.Error(), "train/c1/2.png") {
		t.Errorf("%v", err)
	}
	cfg.MaxSkipped = 1
	ds := open(t, cfg)
	if ds.Train.Len() != 11 || len(ds.Skipped) != 1 {
		t.Errorf("%d images, left out %v", ds.Train.Len(), ds.Skipped)
	}
	r, err := Check(t.Context(), "imagefolder", root, imaging.Fit{}, nil)
	if err != nil || len(r.Dataset.Skipped) != 1 || r.Balance[1] != [2]int{3, 2} {
		t.Errorf("%v, %+v", err, r)
	}
}

// A file or a shard that becomes unreadable during training ends the epoch with an error that
// names it.
func TestImageThatGoesBadInTraining(t *testing.T) {
	root := imageTree(t, 4)
	dir := packTree(t, root, imaging.Fit{Size: 8}, 0)
	for _, k := range []struct {
		cfg     recipe.Data
		victim  string
		says    string
		content []byte
	}{
		{recipe.Data{Name: "imagefolder", Root: root, Size: 8, Mean: "none", Scale: 1},
			filepath.Join(root, "train", "c2", "1.png"), "train/c2/1.png, which was read before", nil},
		{recipe.Data{Name: "packed", Root: dir, Mean: "none", Scale: 1}, filepath.Join(dir, "train-00000.shard"),
			"train-00000.shard: image", make([]byte, 12*8*8*3)},
	} {
		ds := open(t, k.cfg)
		p := newPipeline(t, ds, k.cfg, 4, 1)
		f, err := os.OpenFile(k.victim, os.O_WRONLY, 0)
		if err == nil && k.content == nil {
			err = f.Truncate(0)
		} else if err == nil {
			_, err = f.Write(k.content)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Skip("the file cannot be changed while it is open: ", err)
		}
		r := p.Train(t.Context(), 0, 0)
		defer r.Close()
		for err = nil; err == nil; {
			_, err = r.Next()
		}
		if !strings.Contains(err.Error(), k.says) {
			t.Errorf("%s: %v, want %q", k.cfg.Name, err, k.says)
		}
	}
}

func TestPackedRefuses(t *testing.T) {
	dir := packTree(t, imageTree(t, 2), imaging.Fit{Size: 4}, 0)
	for _, k := range []struct {
		cfg  recipe.Data
		is   error
		says string
	}{
		{recipe.Data{Name: "packed", Root: t.TempDir()}, ErrMissing, "make the pack with ablate data pack"},
		{recipe.Data{Name: "packed", Root: dir, Size: 8}, nil, "this pack is already (stretched to 4×4)"},
		{recipe.Data{Name: "packed", Root: dir, Train: 7}, nil, "data.train asks for 7 images, there are 6"},
	} {
		if _, err := Open(t.Context(), k.cfg); err == nil || k.is != nil && !errors.Is(err, k.is) ||
			!strings.Contains(err.Error(), k.says) {
			t.Errorf("%+v: %v, want %q", k.cfg, err, k.says)
		}
	}
	if err := os.Truncate(filepath.Join(dir, "train-00000.shard"), 5); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(t.Context(), "packed", dir, imaging.Fit{}, nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("check of a cut pack: %v", err)
	}
}

// All of a sample of real ImageNet files can be read, and the pack holds the same images.
func TestRealImageNetSample(t *testing.T) {
	data := os.Getenv("ABLATE_DATA")
	if data == "" {
		t.Skip("ABLATE_DATA is not set: the ImageNet sample is not read")
	}
	root := filepath.Join(data, "imagenette-sample")
	r, err := Check(t.Context(), "packed", packTree(t, root, imaging.Fit{ShortSide: 256}, 0), imaging.Fit{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Dataset.Close()
	if r.Dataset.Train.Len() != 300 || r.Dataset.Test.Len() != 100 || len(r.Shared) != 0 || len(r.Repeated) != 0 {
		t.Errorf("%d and %d images, %d shared, %d repeated", r.Dataset.Train.Len(), r.Dataset.Test.Len(), len(r.Shared),
			len(r.Repeated))
	}
	for class, n := range r.Balance {
		if n != [2]int{30, 10} {
			t.Errorf("class %d has %v images", class, n)
		}
	}
}
