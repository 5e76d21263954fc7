package experiments

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// format1 is a copy of records that an ablate of format 1 wrote: a run that is
// done, old/baseline/1, and one that was interrupted, old/no-relu/1.
func format1(t *testing.T) *Store {
	t.Helper()
	s := &Store{Root: t.TempDir()}
	if err := os.CopyFS(s.Root, os.DirFS("testdata/format-1/runs")); err != nil {
		t.Fatal(err)
	}
	return s
}

// today is the old record's run as a study would start it today: its recipe has
// the same meaning under other key names, so its identity is another.
func today(variant string) (Record, StartOptions) {
	rec := Record{Study: "old", Variant: variant, Seed: 1, Identity: "today's", Recipe: json.RawMessage(`{}`),
		Attempts: []Attempt{{Hardware: "test"}}}
	return rec, StartOptions{Identify: func(stored json.RawMessage) (string, error) {
		if !strings.Contains(string(stored), `"views": "ten"`) {
			return "", errors.New("not the stored recipe")
		}
		return "today's", nil
	}}
}

func TestFormat1IsRead(t *testing.T) {
	s := format1(t)
	records, problems := s.Load("old")
	if len(problems) > 0 || len(records) != 2 {
		t.Fatalf("%d records, %v", len(records), problems)
	}
	done, unfinished := records[0], records[1]
	if done.Status != Done || unfinished.Status != Interrupted || done.Version != 1 {
		t.Errorf("%+v\n%+v", done, unfinished)
	}
	dir, err := s.Find("old/baseline/1")
	if err != nil {
		t.Fatal(err)
	}
	weights, err := ReadWeights(dir)
	if err != nil {
		t.Fatal(err)
	}
	if digest, err := Digest(weights.Params); err != nil || digest != done.Result.WeightsSHA256 {
		t.Errorf("the weights are not those of the record: %s, %v", digest, err)
	}
	if m, err := s.Metrics(done); err != nil || len(m) != 6*5 {
		t.Errorf("%d metrics, %v", len(m), err)
	}
	if p, err := s.Predictions(done); err != nil || len(p) != done.Result.TestExamples {
		t.Errorf("%d predictions, %v", len(p), err)
	}
	if _, _, err := s.Filters(done); err != nil {
		t.Error(err)
	}
	if times, err := s.Times(done); err != nil || len(times.Kernels) == 0 {
		t.Errorf("%+v, %v", times, err)
	}
}

// A run that format 1 calls done is done today.
func TestFormat1IsDone(t *testing.T) {
	s := format1(t)
	rec, o := today("baseline")
	if _, err := s.Start(rec, o); !errors.Is(err, ErrDone) {
		t.Errorf("%v", err)
	}
	if _, err := s.Start(rec, StartOptions{}); !errors.Is(err, ErrChanged) {
		t.Errorf("without Identify: %v", err)
	}
	rec.Identity = "another"
	if _, err := s.Start(rec, o); !errors.Is(err, ErrChanged) {
		t.Errorf("another recipe: %v", err)
	}
}

// A run that format 1 left unfinished continues from its checkpoint, under today's names.
func TestFormat1Continues(t *testing.T) {
	s := format1(t)
	rec, o := today("no-relu")
	r, err := s.Start(rec, o)
	if err != nil {
		t.Fatal(err)
	}
	want := func(r *Recorder, step int64) {
		t.Helper()
		c, err := r.LatestCheckpoint()
		if err != nil || c == nil || c.Step != step || !strings.Contains(string(c.Counters), `"epochs":1`) ||
			len(c.Tensors) != 8 {
			t.Fatalf("%+v, %v", c, err)
		}
	}
	want(r, 7)
	if old, _ := filepath.Glob(filepath.Join(r.Dir(), "state-*")); len(old) > 0 {
		t.Errorf("left behind: %v", old)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRecord(r.Dir())
	if err != nil || got.Version != 2 || got.Identity != "today's" || len(got.Attempts) != 2 || len(got.FirstSteps) != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	if r, err = s.Start(rec, StartOptions{}); err != nil { // it is a run of today now
		t.Fatal(err)
	}
	want(r, 7)
	finish(t, r)
	if got, err := ReadRecord(r.Dir()); err != nil || got.Status != Done ||
		WeightsPath(r.Dir()) != filepath.Join(r.Dir(), weightsFile) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A process that was killed while it took over an old run's checkpoints loses none.
func TestFormat1KilledWhileAdopted(t *testing.T) {
	for _, cut := range []string{"", "checkpoint-7-*", "checkpoint-6-*"} {
		s := format1(t)
		dir := filepath.Join(s.Root, "old", "no-relu", "seed-1")
		before := map[string][]byte{}
		for _, name := range []string{recordFile, "state-7-*", "state-6-*"} {
			paths, err := filepath.Glob(filepath.Join(dir, name))
			if err != nil || len(paths) != 1 {
				t.Fatal(paths, err)
			}
			if before[paths[0]], err = os.ReadFile(paths[0]); err != nil {
				t.Fatal(err)
			}
		}
		rec, o := today("no-relu")
		r, err := s.Start(rec, o)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		for path, text := range before { // as it stood before the record was written
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if cut != "" { // and before this one was rewritten
			paths, _ := filepath.Glob(filepath.Join(dir, cut))
			if len(paths) != 1 {
				t.Fatal(paths)
			}
			os.Remove(paths[0])
		}
		if r, err = s.Start(rec, o); err != nil {
			t.Fatal(err)
		}
		if c, err := r.LatestCheckpoint(); err != nil || c == nil || c.Step != 7 {
			t.Errorf("without %q: %+v, %v", cut, c, err)
		}
		r.Close()
	}
}

// The checkpoint before a damaged one is used, as in today's format.
func TestFormat1Damaged(t *testing.T) {
	s := format1(t)
	paths, _ := filepath.Glob(filepath.Join(s.Root, "old", "no-relu", "seed-1", "state-7-*"))
	if err := os.Truncate(paths[0], 5000); err != nil {
		t.Fatal(err)
	}
	rec, o := today("no-relu")
	r, err := s.Start(rec, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if c, err := r.LatestCheckpoint(); err != nil || c == nil || c.Step != 6 {
		t.Errorf("%+v, %v", c, err)
	}
}

// What a killed process left of an ended run of format 1 is garbage, its weights are not.
func TestFormat1Garbage(t *testing.T) {
	s := format1(t)
	left, _ := filepath.Glob(filepath.Join(s.Root, "old", "no-relu", "seed-1", "state-6-*"))
	to := filepath.Join(s.Root, "old", "baseline", "seed-1", filepath.Base(left[0]))
	if err := os.Rename(left[0], to); err != nil {
		t.Fatal(err)
	}
	if paths, problems := s.Garbage(); len(problems) > 0 || len(paths) != 1 || paths[0] != to {
		t.Errorf("%v, %v", paths, problems)
	}
}
