package data

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ablate/recipe"
)

func TestCIFAR100(t *testing.T) {
	dir := t.TempDir()
	train := make([]byte, 50_000*cifar100Record)
	train[0], train[1], train[2], train[2+cifarPlane], train[2+2*cifarPlane] = 19, 99, 10, 20, 30
	var names strings.Builder
	for i := range 100 {
		fmt.Fprintf(&names, "class_%d\n", i)
	}
	write := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("train.bin", train)
	write("test.bin", make([]byte, 10_000*cifar100Record))
	cfg := recipe.Data{Name: "cifar100", Root: dir, Train: 2, Test: 1}
	if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrMissing) ||
		!strings.Contains(err.Error(), "fine_label_names.txt") {
		t.Errorf("without names: %v", err)
	}
	write("fine_label_names.txt", []byte(names.String()))
	ds, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ds.Train.Labels, []int32{99, 0}) || !slices.Equal(ds.Train.Images[:3],
		[]byte{10, 20, 30}) || ds.Classes[99] != "class_99" {
		t.Errorf("labels %v, first pixel %v, class 99 is %s", ds.Train.Labels, ds.Train.Images[:3], ds.Classes[99])
	}
	train[1] = 100
	write("train.bin", train)
	if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrCorrupt) ||
		!strings.Contains(err.Error(), "record 0 has label 100") {
		t.Errorf("a label of 100: %v", err)
	}
	write("test.bin", train[:10])
	write("train.bin", train[:len(train)-1])
	if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrCorrupt) ||
		!strings.Contains(err.Error(), "train.bin: it has") {
		t.Errorf("a cut file: %v", err)
	}
}
