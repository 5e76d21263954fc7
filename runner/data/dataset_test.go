package data

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ablate/recipe"
	"ablate/runner/data/imaging"
)

func TestOpenRefuses(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	empty := t.TempDir()
	for _, k := range []struct {
		cfg  recipe.Data
		is   error
		says []string
	}{
		{recipe.Data{Name: "cifar11"}, nil, []string{"cifar11", "did you mean cifar10?"}},
		{recipe.Data{Name: "street-numbers"}, nil, []string{"street-numbers", "known: cifar10, cifar100, fashion-mnist"}},
		{recipe.Data{Name: "cifar10"}, ErrMissing, []string{"data.root is not set", "ablate data list"}},
		{recipe.Data{Name: "mnist"}, ErrMissing, []string{"data.root is not set", "ablate data list"}},
		{recipe.Data{Name: "cifar10", Root: nowhere}, ErrMissing, []string{"data.root " + nowhere, "does not exist"}},
		{recipe.Data{Name: "kmnist", Root: nowhere}, ErrMissing, []string{"data.root " + nowhere, "does not exist"}},
		{recipe.Data{Name: "cifar10", Root: empty}, ErrMissing, []string{"data_batch_1.bin is not in " + empty}},
		{recipe.Data{Name: "fashion-mnist", Root: empty}, ErrMissing,
			[]string{"neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz is in " + empty, "t10k-labels-idx1-ubyte"}},
		{recipe.Data{Name: "shapes", Train: maxShapes + 1}, nil, []string{"at most 200000 images"}},
	} {
		_, err := Open(t.Context(), k.cfg)
		if err == nil {
			t.Errorf("%+v: no error", k.cfg)
			continue
		}
		if k.is != nil && !errors.Is(err, k.is) {
			t.Errorf("%+v: %v is not %v", k.cfg, err, k.is)
		}
		for _, word := range k.says {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%+v: %q does not say %q", k.cfg, err, word)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %q is more than a line", k.cfg, err)
		}
	}
}

func TestFirstImages(t *testing.T) {
	s := Split{Images: []byte{1, 2, 3, 4, 5, 6}, Labels: []int32{7, 8, 9}}
	for _, k := range []struct {
		n      int
		labels []int32
		images []byte
	}{{0, s.Labels, s.Images}, {2, s.Labels[:2], s.Images[:4]}, {3, s.Labels, s.Images}} {
		got, err := s.first(k.n, "train", 2)
		if err != nil || !slices.Equal(got.Labels, k.labels) || !slices.Equal(got.Images, k.images) {
			t.Errorf("first(%d) = %v, %v", k.n, got, err)
		}
	}
	if _, err := s.first(4, "test", 2); err == nil || err.Error() != "data.test asks for 4 images, there are 3" {
		t.Errorf("first(4): %v", err)
	}
}

func TestListIsComplete(t *testing.T) {
	list := List()
	if !slices.IsSortedFunc(list, func(a, b Source) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not sorted by name")
	}
	for _, s := range list {
		if s.Name == "" || s.What == "" || s.Where == "" || s.Layout == "" || s.open == nil {
			t.Errorf("%s: something is not stated: %+v", s.Name, s)
		}
	}
}

func TestCheckNamesDuplicates(t *testing.T) {
	root := t.TempDir()
	for name, grey := range map[string]byte{ // train/a/3 repeats train/a/1, val/b/1 is train/b/1
		"train/a/1": 1, "train/a/3": 1, "train/b/1": 2, "train/c/1": 3, "val/b/1": 2, "val/c/1": 9,
	} {
		img := image.NewGray(image.Rect(0, 0, 2, 2))
		for i := range img.Pix {
			img.Pix[i] = grey
		}
		var b bytes.Buffer
		file := filepath.Join(root, name+".png")
		if err := errors.Join(png.Encode(&b, img), os.MkdirAll(filepath.Dir(file), 0o755),
			os.WriteFile(file, b.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	told := 0
	r, err := Check(t.Context(), "imagefolder", root, imaging.Fit{}, func(done, total int) {
		if told++; done < 1 || done > total || total != 6 {
			t.Errorf("%d of %d images", done, total)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Dataset.Close()
	if !slices.Equal(r.Shared, []Duplicate{{"val/b/1.png", "train/b/1.png"}}) {
		t.Errorf("shared %v", r.Shared)
	}
	names := []string{"train/a/1.png", "train/a/3.png"}
	if len(r.Repeated) != 1 || !slices.Contains(names, r.Repeated[0].Image) || !slices.Contains(names, r.Repeated[0].Of) {
		t.Errorf("repeated %v, want one of %v to be the other", r.Repeated, names)
	}
	if told != 12 || r.Dataset.Files.String() != "2×2 files" {
		t.Errorf("%d calls of the progress for two passes over six images, %s", told, r.Dataset.Files)
	}
	if !slices.Equal(r.Balance, [][2]int{{2, 0}, {1, 1}, {1, 1}}) {
		t.Errorf("balance %v", r.Balance)
	}
}

// Data that calls itself MNIST must have the published sizes and digests, whichever of its files
// exist.
func TestCheckComparesWithWhatIsPublished(t *testing.T) {
	for suffix, says := range map[string]string{
		"":    "train-images-idx3-ubyte has 22 bytes instead of 47040016",
		".gz": "train-images-idx3-ubyte.gz has MD5 ",
	} {
		dir := t.TempDir()
		for name, text := range smallMNIST {
			if suffix == ".gz" {
				text = zipped(t, text)
			}
			write(t, dir, name+suffix, text)
		}
		for _, name := range []string{"mnist", "fashion-mnist", "kmnist"} {
			if _, err := Check(t.Context(), name, dir, imaging.Fit{}, nil); !errors.Is(err, ErrCorrupt) ||
				!strings.Contains(err.Error(), says) {
				t.Errorf("%s%s: %v", name, suffix, err)
			}
		}
	}
}
