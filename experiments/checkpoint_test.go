package experiments

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// checkpointAt is a checkpoint whose values tell its step.
func checkpointAt(step int64) Checkpoint {
	return Checkpoint{Step: step, Counters: json.RawMessage(fmt.Sprintf(`{"epochs":%d}`, step/10)),
		Tensors: []Tensor{
			{"w", []int{2}, []float32{float32(step), -1}},
			{"w.velocity", []int{2}, []float32{0, float32(step)}},
		}}
}

// withCheckpoints is a run with checkpoints at the steps given, ended as a kill would, but for the lock.
func withCheckpoints(t *testing.T, steps ...int64) (*Store, *Recorder) {
	t.Helper()
	s := &Store{Root: t.TempDir()}
	r := start(t, s, "a", StartOptions{})
	for _, step := range steps {
		if err := r.SaveCheckpoint(checkpointAt(step)); err != nil {
			t.Fatal(err)
		}
	}
	return s, r
}

func again(t *testing.T, s *Store, r *Recorder) *Recorder {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = start(t, s, "a", StartOptions{})
	t.Cleanup(func() { r.Close() })
	return r
}

func wantCheckpoint(t *testing.T, r *Recorder, step int64) {
	t.Helper()
	got, err := r.LatestCheckpoint()
	if err != nil {
		t.Fatal(err)
	}
	if want := checkpointAt(step); got == nil || !cmp.Equal(want, *got) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestCheckpoint(t *testing.T) {
	s, r := withCheckpoints(t, 7, 10, 20)
	if list, _ := checkpoints(r.Dir()); len(list) != 2 || list[0].step != 20 || list[1].step != 10 {
		t.Errorf("kept %v", list)
	}
	r = again(t, s, r)
	wantCheckpoint(t, r, 20)
	if from := r.rec.Attempts[1].From; from != 20 {
		t.Errorf("the attempt says it went on from step %d", from)
	}
	finish(t, r)
	if list, _ := checkpoints(r.Dir()); len(list) > 0 {
		t.Errorf("a done run keeps %v", list)
	}
}

func TestNoCheckpoint(t *testing.T) {
	_, r := withCheckpoints(t)
	defer r.Close()
	if s, err := r.LatestCheckpoint(); s != nil || err != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

// The same checkpoint is the same bytes, whoever writes it and when.
func TestCheckpointBytes(t *testing.T) {
	var names []string
	var texts [][]byte
	for range 2 {
		s, r := withCheckpoints(t, 3)
		r = again(t, s, r)
		if err := r.SaveCheckpoint(checkpointAt(9)); err != nil {
			t.Fatal(err)
		}
		list, _ := checkpoints(r.Dir())
		text, err := os.ReadFile(list[0].path)
		if err != nil {
			t.Fatal(err)
		}
		names, texts = append(names, filepath.Base(list[0].path)), append(texts, text)
	}
	if names[0] != names[1] || !bytes.Equal(texts[0], texts[1]) {
		t.Errorf("%q and %q differ", names[0], names[1])
	}
}

// Whatever happens to the newest checkpoint's bytes, it is found out, named in
// the log, removed, and the one before it is used.
func TestDamagedCheckpoint(t *testing.T) {
	damage := map[string]func([]byte) []byte{
		"empty":       func([]byte) []byte { return nil },
		"longer":      func(b []byte) []byte { return append(b, 0) },
		"zeroed tail": func(b []byte) []byte { clear(b[len(b)-8:]); return b },
	}
	for i := range 24 { // a bit flipped, and a cut, at places all over the file
		damage[fmt.Sprint("bit ", i)] = func(b []byte) []byte { b[i*len(b)/24] ^= 1 << (i % 8); return b }
		damage[fmt.Sprint("cut ", i)] = func(b []byte) []byte { return b[:i*len(b)/24] }
	}
	for name, change := range damage {
		s, r := withCheckpoints(t, 10, 20)
		list, _ := checkpoints(r.Dir())
		text, err := os.ReadFile(list[0].path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(list[0].path, change(text), 0o644); err != nil {
			t.Fatal(err)
		}
		r = again(t, s, r)
		wantCheckpoint(t, r, 10)
		log, _ := os.ReadFile(filepath.Join(r.Dir(), logFile))
		if !strings.Contains(string(log), filepath.Base(list[0].path)+" cannot be used") {
			t.Errorf("%s: the log says\n%s", name, log)
		}
		if left, _ := checkpoints(r.Dir()); len(left) != 1 {
			t.Errorf("%s: %v are left", name, left)
		}
	}
}

// A checkpoint of another recipe, or one that knows more of the metric log than is there, is not used.
func TestForeignCheckpoint(t *testing.T) {
	s, r := withCheckpoints(t, 10)
	r.rec.Identity = "b"
	if err := r.SaveCheckpoint(checkpointAt(20)); err != nil {
		t.Fatal(err)
	}
	r = again(t, s, r)
	wantCheckpoint(t, r, 10)

	ahead := checkpointAt(30)
	ahead.Logged = 1
	if err := r.SaveCheckpoint(ahead); err != nil {
		t.Fatal(err)
	}
	r = again(t, s, r)
	wantCheckpoint(t, r, 10)
}

// A folder that vanished, or that another process took, is noticed before the next file is written.
func TestLostFolder(t *testing.T) {
	_, r := withCheckpoints(t, 1)
	if err := os.RemoveAll(r.Dir()); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"checkpoint": r.SaveCheckpoint(checkpointAt(2)), "record": r.Finish(Done, &Result{}, nil),
		"predictions": r.SavePredictions(nil), "first step": r.LogFirstStep(1, "x"),
	} {
		if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), r.Dir()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	putLock(t, r.Dir(), []byte(`{"pid":1,"host":"elsewhere"}`))
	if err := r.SaveCheckpoint(checkpointAt(3)); !errors.Is(err, ErrLost) ||
		!strings.Contains(err.Error(), "process 1 on elsewhere") {
		t.Errorf("%v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(r.Dir(), lockFile)); err != nil {
		t.Error("closing removed another's lock")
	}
}

func TestFirstSteps(t *testing.T) {
	s, r := withCheckpoints(t)
	log := func(step int, digest string) {
		t.Helper()
		if err := r.LogFirstStep(step, digest); err != nil {
			t.Fatal(err)
		}
	}
	log(1, "a")
	log(2, "b")
	r = again(t, s, r)
	log(1, "a")
	log(2, "other")
	log(3, "c")
	if d := cmp.Diff([]string{"a", "other", "c"}, r.rec.FirstSteps); d != "" {
		t.Error(d)
	}
	text, _ := os.ReadFile(filepath.Join(r.Dir(), logFile))
	if n := strings.Count(string(text), "differ from those of the previous attempt"); n != 1 {
		t.Errorf("%d lines in\n%s", n, text)
	}
	if err := r.LogFirstStep(5, "e"); err == nil {
		t.Error("step 4 was left out")
	}
}

func TestSeries(t *testing.T) {
	line := func(attempt int, step int64, name string, value Number) Metric {
		return Metric{Attempt: attempt, Step: step, Name: name, Value: value}
	}
	got := Series([]Metric{
		line(1, 10, "a", 1), line(1, 10, "b", 2), line(1, 20, "a", 3), line(1, 30, "a", 4), // then killed
		line(2, 20, "a", 3), line(2, 20, "b", 5), line(2, 30, "a", 4),
		line(1, 40, "a", 7), line(1, 50, "a", 8), // by a process that only lost its network
		line(2, 40, "a", 6),
	})
	want := []Metric{
		line(1, 10, "a", 1), line(1, 10, "b", 2), line(2, 20, "a", 3), line(2, 20, "b", 5), line(2, 30, "a", 4),
		line(2, 40, "a", 6),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// A clock that goes backwards changes nothing but the times themselves.
func TestClockGoesBack(t *testing.T) {
	defer func() { now = time.Now }()
	at := time.Now()
	now = func() time.Time { at = at.Add(-time.Hour); return at }
	s, r := withCheckpoints(t, 10)
	r = again(t, s, r)
	wantCheckpoint(t, r, 10)
	finish(t, r)
	records, problems := s.Load("s")
	if len(problems) > 0 || len(records) != 1 || records[0].Status != Done || len(records[0].Attempts) != 2 {
		t.Errorf("%+v, %v", records, problems)
	}
	if _, err := s.Start(record("a"), StartOptions{}); !errors.Is(err, ErrDone) {
		t.Errorf("%v", err)
	}
}

// What a checkpoint's reader takes is bounded by the file, whatever is claimed in it.
func FuzzReadCheckpoint(f *testing.F) {
	s := &Store{Root: f.TempDir()}
	r, err := s.Start(record("a"), StartOptions{})
	if err != nil {
		f.Fatal(err)
	}
	defer r.Close()
	if err := r.SaveCheckpoint(checkpointAt(12)); err != nil {
		f.Fatal(err)
	}
	list, err := checkpoints(r.Dir())
	if err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(list[0].path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("\x58\x00\x00\x00\x00\x00\x00\x00" +
		`{"__metadata__":{"format":"ablate-state","version":"1","step":"-1","logged":"1e9999"}}  `))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, _, err := parseCheckpoint(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			return
		}
		total := len(s.Counters)
		for _, x := range s.Tensors {
			total += 4 * len(x.Data)
		}
		if total > len(text) {
			t.Errorf("%d bytes out of a file of %d", total, len(text))
		}
	})
}
