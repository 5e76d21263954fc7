package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ablate/runner/data/imagefiles"
	"ablate/runner/data/imaging"
)

// folder makes an ImageFolder of two classes, each with n small images in train and three in val.
func folder(t testing.TB, n int) string {
	t.Helper()
	root := t.TempDir()
	for _, split := range []string{"train", "val"} {
		for class := range 2 {
			dir := filepath.Join(root, split, fmt.Sprintf("class%d", class))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			count := n
			if split == "val" {
				count = 3
			}
			for i := range count {
				img := image.NewNRGBA(image.Rect(0, 0, 9+i%5, 12))
				for j := range img.Pix {
					img.Pix[j] = byte(j*i + 50*class + len(split))
				}
				var b bytes.Buffer
				name, err := fmt.Sprintf("%04d.png", i), png.Encode(&b, img)
				if i%2 == 1 { // a JPEG, sometimes with a PNG's name
					b.Reset()
					err = jpeg.Encode(&b, img, nil)
				}
				if err := errors.Join(err, os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return root
}

func list(t testing.TB, root string) *imagefiles.Set {
	t.Helper()
	s, err := imagefiles.ImageFolder(root)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var small = Options{Fit: imaging.Fit{ShortSide: 8}, Workers: 2}

// contents returns a folder's files by name.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

func sameFiles(t testing.TB, a, b string) {
	t.Helper()
	x, y := contents(t, a), contents(t, b)
	if len(x) != len(y) {
		t.Errorf("%d files and %d", len(x), len(y))
	}
	for name := range x {
		if x[name] != y[name] {
			t.Errorf("%s differs", name)
		}
	}
}

func TestPackGivesWhatWasDecoded(t *testing.T) {
	set := list(t, folder(t, 30))
	dir := filepath.Join(t.TempDir(), "new", "pack")
	if _, err := Write(t.Context(), set, dir, small); err != nil {
		t.Fatal(err)
	}
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	for split, k := range map[string]struct {
		im    *Images
		files []imagefiles.File
	}{"train": {&p.Train, set.Train}, "test": {&p.Test, set.Test}} {
		byName := map[string]imagefiles.File{}
		for _, f := range k.files {
			byName[f.Name] = f
		}
		names, err := p.Names(split)
		if err != nil || len(names) != len(k.files) || len(k.im.Labels) != len(names) {
			t.Fatalf("%s: %d names, %d labels, %d files, %v", split, len(names), len(k.im.Labels), len(k.files), err)
		}
		want := make([]byte, small.Fit.Len())
		for i, name := range names {
			f := byName[name]
			delete(byName, name)
			text, err := f.Read()
			if err := errors.Join(err, imaging.NewReader(small.Fit).Read(text, want)); err != nil {
				t.Fatal(err)
			}
			got, err := k.im.At(i)
			if err != nil || !bytes.Equal(got, want) || k.im.Labels[i] != f.Label {
				t.Errorf("%s: image %d (%s) differs, or its label: %v", split, i, name, err)
			}
		}
		if len(byName) > 0 {
			t.Errorf("%s: %d files are not in the pack", split, len(byName))
		}
	}
}

// The mean and the covariance are those of the stored images, computed here in another way.
func TestPackStatistics(t *testing.T) {
	dir := t.TempDir()
	m, err := Write(t.Context(), list(t, folder(t, 10)), dir, small)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	mean, err := p.Mean()
	if err != nil {
		t.Fatal(err)
	}
	sums, covariance := make([]float64, len(mean)), 0.0 // of red and green
	for i := range p.Train.Labels {
		img, err := p.Train.At(i)
		if err != nil {
			t.Fatal(err)
		}
		for j, v := range img {
			sums[j] += float64(v)
		}
		for j := 0; j < len(img); j += 3 {
			covariance += (float64(img[j]) - m.Colour.Mean[0]) * (float64(img[j+1]) - m.Colour.Mean[1])
		}
	}
	n := float64(len(p.Train.Labels))
	for j := range sums {
		if mean[j] != float32(sums[j]/n) {
			t.Fatalf("mean %d is %v, want %v", j, mean[j], sums[j]/n)
		}
	}
	covariance /= n * float64(len(mean)/3)
	if d := covariance - m.Colour.Covariance[0][1]; d > 1e-6 || d < -1e-6 {
		t.Errorf("covariance of red and green %v, want %v", m.Colour.Covariance[0][1], covariance)
	}
}

func TestPackIsTheSameForAnyJobs(t *testing.T) {
	root := folder(t, 40)
	one, many := t.TempDir(), t.TempDir()
	for dir, workers := range map[string]int{one: 1, many: 7} {
		if _, err := Write(t.Context(), list(t, root), dir, Options{Fit: imaging.Fit{Size: 6},
			Workers: workers}); err != nil {
			t.Fatal(err)
		}
	}
	sameFiles(t, one, many)
}

// An interrupted pack is not a pack, and the same call turns it into what an uninterrupted call
// makes.
func TestPackGoesOn(t *testing.T) {
	root := folder(t, 520) // 1040 files: two shards
	whole, stopped := t.TempDir(), t.TempDir()
	if _, err := Write(t.Context(), list(t, root), whole, small); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o := small
	o.Progress = func(p Progress) {
		if p.Files == 1030 { // in the second shard
			cancel()
		}
	}
	if _, err := Write(ctx, list(t, root), stopped, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	if _, err := Open(stopped); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "not finished") {
		t.Errorf("open a stopped pack: %v", err)
	}
	if _, err := Write(t.Context(), list(t, root), stopped, Options{Fit: imaging.Fit{Size: 8}, Workers: 1}); err == nil ||
		!strings.Contains(err.Error(), "other settings") {
		t.Errorf("go on with another size: %v", err)
	}
	kept := 0
	o.Progress = func(p Progress) { kept = p.Kept }
	if _, err := Write(t.Context(), list(t, root), stopped, o); err != nil || kept != shardImages {
		t.Fatalf("go on: %v, %d files kept, want %d", err, kept, shardImages)
	}
	sameFiles(t, whole, stopped)
	if _, err := Write(t.Context(), list(t, root), stopped, small); err != nil {
		t.Errorf("once more: %v", err)
	}
	if _, err := Write(t.Context(), list(t, folder(t, 3)), stopped, small); err == nil ||
		!strings.Contains(err.Error(), "holds another pack") {
		t.Errorf("another pack over it: %v", err)
	}
}

func TestBadFilesAreListed(t *testing.T) {
	root := folder(t, 6)
	bad := filepath.Join(root, "train", "class0", "0002.png")
	whole, err := os.ReadFile(bad)
	if err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(root, "val", "class1", "loop.png")
	if err := errors.Join(os.WriteFile(bad, whole[:len(whole)/2], 0o644),
		os.WriteFile(filepath.Join(root, "train", "class1", "zero.jpg"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	want := 2
	if os.Symlink("loop.png", loop) == nil { // not allowed everywhere
		want++
	}
	closed := filepath.Join(root, "train", "class1", "closed.png")
	if err := os.WriteFile(closed, whole, 0); err != nil {
		t.Fatal(err)
	}
	if f, err := os.Open(closed); err != nil {
		want++
	} else { // a user with all permissions can read it, which makes one more image
		if err := errors.Join(f.Close(), os.Remove(closed)); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	_, err = Write(t.Context(), list(t, root), dir, small)
	if !errors.Is(err, ErrBadFiles) || !strings.HasPrefix(err.Error(), fmt.Sprint(want)) ||
		strings.Contains(err.Error(), "\n") {
		t.Fatalf("bad files: %v", err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrMissing) {
		t.Errorf("a pack with bad files was finished: %v", err)
	}
	listed := contents(t, dir)[skippedName]
	for _, name := range []string{"train/class0/0002.png: the png is truncated",
		"train/class1/zero.jpg: the file is empty"} {
		if !strings.Contains(listed, name) {
			t.Errorf("the list does not say %q: %s", name, listed)
		}
	}
	// One file is repaired; the others are allowed to be bad.
	if err := os.WriteFile(bad, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	o := small
	o.MaxSkipped = want - 1
	m, err := Write(t.Context(), list(t, root), dir, o)
	if err != nil || len(m.Skipped) != want-1 || m.Splits["train"].Images != 12 {
		t.Fatalf("%v, %+v", err, m)
	}
	again := t.TempDir()
	if _, err := Write(t.Context(), list(t, root), again, o); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, dir, again)
}

func TestFoldersThatAreNotOurs(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), list(t, folder(t, 1)), dir, small); err == nil ||
		!strings.Contains(err.Error(), "not empty") {
		t.Errorf("pack into a folder with a file: %v", err)
	}
	if len(contents(t, dir)) != 1 {
		t.Error("something was written")
	}
}

// A full disk and a folder without write permission each cause one clear error; nothing of the
// shard remains.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	full := errors.New("no space left on device")
	err := writeFile(dir, "train-00000.shard", func(w io.Writer) error {
		if _, err := w.Write([]byte("half")); err != nil {
			return err
		}
		return full
	})
	if !errors.Is(err, full) || !strings.Contains(err.Error(), "train-00000.shard") || len(contents(t, dir)) != 0 {
		t.Errorf("%v, left: %v", err, contents(t, dir))
	}
}

// Damage is found: when an image is read, at the latest, and always by Verify.
func TestDamage(t *testing.T) {
	root := folder(t, 5)
	for name, k := range map[string]struct {
		file   string
		change func([]byte) []byte
		when   string
	}{
		"shard cut":     {"train-00000.shard", func(b []byte) []byte { return b[:len(b)-1] }, "open"},
		"shard longer":  {"test-00000.shard", func(b []byte) []byte { return append(b, 0) }, "open"},
		"shard missing": {"train-00000.shard", nil, "open"},
		"shard altered": {"train-00000.shard", func(b []byte) []byte { b[100] ^= 1; return b }, "read"},
		"index altered": {"train.index", func(b []byte) []byte { b[0] ^= 1; return b }, "open"},
		"index cut":     {"test.index", func(b []byte) []byte { return b[:8] }, "open"},
		"names altered": {"train.names", func(b []byte) []byte { b[0] ^= 1; return b }, "verify"},
		"mean altered":  {"train.mean", func(b []byte) []byte { b[0] ^= 1; return b }, "verify"},
		"manifest cut":  {manifestName, func(b []byte) []byte { return b[:len(b)/2] }, "open"},
		"format of 2099": {manifestName, func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"format": 1`),
				[]byte(`"format": 99`), 1)
		}, "open"},
	} {
		dir := t.TempDir()
		if _, err := Write(t.Context(), list(t, root), dir, small); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, k.file)
		if k.change == nil {
			os.Remove(path)
		} else if text, err := os.ReadFile(path); err != nil || os.WriteFile(path, k.change(text), 0o644) != nil {
			t.Fatal(err)
		}
		p, err := Open(dir)
		if (err != nil) != (k.when == "open") {
			t.Errorf("%s: Open says %v", name, err)
		}
		if err != nil {
			if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), k.file) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err := p.Verify(t.Context()); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: Verify says %v", name, err)
		}
		found := 0
		for i := range p.Train.Labels {
			if _, err := p.Train.At(i); errors.Is(err, ErrCorrupt) {
				found++
			}
		}
		if want := map[string]int{"read": 1}[k.when]; found != want {
			t.Errorf("%s: %d images are refused, want %d", name, found, want)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A shard that is truncated while it is mapped causes an error, not a crash.
func TestCutWhileMapped(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a mapped file cannot be cut on Windows")
	}
	dir := t.TempDir()
	if _, err := Write(t.Context(), list(t, folder(t, 50)), dir,
		Options{Fit: imaging.Fit{Size: 64}, Workers: 2}); err != nil {
		t.Fatal(err)
	}
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := os.Truncate(filepath.Join(dir, "train-00000.shard"), 12_288); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Train.At(99); !errors.Is(err, ErrCorrupt) {
		t.Errorf("an image that is no longer there: %v", err)
	}
	if _, err := p.Train.At(0); err != nil {
		t.Errorf("an image that is still there: %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	dir := f.TempDir()
	if _, err := Write(f.Context(), list(f, folder(f, 2)), dir, small); err != nil {
		f.Fatal(err)
	}
	text := contents(f, dir)
	f.Add([]byte(text[manifestName]), []byte(text["train.index"]))
	f.Add([]byte(strings.Replace(text[manifestName], "train-00000.shard", "../train-00000.shard", 1)), []byte{})
	f.Add([]byte(strings.Replace(text[manifestName], `"images": 4`, `"images": -4`, 1)), []byte{1, 2, 3})
	f.Add([]byte("{}"), []byte(nil))
	f.Fuzz(func(t *testing.T, manifest, index []byte) {
		m, err := parseManifest(manifest)
		if err != nil {
			return
		}
		for _, s := range m.Splits["train"].Shards {
			if !filepath.IsLocal(s.File) || s.Images < 1 {
				t.Errorf("shard %+v was taken", s)
			}
		}
		labels, err := parseIndex(index, m.Splits["train"].Images, len(m.Classes))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Error(err)
			}
			return
		}
		if slices.ContainsFunc(labels, func(l int32) bool {
			return l < 0 ||
				int(l) >= len(m.Classes)
		}) || len(labels)*entryBytes != len(index) {
			t.Errorf("labels %v were taken", labels)
		}
	})
}

// sparse makes a pack of n images of 256×256 that takes no space: its shards have holes instead of
// bytes.
func sparse(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	fit := imaging.Fit{ShortSide: 256}
	m := Manifest{Format: formatVersion, Method: imaging.Method, Fit: fit, Classes: make([]string, 1000),
		Splits: map[string]Split{}}
	for split, images := range map[string]int{"train": n, "test": n / 25} {
		var s Split
		var index []byte
		for i := range images {
			index = appendEntry(index, entry{int32(i % 1000), 0})
		}
		for k := 0; k*shardImages < images; k++ {
			shard := Shard{shardName(split, k), min(shardImages, images-k*shardImages), ""}
			path := filepath.Join(dir, shard.File)
			if err := errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path,
				int64(shard.Images)*int64(fit.Len()))); err != nil {
				t.Skip("no sparse files here: ", err)
			}
			s.Shards = append(s.Shards, shard)
		}
		s.Images, s.Index = images, digest(index)
		m.Splits[split] = s
		if err := writeBytes(dir, indexName(split), index); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeJSON(dir, manifestName, m); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A pack of ImageNet's size has 1,281,167 images and 252 GB. The memory for opening it does not
// grow with the images' bytes.
func TestOpenImageNetSized(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" || runtime.GOOS == "windows" {
		t.Skip("252 GB of sparse files need a 64-bit address space and a file system with holes")
	}
	dir := sparse(t, 1_281_167)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	runtime.ReadMemStats(&after)
	if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 100 {
		t.Errorf("opening took %d MiB", took)
	}
	if len(p.Train.Labels) != 1_281_167 || p.Train.Labels[1_281_166] != 166 {
		t.Errorf("%d labels", len(p.Train.Labels))
	}
}

// Run with: go test ./runner/data/pack -run - -bench OpenImageNetSized
func BenchmarkOpenImageNetSized(b *testing.B) {
	dir := sparse(b, 1_281_167)
	b.ReportAllocs()
	for b.Loop() {
		p, err := Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		p.Close()
	}
}
