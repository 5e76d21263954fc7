package data

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ablate/recipe"
	"ablate/runner/data/imaging"
)

func TestCIFARPlanesBecomePixels(t *testing.T) {
	text := make([]byte, 2*cifar10Record)
	text[0], text[cifar10Record] = 3, 9
	record := text[cifar10Record:]
	record[1], record[1+cifarPlane], record[1+2*cifarPlane] = 10, 20, 30 // the first pixel's red, green, blue
	record[cifarPlane], record[2*cifarPlane], record[3*cifarPlane] = 40, 50, 60
	var s Split
	if err := s.addCIFAR(text, cifar10Record, 10); err != nil {
		t.Fatal(err)
	}
	second := s.Images[3*cifarPlane:]
	if !slices.Equal(s.Labels, []int32{3, 9}) || len(second) != 3*cifarPlane ||
		!slices.Equal(second[:3], []byte{10, 20, 30}) || !slices.Equal(second[len(second)-3:], []byte{40, 50, 60}) {
		t.Errorf("labels %v, first pixel %v, last %v", s.Labels, second[:3], second[len(second)-3:])
	}
}

func TestDamagedCIFAR(t *testing.T) {
	sized := func(n int64) func(string) error {
		return func(name string) error {
			return errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, n))
		}
	}
	for name, k := range map[string]struct {
		make func(file string) error
		says string
	}{
		"truncated": {sized(cifar10Bytes - 1), "it has 30729999 bytes instead of 30730000; unpack it again"},
		"longer":    {sized(cifar10Bytes + 1), "it has 30730001 bytes instead of 30730000"},
		"altered":   {sized(cifar10Bytes), "and the official file's 5dd7e06a14cb22eb9f671a540d1b7c25"},
	} {
		dir := t.TempDir()
		if err := k.make(filepath.Join(dir, "data_batch_1.bin")); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), recipe.Data{Name: "cifar10", Root: dir})
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), k.says) ||
			!strings.Contains(err.Error(), "data_batch_1.bin") {
			t.Errorf("%s: %v, want ErrCorrupt that says %q", name, err, k.says)
		}
	}
}

func TestCIFARLabelOutOfRange(t *testing.T) {
	text := make([]byte, cifar10Record)
	text[0] = 10
	if err := new(Split).addCIFAR(text, cifar10Record, 10); !errors.Is(err, ErrCorrupt) ||
		!strings.Contains(err.Error(), "record 0 has label 10") {
		t.Error(err)
	}
	if err := new(Split).addCIFAR(text[1:], cifar10Record, 10); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}

// member is one entry of a tar file.
type member struct {
	name string
	kind byte
	text string
}

