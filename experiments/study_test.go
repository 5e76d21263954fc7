package experiments

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The same records once gave *worse* or *too few seeds*, by the folder in which the
// report was asked for: the family was that of a file, not of the study.
func TestDeclarationsOnlyGrow(t *testing.T) {
	s := &Store{Root: filepath.Join(t.TempDir(), "runs")}
	if _, err := s.Declaration("s"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("nothing is declared: %v", err)
	}
	first := Declaration{
		Study: "s", Design: "each", Variants: []string{"baseline", "z", "a"}, Seeds: []uint64{1, 2},
		Metric: "test_top1_error", At: "last",
	}
	if _, err := s.Declare(first); err != nil {
		t.Fatal(err)
	}
	second := Declaration{
		Study: "s", Design: "factorial", Variants: []string{"baseline", "b", "a"}, Seeds: []uint64{3, 1},
		Metric: "test_loss", At: "best",
	}
	got, err := s.Declare(second)
	if err != nil {
		t.Fatal(err)
	}
	want := first
	want.Version, want.Variants, want.Seeds = 1, []string{"baseline", "z", "a", "b"}, []uint64{1, 2, 3}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	read, err := s.Declaration("s")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, read); d != "" {
		t.Error(d)
	}
	if _, problems := s.Load("s"); len(problems) > 0 {
		t.Errorf("study.json is taken for a run: %v", problems)
	}
}

func TestDamagedDeclaration(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	if err := os.Mkdir(s.Study("s"), 0o755); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`{`:                         "unexpected end",
		`{"version":2,"study":"s"}`: "version 2",
		`{"version":1,"study":"t"}`: `belongs to study "t"`,
	} {
		if err := os.WriteFile(filepath.Join(s.Study("s"), studyFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Declaration("s"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if _, err := s.Declare(Declaration{Study: "s"}); err == nil {
			t.Errorf("%s is overwritten", text)
		}
	}
}
