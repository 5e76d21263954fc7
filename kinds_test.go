package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Five files know the example in CONTRIBUTING, maxout: they define what it is, what it computes, and how a CPU and a
// GPU compute it. Tests of all kinds find it by its registration. Exporters refuse kinds that they do not know by name.
func TestLayerKindIsFiveFiles(t *testing.T) {
	want := []string{
		"arch/maxout.go", "runner/engine/cpu/maxout.go", "runner/engine/cuda/kernels/elementwise.cu",
		"runner/engine/cuda/kernels/lower_elementwise.go", "runner/graph/maxout.go",
	}
	word := regexp.MustCompile(`(?i)maxout(s|grad)?\b`)
	var got []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch path = filepath.ToSlash(path); {
		case d.IsDir() && (path == "experiments/export" || d.Name() == "enginetest" || d.Name() == "testdata"):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".cu") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if word.Match(text) {
			got = append(got, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("maxout is known to %v, want %v", got, want)
	}
	guide, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range want {
		if !bytes.Contains(guide, []byte("]("+file+")")) {
			t.Errorf("CONTRIBUTING.md does not show %s", file)
		}
	}
}
