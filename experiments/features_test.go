package experiments

import (
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// someFeatures returns features of 40 images of 3 × 2 pixels; image i is red i.
func someFeatures(t *testing.T) Features {
	t.Helper()
	f := Features{Width: 2, Classes: []string{"disc", "ring"}}
	var thumbnails []Thumbnail
	for i := range 40 {
		f.Values = append(f.Values, float32(i), 0)
		f.Index, f.Label, f.Predicted = append(f.Index, 10*i), append(f.Label, i%2), append(f.Predicted, 0)
		rgb := make([]byte, 18)
		for p := range 6 {
			rgb[3*p] = byte(i)
		}
		thumbnails = append(thumbnails, Thumbnail{RGB: rgb, Width: 3, Height: 2})
	}
	if err := f.Picture(thumbnails); err != nil {
		t.Fatal(err)
	}
	return f
}

// Features are read as they were saved, with their pictures. Parts that do not belong together are refused.
func TestFeatures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := ReadFeatures(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("features that nobody saved: %v", err)
	}
	f := someFeatures(t)
	if err := SaveFeatures(dir, f); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFeatures(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f, got); d != "" {
		t.Errorf("(-saved +read):\n%s", d)
	}
	cut, err := got.Cut([]int{39, 2})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint32{39, 2} {
		r, _, _, a := cut[i].At(2, 1).RGBA()
		_, _, _, below := cut[i].At(2, 2).RGBA()
		if r>>8 != want || a != 0xffff || below != 0 || cut[i].Bounds().Dx() != 3 {
			t.Errorf("picture %d: red %d of %d, below it %d, %v", i, r>>8, a, below, cut[i].Bounds())
		}
	}

	for name, spoil := range map[string]func(*Features){
		"labels":  func(f *Features) { f.Label = f.Label[1:] },
		"class":   func(f *Features) { f.Predicted[3] = 2 },
		"place":   func(f *Features) { f.Index[0] = -1 },
		"side":    func(f *Features) { f.Side = 65 },
		"classes": func(f *Features) { f.Classes = nil },
	} {
		bad := someFeatures(t)
		spoil(&bad)
		if err := SaveFeatures(dir, bad); err != nil {
			continue // shapes that do not fit are not even written
		}
		if _, err := ReadFeatures(dir); !errors.Is(err, ErrFeatures) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := SaveFeatures(dir, Features{Values: make([]float32, maxFeatures/4)}); err == nil {
		t.Error("features that would not be read again were written")
	}
	if err := SaveFeatures(dir, f); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(PicturesPath(dir), []byte("others"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFeatures(dir); !errors.Is(err, ErrFeatures) {
		t.Errorf("other pictures: %v", err)
	}
	f.Pictures = []byte("none")
	if _, err := f.Cut([]int{0}); !errors.Is(err, ErrFeatures) {
		t.Errorf("no picture: %v", err)
	}
	small := someFeatures(t)
	f.Pictures, f.Index = small.Pictures, f.Index[:3]
	if _, err := f.Cut([]int{0}); !errors.Is(err, ErrFeatures) {
		t.Errorf("pictures of more images: %v", err)
	}
}

// Whatever is in the file, reading it neither fails badly nor returns what cannot be drawn.
func FuzzFeatures(f *testing.F) {
	dir := f.TempDir()
	good := Features{Width: 1, Values: []float32{1}, Index: []int{0}, Label: []int{0}, Predicted: []int{0},
		Classes: []string{"disc"}}
	if err := good.Picture([]Thumbnail{{RGB: []byte{1, 2, 3}, Width: 1, Height: 1}}); err != nil {
		f.Fatal(err)
	}
	if err := SaveFeatures(dir, good); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(FeaturesPath(dir))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, good.Pictures)
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, text, pictures []byte) {
		dir := t.TempDir()
		os.WriteFile(FeaturesPath(dir), text, 0o644)
		os.WriteFile(PicturesPath(dir), pictures, 0o644)
		if f, err := ReadFeatures(dir); err == nil && len(f.Index) > 0 {
			f.Cut([]int{len(f.Index) - 1})
		}
	})
}
