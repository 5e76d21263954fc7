package experiments

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a run keeps for pictures is read as it was saved, and says so where it is missing or damaged.
func TestFiltersAndTimes(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	run := start(t, s, "one", StartOptions{})
	defer run.Close()
	r := record("one")
	if _, _, err := s.Filters(r); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("filters that nobody saved: %v", err)
	}
	if _, err := s.Times(r); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("times that nobody saved: %v", err)
	}

	before := Tensor{"conv1.weight.initial", []int{1, 1, 1, 2}, []float32{1, -2}}
	after := Tensor{"conv1.weight.trained", []int{1, 1, 1, 2}, []float32{3, 0.5}}
	times := Times{Hardware: "a CPU", Batch: 4, Kernels: []KernelTime{
		{Name: "conv{conv1}+relu", Layer: "conv1", Seconds: 0.25}, {Name: "update{conv1.bias}", Layer: "conv1"},
	}}
	if err := run.SaveFilters(before, after); err != nil {
		t.Fatal(err)
	}
	if err := run.SaveTimes(times); err != nil {
		t.Fatal(err)
	}
	b, a, err := s.Filters(r)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Tensor{before, after}, []Tensor{b, a}); d != "" {
		t.Errorf("filters (-saved +read):\n%s", d)
	}
	got, err := s.Times(r)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(times, got); d != "" {
		t.Errorf("times (-saved +read):\n%s", d)
	}

	for _, name := range []string{filtersFile, timesFile} {
		if err := os.WriteFile(filepath.Join(run.dir, name), []byte("{torn"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Filters(r); !errors.Is(err, ErrWeights) {
		t.Errorf("torn filters: %v", err)
	}
	if _, err := s.Times(r); err == nil || !strings.Contains(err.Error(), timesFile) {
		t.Errorf("torn times: %v", err)
	}
}
