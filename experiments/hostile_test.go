package experiments

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func containsAll(text string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}

// everyFile is what the readers below read.
var everyFile = []string{recordFile, metricsFile, predictionsFile, weightsFile, filtersFile, timesFile, lockFile}

// reads are all readers of a run's files.
func reads(s *Store, dir string) map[string]error {
	rec := record("a")
	_, metrics := s.Metrics(rec)
	_, predictions := s.Predictions(rec)
	_, weights := ReadWeights(dir)
	_, _, filters := s.Filters(rec)
	_, times := s.Times(rec)
	_, run := ReadRecord(dir)
	_, started := s.Start(rec, StartOptions{})
	return map[string]error{metricsFile: metrics, predictionsFile: predictions, weightsFile: weights,
		filtersFile: filters, timesFile: times, recordFile: run, lockFile: started}
}

// A file of a terabyte is refused by its size, before any of it is read.
func TestHugeFiles(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	r := start(t, s, "a", StartOptions{})
	r.Close()
	for _, name := range everyFile {
		f, err := os.Create(filepath.Join(r.Dir(), name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Truncate(1<<40), f.Close()); err != nil {
			t.Skip("no sparse files here: ", err)
		}
	}
	for name, err := range reads(s, r.Dir()) {
		if want := errLarge; name == lockFile && !errors.Is(err, ErrBusy) || name != lockFile && !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is not a file is refused: a FIFO was waited for, for ever.
func TestNoFiles(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	r := start(t, s, "a", StartOptions{})
	r.Close()
	for _, name := range everyFile {
		os.Remove(filepath.Join(r.Dir(), name))
		if err := makeFIFO(filepath.Join(r.Dir(), name)); err != nil {
			t.Skip("no pipes here: ", err)
		}
	}
	for name, err := range reads(s, r.Dir()) {
		if err == nil {
			t.Errorf("%s was read", name)
		}
	}
	os.Remove(filepath.Join(r.Dir(), lockFile))
	os.Remove(RecordPath(r.Dir()))
	if _, err := s.Start(record("a"), StartOptions{}); err == nil || !strings.Contains(err.Error(), metricsFile) {
		t.Errorf("%v", err)
	}
	os.Remove(MetricsPath(r.Dir()))
	os.Remove(filepath.Join(r.Dir(), logFile))
	if err := makeFIFO(filepath.Join(r.Dir(), logFile)); err != nil {
		t.Skip("no pipes here: ", err)
	}
	if _, err := s.Start(record("a"), StartOptions{}); err == nil || !strings.Contains(err.Error(), logFile) {
		t.Errorf("%v", err)
	}
}

// A log of more lines than a run writes is refused before it fills the memory.
func TestManyLines(t *testing.T) {
	line := `{"attempt":1,"epoch":1,"step":1,"name":"x","value":1,"seconds":0}` + "\n"
	text := metricsHead + "\n" + strings.Repeat(line, 3)
	if m, err := parseMetrics(strings.NewReader(text), 4); err != nil || len(m) != 3 {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := parseMetrics(strings.NewReader(text), 3); err == nil ||
		!strings.Contains(err.Error(), "more than 3 lines") {
		t.Errorf("%v", err)
	}
	text = strings.Join(predictionsHead, ",") + "\n" + strings.Repeat("0,0,0,1,0\n", 3)
	if p, err := parsePredictions(strings.NewReader(text), 3); err != nil || len(p) != 3 {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := parsePredictions(strings.NewReader(text), 2); err == nil ||
		!strings.Contains(err.Error(), "more than 2 images") {
		t.Errorf("%v", err)
	}
}

// One record that cannot be read neither hides the garbage of the others nor
// stands in the way of --fresh.
func TestDamagedRecordIsNoObstacle(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	finish(t, start(t, s, "a", StartOptions{}))
	start(t, s, "b", StartOptions{Fresh: true}).Close()
	other := record("a")
	other.Seed = 4
	r, err := s.Start(other, StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if err := os.WriteFile(RecordPath(r.Dir()), []byte("{torn"), 0o644); err != nil {
		t.Fatal(err)
	}
	paths, problems := s.Garbage()
	if len(paths) != 1 || !strings.HasSuffix(paths[0], "seed-3.old-1") {
		t.Errorf("garbage: %v", paths)
	}
	if len(problems) != 1 || !containsAll(problems[0].Error(), RecordPath(r.Dir()), "left alone") {
		t.Errorf("problems: %v", problems)
	}
	if _, err := s.Start(other, StartOptions{}); err == nil || !strings.Contains(err.Error(), "--fresh") {
		t.Errorf("%v", err)
	}
	if r, err = s.Start(other, StartOptions{Fresh: true}); err != nil {
		t.Fatal(err)
	}
	finish(t, r)
	if text, err := os.ReadFile(RecordPath(r.Dir() + ".old-1")); err != nil || string(text) != "{torn" {
		t.Errorf("the damaged record was not kept: %q, %v", text, err)
	}
}
