package data

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ablate/arch"
	"ablate/recipe"
)

func idx(values []byte, dims ...int) []byte {
	text := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		text = binary.BigEndian.AppendUint32(text, uint32(d))
	}
	return append(text, values...)
}

func zipped(t testing.TB, text []byte) []byte {
	if t != nil {
		t.Helper()
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.NoCompression)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t testing.TB, dir, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// smallMNIST has three training images and one test image, each of 1×2 pixels.
var smallMNIST = map[string][]byte{
	"train-images-idx3-ubyte": idx([]byte{1, 2, 3, 4, 5, 6}, 3, 1, 2),
	"train-labels-idx1-ubyte": idx([]byte{7, 0, 9}, 3),
	"t10k-images-idx3-ubyte":  idx([]byte{8, 9}, 1, 1, 2),
	"t10k-labels-idx1-ubyte":  idx([]byte{4}, 1),
}

func TestIDXPlainAndZipped(t *testing.T) {
	for _, gz := range []bool{false, true} {
		dir := t.TempDir()
		for name, text := range smallMNIST {
			if gz {
				name, text = name+".gz", zipped(t, text)
			}
			write(t, dir, name, text)
		}
		ds, err := Open(t.Context(), recipe.Data{Name: "fashion-mnist", Root: dir})
		if err != nil {
			t.Fatalf("zipped %v: %v", gz, err)
		}
		if ds.Shape != (arch.Shape{Height: 1, Width: 2, Channels: 1}) || ds.Classes[9] != "ankle-boot" ||
			!slices.Equal(ds.Train.Images, []byte{1, 2, 3, 4, 5, 6}) || !slices.Equal(ds.Train.Labels, []int32{7, 0, 9}) ||
			!slices.Equal(ds.Test.Images, []byte{8, 9}) || !slices.Equal(ds.Test.Labels, []int32{4}) {
			t.Errorf("zipped %v: %+v", gz, ds)
		}
	}
}

func TestDamagedIDX(t *testing.T) {
	whole := smallMNIST["train-images-idx3-ubyte"]
	for name, k := range map[string]struct {
		file string
		text []byte
		says string
	}{
		"empty":  {"train-images-idx3-ubyte", nil, "the header is cut short"},
		"cut":    {"train-images-idx3-ubyte", whole[:len(whole)-1], "claims 6 values, there are 5"},
		"longer": {"train-images-idx3-ubyte", append(slices.Clone(whole), 0), "claims 6 values, there are more"},
		"not bytes": {"train-images-idx3-ubyte", append([]byte{0, 0, 0x0d}, whole[3:]...),
			"not that of unsigned bytes in 3 dimensions"},
		"labels as images": {"train-images-idx3-ubyte", idx(make([]byte, 20), 20),
			"not that of unsigned bytes in 3 dimensions"},
		"no images":   {"train-images-idx3-ubyte", idx(nil, 0, 1, 2), "empty or too large"},
		"huge claim":  {"train-images-idx3-ubyte", idx(nil, 1<<31, 1<<31, 1<<31), "empty or too large"},
		"large claim": {"train-images-idx3-ubyte", idx([]byte{1}, 400<<10, 1<<10, 1), "the file can hold 17 at most"},
		"3 GiB":       {"train-images-idx3-ubyte", idx([]byte{1}, 3<<10, 1<<10, 1<<10), "empty or too large"},
		"zipped bomb": {"train-images-idx3-ubyte.gz", zipped(nil, idx(nil, 400<<10, 1<<10, 1)),
			"values, the file can hold"},
		"fewer labels": {"train-labels-idx1-ubyte", idx([]byte{1, 2}, 2), "3 images but 2 labels"},
		"label":        {"train-labels-idx1-ubyte", idx([]byte{1, 10, 2}, 3), "image 1 has label 10"},
		"other size":   {"t10k-images-idx3-ubyte", idx([]byte{1, 2, 3}, 1, 1, 3), "training images are"},
	} {
		dir := t.TempDir()
		for name, text := range smallMNIST {
			write(t, dir, name, text)
		}
		if strings.HasSuffix(k.file, ".gz") {
			os.Remove(filepath.Join(dir, strings.TrimSuffix(k.file, ".gz")))
		}
		write(t, dir, k.file, k.text)
		_, err := Open(t.Context(), recipe.Data{Name: "mnist", Root: dir})
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), k.says) {
			t.Errorf("%s: %v, want ErrCorrupt that says %q", name, err, k.says)
		}
	}
}

func TestDamagedGzip(t *testing.T) {
	whole := zipped(t, smallMNIST["train-images-idx3-ubyte"])
	for name, text := range map[string][]byte{"cut": whole[:len(whole)-9], "not gzip": []byte("<html>not found</html>")} {
		dir := t.TempDir()
		write(t, dir, "train-images-idx3-ubyte.gz", text)
		if _, err := Open(t.Context(), recipe.Data{Name: "kmnist", Root: dir}); !errors.Is(err, ErrCorrupt) ||
			!strings.Contains(err.Error(), "fetch it again") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzIDX(f *testing.F) {
	f.Add([]byte(nil), 1)
	f.Add(idx([]byte{1, 2, 3}, 3), 1)
	f.Add(idx([]byte{1, 2, 3, 4, 5, 6}, 3, 1, 2), 3)
	f.Add(idx([]byte{1}, 1<<31, 1<<31, 2), 3)
	f.Fuzz(func(t *testing.T, text []byte, rank int) {
		if rank != 1 && rank != 3 {
			t.Skip("the reader is asked for 1 or 3 dimensions")
		}
		values, dims, err := parseIDX(bytes.NewReader(text), int64(len(text)), rank)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v is not ErrCorrupt", err)
			}
			return
		}
		if again := idx(values, dims...); !bytes.Equal(again, text) {
			t.Errorf("% x was read as %v, % x", text, dims, values)
		}
	})
}
