package index

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ablate/experiments"
)

func train(t testing.TB, s *experiments.Store, variant string, seed uint64, status experiments.Status) string {
	t.Helper()
	dir, err := leave(s, variant, seed, status)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// leave leaves a run behind.
func leave(s *experiments.Store, variant string, seed uint64, status experiments.Status) (string, error) {
	r, err := s.Start(experiments.Record{Study: "s", Variant: variant, Seed: seed, Identity: "i",
		Recipe:   json.RawMessage(`{}`),
		Attempts: []experiments.Attempt{{Hardware: "test"}}}, experiments.StartOptions{})
	if err != nil {
		return "", err
	}
	err = r.Finish(status, &experiments.Result{Epochs: 2, Top1Error: 0.25, WeightsSHA256: "w"}, nil)
	return r.Dir(), errors.Join(err, r.Close())
}

// listed brings an index up to date and returns "variant/seed status" of every run.
func listed(t testing.TB, s *experiments.Store, rebuild bool, f Filter) []string {
	t.Helper()
	runs, problems, err := List(t.Context(), s, f, rebuild)
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	var out []string
	for _, r := range runs {
		if *r.Epochs != 2 || *r.Top1Error != 0.25 || r.Weights != "w" || r.Started.IsZero() || r.Attempts < 1 {
			t.Errorf("%+v", r)
		}
		out = append(out, fmt.Sprintf("%s/%d %s", r.Variant, r.Seed, r.Status))
	}
	return out
}

func TestIndex(t *testing.T) {
	s := &experiments.Store{Root: t.TempDir()}
	want := func(f Filter, runs ...string) {
		t.Helper()
		for _, rebuild := range []bool{false, true} {
			if d := cmp.Diff(runs, listed(t, s, rebuild, f)); d != "" {
				t.Errorf("rebuilt: %v (-want +got):\n%s", rebuild, d)
			}
		}
	}
	want(Filter{})
	dir := train(t, s, "b", 10, experiments.Done)
	train(t, s, "b", 9, experiments.Interrupted)
	train(t, s, "a", 18446744073709551615, experiments.Done)
	want(Filter{}, "a/18446744073709551615 done", "b/9 interrupted", "b/10 done")
	want(Filter{Status: experiments.Done}, "a/18446744073709551615 done", "b/10 done")
	want(Filter{Study: "t"})
	train(t, s, "b", 9, experiments.Done) // another attempt
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	want(Filter{}, "a/18446744073709551615 done", "b/9 done")
}

// Whatever stands where the index should be, runs are listed.
func TestDamagedIndex(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "text": "this is not a database", "cut": "SQLite format 3\x00\x10\x00",
		"zeros": strings.Repeat("\x00", 8192),
	} {
		s := &experiments.Store{Root: t.TempDir()}
		train(t, s, "a", 1, experiments.Done)
		if err := os.WriteFile(filepath.Join(s.Root, File), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"a/1 done"}, listed(t, s, false, Filter{})); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
}

// A record that cannot be read is named, and the others are listed.
func TestDamagedRecord(t *testing.T) {
	s := &experiments.Store{Root: t.TempDir()}
	dir := train(t, s, "a", 1, experiments.Done)
	train(t, s, "a", 2, experiments.Done)
	if err := os.WriteFile(experiments.RecordPath(dir), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	runs, problems, err := List(t.Context(), s, Filter{}, false)
	if err != nil || len(runs) != 1 || len(problems) != 1 || !strings.Contains(problems[0].Error(), dir) {
		t.Errorf("%v, %v, %v", runs, problems, err)
	}
}

const childRoot = "ABLATE_TEST_INDEX"

// TestMain lets the test binary be a process that trains runs, or lists them.
func TestMain(m *testing.M) {
	root := os.Getenv(childRoot)
	if root == "" {
		os.Exit(m.Run())
	}
	child := trainAndList
	if os.Getenv("ABLATE_TEST_VARIANT") == "" {
		child = listTen
	}
	if err := child(&experiments.Store{Root: root}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// trainAndList trains ten runs and brings the index up to date after each.
func trainAndList(s *experiments.Store) error {
	for seed := range uint64(10) {
		if _, err := leave(s, os.Getenv("ABLATE_TEST_VARIANT"), seed, experiments.Done); err != nil {
			return err
		}
		if _, _, err := List(context.Background(), s, Filter{}, false); err != nil {
			return err
		}
	}
	return nil
}

// listTen lists the ten runs that are there.
func listTen(s *experiments.Store) error {
	runs, problems, err := List(context.Background(), s, Filter{}, false)
	if err == nil && (len(runs) != 10 || len(problems) > 0) {
		err = fmt.Errorf("%d runs, %v", len(runs), problems)
	}
	return err
}

// processes starts processes at once and waits for them.
func processes(t *testing.T, s *experiments.Store, n int, environment func(i int) string) {
	t.Helper()
	var children []*exec.Cmd
	for i := range n {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), childRoot+"="+s.Root, environment(i))
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		children = append(children, c)
	}
	for _, c := range children {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// Processes that write different runs and bring the index up to date at once do not hinder each other.
func TestManyProcesses(t *testing.T) {
	s := &experiments.Store{Root: t.TempDir()}
	processes(t, s, 4, func(i int) string { return fmt.Sprint("ABLATE_TEST_VARIANT=v", i) })
	if n := len(listed(t, s, false, Filter{})); n != 40 {
		t.Errorf("%d runs are listed", n)
	}
}

// Twelve processes find a truncated index at once. Each removed and rebuilt it
// under the others' feet, and a third of them could not list.
func TestManyProcessesOverDamage(t *testing.T) {
	s := &experiments.Store{Root: t.TempDir()}
	for seed := range uint64(10) {
		train(t, s, "a", seed, experiments.Done)
	}
	listed(t, s, true, Filter{})
	path := filepath.Join(s.Root, File)
	for range 3 {
		if err := os.Truncate(path, 5000); err != nil {
			t.Fatal(err)
		}
		processes(t, s, 12, func(int) string { return "ABLATE_TEST_VARIANT=" })
	}
	if text, err := os.ReadFile(path); err != nil || len(text) <= 5000 {
		t.Errorf("the index was not rebuilt: %d bytes, %v", len(text), err)
	}
}

// A folder that cannot be written is listed all the same. (Root may write into a
// read-only folder, so the index's name is taken by a folder with something in it.)
func TestUnwritableIndex(t *testing.T) {
	s := &experiments.Store{Root: t.TempDir()}
	train(t, s, "a", 1, experiments.Done)
	if err := os.MkdirAll(filepath.Join(s.Root, File, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a/1 done"}, listed(t, s, false, Filter{})); d != "" {
		t.Error(d)
	}
}

// Whatever the index file holds, opening, refreshing and listing neither panics nor loses a run for good.
func FuzzIndex(f *testing.F) {
	s := &experiments.Store{Root: f.TempDir()}
	train(f, s, "a", 1, experiments.Done)
	listed(f, s, true, Filter{})
	text, err := os.ReadFile(filepath.Join(s.Root, File))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)/2])
	f.Add([]byte("SQLite format 3\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(s.Root, File), text, 0o644); err != nil {
			t.Fatal(err)
		}
		List(t.Context(), s, Filter{}, false) // what it lists is as good as the file
		if d := cmp.Diff([]string{"a/1 done"}, listed(t, s, true, Filter{})); d != "" {
			t.Errorf("rebuilt:\n%s", d)
		}
	})
}