func tarred(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Typeflag: m.kind, Size: int64(len(m.text)), Mode: 0o600}
		if m.kind == tar.TypeSymlink {
			h.Linkname, h.Size, m.text = m.text, 0, ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(m.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// wanted returns two small files to look for in an archive.
func wanted() []File {
	var files []File
	for _, text := range []string{"one", "two!"} {
		files = append(files, File{Name: text + ".bin", Bytes: int64(len(text)),
			MD5: fmt.Sprintf("%x", md5.Sum([]byte(text)))})
	}
	return files
}

func TestUntar(t *testing.T) {
	one, two := member{"set/one.bin", tar.TypeReg, "one"}, member{"set/two!.bin", tar.TypeReg, "two!"}
	whole := zipped(t, tarred(t, one, two))
	for name, k := range map[string]struct {
		text []byte
		is   error
		says string
	}{
		"other order, other members": {text: zipped(t, tarred(t, member{"../../escape", tar.TypeReg, "x"}, two,
			member{"set/one.bin", tar.TypeSymlink, "/etc/hosts"}, one))},
		"missing": {zipped(t, tarred(t, two)), ErrMissing, "one.bin is not in the archive"},
		"other size": {zipped(t, tarred(t, member{"one.bin", tar.TypeReg, "ones"}, two)), ErrCorrupt,
			"one.bin: it has 4 bytes instead of 3"},
		"altered":     {zipped(t, tarred(t, member{"one.bin", tar.TypeReg, "0ne"}, two)), ErrCorrupt, "one.bin: its MD5"},
		"cut":         {whole[:600], ErrCorrupt, "fetch it again"},
		"cut earlier": {whole[:100], ErrCorrupt, "fetch it again"},
		"not gzip":    {[]byte("<html>not found</html>"), ErrCorrupt, "not a tar.gz"},
		"not tar":     {zipped(t, []byte("hello")), ErrCorrupt, "fetch it again"},
	} {
		texts, err := untar(bytes.NewReader(k.text), wanted())
		switch {
		case k.is == nil && (err != nil || string(texts[0]) != "one" || string(texts[1]) != "two!"):
			t.Errorf("%s: %q, %v", name, texts, err)
		case k.is != nil && (!errors.Is(err, k.is) || !strings.Contains(err.Error(), k.says)):
			t.Errorf("%s: %v, want %v that says %q", name, err, k.is, k.says)
		}
	}
}

func FuzzUntar(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(tarred(f, member{"set/one.bin", tar.TypeReg, "one"}, member{"two!.bin", tar.TypeReg, "two!"}))
	f.Add(tarred(f, member{"one.bin", tar.TypeSymlink, "two!.bin"}, member{"set", tar.TypeDir, ""}))
	files := wanted()
	f.Fuzz(func(t *testing.T, text []byte) {
		texts, err := untar(bytes.NewReader(zipped(t, text)), files)
		switch {
		case err == nil && (string(texts[0]) != "one" || string(texts[1]) != "two!"):
			t.Errorf("%q was taken for the wanted files", texts)
		case err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrMissing):
			t.Errorf("%v is no sentinel", err)
		}
	})
}

func FuzzCIFAR(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(make([]byte, cifar10Record))
	f.Add(bytes.Repeat([]byte{9}, 2*cifar10Record))
	f.Add(make([]byte, cifar10Record+1))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Split
		if err := s.addCIFAR(text, cifar10Record, 10); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v is not ErrCorrupt", err)
			}
			return
		}
		if len(s.Images)+s.Len() != len(text) || len(s.Images) != s.Len()*3*cifarPlane {
			t.Errorf("%d bytes gave %d images of %d bytes", len(text), s.Len(), len(s.Images))
		}
	})
}

// realCIFAR returns the folder of the official data under ABLATE_DATA.
func realCIFAR(t *testing.T) string {
	t.Helper()
	root := os.Getenv("ABLATE_DATA")
	if root == "" {
		t.Skip("ABLATE_DATA is not set: the real CIFAR-10 is not read")
	}
	return filepath.Join(root, "cifar-10-batches-bin")
}

func TestRealCIFAR(t *testing.T) {
	root := realCIFAR(t)
	r, err := Check(t.Context(), "cifar10", root, imaging.Fit{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Shared) != 0 || len(r.Repeated) != 0 {
		t.Errorf("%d images in both splits, %d repeated", len(r.Shared), len(r.Repeated))
	}
	for class, n := range r.Balance {
		if n != [2]int{5000, 1000} {
			t.Errorf("class %s has %v images", r.Dataset.Classes[class], n)
		}
	}
	for split, want := range map[string]string{
		"train": "72dfde397cbe755bcf86a96a83205bc36297b1c470620d29cce1d181edb21f4e",
		"test":  "f51dfb02b894bf8e5ff3a86a1c306ffeb04c1b0134f237ceb06c233fe9d1f468",
	} {
		if got := r.Dataset.Digests[split]; got != want {
			t.Errorf("%s: SHA-256 %s, want %s", split, got, want)
		}
	}
}

// The archive, packed here from the folder's files, holds the same as the folder.
func TestRealCIFARArchive(t *testing.T) {
	root := realCIFAR(t)
	archive := filepath.Join(t.TempDir(), "cifar-10-binary.tar.gz")
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, _ := gzip.NewWriterLevel(f, gzip.NoCompression)
	w := tar.NewWriter(z)
	if err := errors.Join(w.AddFS(os.DirFS(root)), w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	ds, err := Open(t.Context(), recipe.Data{Name: "cifar10", Root: archive, Test: 2})
	if err != nil {
		t.Fatal(err)
	}
	const want = "72dfde397cbe755bcf86a96a83205bc36297b1c470620d29cce1d181edb21f4e"
	if got := ds.Digests["train"]; got != want || ds.Test.Len() != 2 {
		t.Errorf("%d training images with SHA-256 %s, want %s; %d test images", ds.Train.Len(), got, want, ds.Test.Len())
	}
}
