package experiments

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func record(identity string) Record {
	return Record{Study: "s", Variant: "v", Seed: 3, Identity: identity, Recipe: json.RawMessage(`{}`),
		Attempts: []Attempt{{Device: "cpu", Hardware: "test", Threads: 1}}, Provenance: Capture(CaptureOptions{})}
}

func start(t *testing.T, s *Store, identity string, o StartOptions) *Run {
	t.Helper()
	r, err := s.Start(record(identity), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// finish runs a run to its end with fixed results.
func finish(t *testing.T, r *Run) {
	t.Helper()
	for e := 1; e <= 2; e++ {
		if err := r.Log(Metric{Epoch: e, Step: int64(e) * 10, Name: "test_loss", Value: Number(1 / float64(e))}); err != nil {
			t.Fatal(err)
		}
	}
	digest, err := r.SaveWeights([]Tensor{{"w", []int{2, 2}, []float32{1, -2, 3, 4}}, {"b", []int{1}, []float32{0.5}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SavePredictions([]Prediction{{0, 1, 1, 1, -0.25}, {1, 0, 2, 3, -2}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Finish(Done, &Result{Epochs: 2, WeightsSHA256: digest}, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	s := &Store{t.TempDir()}
	r := start(t, s, "a", StartOptions{})
	finish(t, r)
	if _, err := s.Start(record("a"), StartOptions{}); !errors.Is(err, ErrDone) {
		t.Errorf("a done run can be started again: %v", err)
	}
	records, problems := s.Load("s")
	if len(problems) > 0 || len(records) != 1 || records[0].Status != Done || records[0].Attempts[0].Ended.IsZero() {
		t.Fatalf("%+v, %v", records, problems)
	}
	metrics, err := ReadMetrics(filepath.Join(r.Dir(), metricsFile))
	if err != nil || len(metrics) != 2 || metrics[1].Value != 0.5 || metrics[1].Attempt != 1 {
		t.Errorf("%+v, %v", metrics, err)
	}
	weights, err := ReadWeights(filepath.Join(r.Dir(), weightsFile))
	want := []Tensor{{"w", []int{2, 2}, []float32{1, -2, 3, 4}}, {"b", []int{1}, []float32{0.5}}}
	if d := cmp.Diff(want, weights); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	ps, err := ReadPredictions(filepath.Join(r.Dir(), predictionsFile))
	if d := cmp.Diff([]Prediction{{0, 1, 1, 1, -0.25}, {1, 0, 2, 3, -2}}, ps); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	if _, err := os.Stat(filepath.Join(r.Dir(), lockFile)); !os.IsNotExist(err) {
		t.Error("the lock is still there")
	}
}

// Equal training gives equal files, whenever and wherever it ran.
func TestFilesDependOnResultsAlone(t *testing.T) {
	var files [2][2][]byte
	for i := range files {
		s := &Store{t.TempDir()}
		r := start(t, s, "a", StartOptions{})
		finish(t, r)
		for j, name := range []string{weightsFile, predictionsFile} {
			text, err := os.ReadFile(filepath.Join(r.Dir(), name))
			if err != nil {
				t.Fatal(err)
			}
			files[i][j] = text
		}
	}
	for j := range files[0] {
		if !bytes.Equal(files[0][j], files[1][j]) {
			t.Errorf("file %d differs between equal runs", j)
		}
	}
}

// A changed recipe neither overwrites nor mixes.
func TestChangedRecipe(t *testing.T) {
	s := &Store{t.TempDir()}
	r := start(t, s, "a", StartOptions{})
	finish(t, r)
	if _, err := s.Start(record("b"), StartOptions{}); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "--fresh") {
		t.Fatalf("%v", err)
	}
	fresh := start(t, s, "b", StartOptions{Fresh: true})
	if err := fresh.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := readRecord(filepath.Join(r.Dir()+".old-1", recordFile)); err != nil {
		t.Errorf("the old run was not kept: %v", err)
	}
	if records, _ := s.Load("s"); len(records) != 1 || records[0].Identity != "b" {
		t.Errorf("%+v", records)
	}
}

// An unfinished run goes on as another attempt.
func TestSecondAttempt(t *testing.T) {
	s := &Store{t.TempDir()}
	r := start(t, s, "a", StartOptions{})
	if err := r.Finish(Interrupted, nil, errors.New("stopped")); err != nil {
		t.Fatal(err)
	}
	r.Close()
	again := start(t, s, "a", StartOptions{})
	finish(t, again)
	records, _ := s.Load("s")
	if n := len(records[0].Attempts); n != 2 {
		t.Errorf("%d attempts", n)
	}
	if records[0].Error != "" {
		t.Errorf("the first attempt's error is still the run's: %s", records[0].Error)
	}
}

// TestMain serves TestBusy: the same binary, told to, holds a run until its input ends.
func TestMain(m *testing.M) {
	if dir := os.Getenv("ABLATE_TEST_HOLD"); dir != "" {
		s := &Store{dir}
		if _, err := s.Start(record("a"), StartOptions{}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		os.Stdin.Read(make([]byte, 1))
		os.Exit(0) // without letting go, as a killed process would
	}
	os.Exit(m.Run())
}

// Two processes on one run: the second is refused; the lock of a dead one is taken over.
func TestBusy(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "ABLATE_TEST_HOLD="+dir)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 5)
	if _, err := out.Read(line); err != nil || string(line[:4]) != "held" {
		t.Fatalf("%q, %v", line, err)
	}
	s := &Store{dir}
	_, err = s.Start(record("a"), StartOptions{})
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), fmt.Sprint(child.Process.Pid)) {
		t.Errorf("while another holds it: %v", err)
	}
	in.Close()
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	start(t, s, "a", StartOptions{}).Close()
}

func TestNamesStayInside(t *testing.T) {
	s := &Store{t.TempDir()}
	for _, name := range []string{"..", "a/b", `a\b`, "", "/abs"} {
		rec := record("a")
		rec.Variant = name
		if _, err := s.Start(rec, StartOptions{}); err == nil {
			t.Errorf("variant %q was let through", name)
		}
	}
}

// A damaged record is named and the others are read.
func TestDamagedRecord(t *testing.T) {
	s := &Store{t.TempDir()}
	finish(t, start(t, s, "a", StartOptions{}))
	bad := filepath.Join(s.Root, "s", "w", "seed-1")
	if err := os.MkdirAll(bad, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bad, recordFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	records, problems := s.Load("s")
	if len(records) != 1 || len(problems) != 1 || !strings.Contains(problems[0].Error(), bad) {
		t.Errorf("%d records, problems %v", len(records), problems)
	}
}

// A last line that a crash cut short is skipped by readers and removed by the next writer.
func TestTornMetrics(t *testing.T) {
	path := filepath.Join(t.TempDir(), metricsFile)
	whole := metricsHead + "\n" + `{"attempt":1,"epoch":1,"step":1,"name":"a","value":"NaN","seconds":0}` + "\n"
	if err := os.WriteFile(path, []byte(whole+`{"attempt":1,"ep`), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := ReadMetrics(path)
	if err != nil || len(m) != 1 || !math.IsNaN(float64(m[0].Value)) {
		t.Errorf("%+v, %v", m, err)
	}
	f, err := openMetrics(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if text, _ := os.ReadFile(path); string(text) != whole {
		t.Errorf("after opening: %q", text)
	}
	if err := os.WriteFile(path, []byte(metricsHead+"\n{\n"+whole), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMetrics(path); err == nil || !strings.Contains(err.Error(), path+":2:") {
		t.Errorf("a bad line in the middle gives %v", err)
	}
}

func TestNumbers(t *testing.T) {
	for _, v := range []float64{0, 1e-9, 0.1, -3, 1e300, math.Inf(1), math.Inf(-1), math.NaN()} {
		text, err := json.Marshal(Number(v))
		if err != nil {
			t.Fatal(err)
		}
		var back Number
		if err := json.Unmarshal(text, &back); err != nil || math.Float64bits(float64(back)) != math.Float64bits(v) && !math.IsNaN(v) {
			t.Errorf("%v became %s and %v (%v)", v, text, back, err)
		}
	}
}

// No variable that is not on the list is recorded.
func TestProvenanceHoldsNoSecrets(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	t.Setenv("ABLATE_TOKEN", "hunter3")
	t.Setenv("ABLATE_CPU", "go")
	text, err := json.Marshal(Capture(CaptureOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "hunter") || !strings.Contains(string(text), `"ABLATE_CPU":"go"`) {
		t.Errorf("%s", text)
	}
}

func FuzzReadWeights(f *testing.F) {
	s := &Store{f.TempDir()}
	r, err := s.Start(record("a"), StartOptions{})
	if err != nil {
		f.Fatal(err)
	}
	defer r.Close()
	if _, err := r.SaveWeights([]Tensor{{"w", []int{2}, []float32{1, 2}}}); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.Dir(), weightsFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, '{'})
	f.Add([]byte("\x40\x00\x00\x00\x00\x00\x00\x00" + `{"w":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		tensors, err := parseTensors(bytes.NewReader(text), int64(len(text)))
		total := 0
		for _, x := range tensors {
			total += 4 * len(x.Data)
		}
		if err == nil && total > len(text) {
			t.Errorf("%d bytes of values out of a file of %d", total, len(text))
		}
	})
}

func FuzzReadMetrics(f *testing.F) {
	f.Add(metricsHead + "\n" + `{"attempt":1,"epoch":1,"step":1,"name":"a","value":"-Infinity","seconds":0}` + "\n{")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := parseMetrics(strings.NewReader(text)); err == nil && len(m) > strings.Count(text, "\n") {
			t.Errorf("%d metrics in %d lines", len(m), strings.Count(text, "\n"))
		}
	})
}

func BenchmarkReadMetrics(b *testing.B) {
	line := `{"attempt":1,"epoch":1,"step":100,"name":"train_loss","value":0.123456,"seconds":12.5}` + "\n"
	text := metricsHead + "\n" + strings.Repeat(line, 100_000)
	for b.Loop() {
		if _, err := parseMetrics(strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(100_000*b.N)/b.Elapsed().Seconds(), "lines/s")
}
