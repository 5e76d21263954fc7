package experiments

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func record(identity string) Record {
	return Record{Study: "s", Variant: "v", Seed: 3, Identity: identity, Recipe: json.RawMessage(`{}`),
		Attempts: []Attempt{{Device: "cpu", Hardware: "test", Threads: 1}}, Provenance: Capture(CaptureOptions{})}
}

func start(t *testing.T, s *Store, identity string, o StartOptions) *Recorder {
	t.Helper()
	r, err := s.Start(record(identity), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// finish runs a run to its end with fixed results.
func finish(t *testing.T, r *Recorder) {
	t.Helper()
	for e := 1; e <= 2; e++ {
		if err := r.Log(Metric{Epoch: e, Step: int64(e) * 10, Name: "test_loss", Value: Number(1 / float64(e))}); err != nil {
			t.Fatal(err)
		}
	}
	digest, err := r.SaveWeights(Weights{Params: []Tensor{{"w", []int{2, 2}, []float32{1, -2, 3, 4}},
		{"b", []int{1}, []float32{0.5}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SavePredictions([]Prediction{{Index: 0, Label: 1, Predicted: 1, Rank: 1, LogProb: -0.25},
		{Index: 1, Label: 0, Predicted: 2, Rank: 3, LogProb: -2}}); err != nil {
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
	s := &Store{Root: t.TempDir()}
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
	weights, _, err := ReadTensors(filepath.Join(r.Dir(), weightsFile))
	want := []Tensor{{"w", []int{2, 2}, []float32{1, -2, 3, 4}}, {"b", []int{1}, []float32{0.5}}}
	if d := cmp.Diff(want, weights); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	ps, err := ReadPredictions(filepath.Join(r.Dir(), predictionsFile))
	if d := cmp.Diff([]Prediction{{Index: 0, Label: 1, Predicted: 1, Rank: 1, LogProb: -0.25},
		{Index: 1, Label: 0, Predicted: 2, Rank: 3, LogProb: -2}}, ps); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	if _, err := os.Stat(filepath.Join(r.Dir(), lockFile)); !os.IsNotExist(err) {
		t.Error("the lock is still there")
	}
}

// Equal training makes equal files, whenever and wherever it ran.
func TestFilesDependOnResultsAlone(t *testing.T) {
	var files [2][2][]byte
	for i := range files {
		s := &Store{Root: t.TempDir()}
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
	s := &Store{Root: t.TempDir()}
	r := start(t, s, "a", StartOptions{})
	finish(t, r)
	if _, err := s.Start(record("b"), StartOptions{}); !errors.Is(err, ErrChanged) ||
		!strings.Contains(err.Error(), "--fresh") {
		t.Fatalf("%v", err)
	}
	fresh := start(t, s, "b", StartOptions{Fresh: true})
	if err := fresh.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRecord(r.Dir() + ".old-1"); err != nil {
		t.Errorf("the old run was not kept: %v", err)
	}
	for _, name := range []string{metricsFile, weightsFile, predictionsFile, logFile} {
		if _, err := os.Stat(filepath.Join(r.Dir()+".old-1", name)); err != nil {
			t.Errorf("%s was not kept: %v", name, err)
		}
	}
	if m, err := ReadMetrics(filepath.Join(r.Dir(), metricsFile)); err != nil || len(m) > 0 {
		t.Errorf("the new run begins with %v, %v", m, err)
	}
	if records, _ := s.Load("s"); len(records) != 1 || records[0].Identity != "b" {
		t.Errorf("%+v", records)
	}
}

// An unfinished run continues as another attempt.
func TestSecondAttempt(t *testing.T) {
	s := &Store{Root: t.TempDir()}
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

// TestMain lets the same binary be another process: one that holds a run until its input ends, or tries to.
func TestMain(m *testing.M) {
	if dir := os.Getenv("ABLATE_TEST_HOLD"); dir != "" {
		s := &Store{Root: dir}
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

// holder is another process that starts a run and holds it until it is closed; said is what it printed.
func holder(t *testing.T, dir string, change func(*exec.Cmd)) (said string, child *exec.Cmd, end func() error) {
	t.Helper()
	child = exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "ABLATE_TEST_HOLD="+dir)
	change(child)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Skip("no second process here: ", err)
	}
	said, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%q, %v", said, err)
	}
	return said, child, func() error { in.Close(); return child.Wait() }
}

// Two processes on one run: the second is refused; the lock of a dead one is taken over.
func TestBusy(t *testing.T) {
	dir := t.TempDir()
	said, child, end := holder(t, dir, func(*exec.Cmd) {})
	if said != "held\n" {
		t.Fatal(said)
	}
	s := &Store{Root: dir}
	_, err := s.Start(record("a"), StartOptions{})
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), fmt.Sprint(child.Process.Pid)) {
		t.Errorf("while another holds it: %v", err)
	}
	if _, err := Unlock(filepath.Join(dir, "s", "v", "seed-3")); !errors.Is(err, ErrBusy) {
		t.Errorf("the lock of a running process was removed: %v", err)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	start(t, s, "a", StartOptions{}).Close()
}

func TestNamesStayInside(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	for _, name := range []string{"..", ".", "a/b", `a\b`, "", "/abs", "a\nb", "a\x1b[1m", "a\x00"} {
		rec := record("a")
		rec.Variant = name
		if _, err := s.Start(rec, StartOptions{}); err == nil {
			t.Errorf("variant %q was let through", name)
		}
		if _, problems := s.Load(name); len(problems) == 0 {
			t.Errorf("study %q was let through", name)
		}
	}
	if entries, err := os.ReadDir(s.Root); err != nil || len(entries) > 0 {
		t.Errorf("something was written: %v, %v", entries, err)
	}
}

// Names that mean something to a shell or a pattern are names like others.
func TestOddNames(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows knows no such names")
	}
	s := &Store{Root: filepath.Join(t.TempDir(), "runs [1]*")}
	names := []string{"[ab]", "a b", "lr=0.1", "naïve ×2", "-x", "seed-1"}
	for _, name := range names {
		rec := record("a")
		rec.Study, rec.Variant = "s[0-9]", name
		r, err := s.Start(rec, StartOptions{})
		if err != nil {
			t.Fatal(err)
		}
		finish(t, r)
	}
	records, problems := s.Load("s[0-9]")
	if len(records) != len(names) || len(problems) > 0 {
		t.Errorf("%d records of %d, %v", len(records), len(names), problems)
	}
	if records, problems := s.Load("nothing-of-that-name"); len(records)+len(problems) > 0 {
		t.Errorf("%v, %v", records, problems)
	}
}

// Seeds sort as numbers, and what lies beside the runs is left alone.
func TestLoadSorts(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	for _, seed := range []uint64{10, 9, 2} {
		rec := record("a")
		rec.Seed = seed
		r, err := s.Start(rec, StartOptions{})
		if err != nil {
			t.Fatal(err)
		}
		finish(t, r)
	}
	for _, dir := range []string{"seed-2.old-1", "seed-x", "notes"} {
		if err := os.MkdirAll(filepath.Join(s.Root, "s", "v", dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.Root, "s", "v", dir, recordFile), []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.Root, "s", "report.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	records, problems := s.Load("s")
	var seeds []uint64
	for _, r := range records {
		seeds = append(seeds, r.Seed)
	}
	if d := cmp.Diff([]uint64{2, 9, 10}, seeds); d != "" || len(problems) > 0 {
		t.Errorf("%v\n%s", problems, d)
	}
}

// Where nothing can be written, the error names the folder.
func TestUnwritable(t *testing.T) {
	t.Run("a file in the way", func(t *testing.T) {
		s := &Store{Root: filepath.Join(t.TempDir(), "runs")}
		if err := os.WriteFile(s.Root, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Start(record("a"), StartOptions{}); err == nil || !strings.Contains(err.Error(), s.Root) {
			t.Errorf("%v", err)
		}
		if _, err := Open(s.Root); err == nil || !strings.Contains(err.Error(), s.Root) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a read-only folder", func(t *testing.T) {
		s := &Store{Root: t.TempDir()}
		if err := os.Chmod(s.Root, 0o555); err != nil {
			t.Fatal(err)
		}
		if os.Mkdir(filepath.Join(s.Root, "probe"), 0o755) == nil {
			t.Skip("root may write into any folder")
		}
		if _, err := s.Start(record("a"), StartOptions{}); !errors.Is(err, fs.ErrPermission) ||
			!strings.Contains(err.Error(), s.Root) {
			t.Errorf("%v", err)
		}
	})
}

// A damaged record is named and the others are read.
func TestDamagedRecord(t *testing.T) {
	s := &Store{Root: t.TempDir()}
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
		t.Errorf("a bad line in the middle: %v", err)
	}
}

// What is no log of ours is neither read nor written to.
func TestForeignMetrics(t *testing.T) {
	path := filepath.Join(t.TempDir(), metricsFile)
	later := `{"format":"ablate-metrics","version":2}` + "\n"
	for _, text := range []string{"notes\n", later, metricsHead + "\n{}\n", metricsHead + "\nnull\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if m, err := ReadMetrics(path); err == nil {
			t.Errorf("%q was read: %+v", text, m)
		}
	}
	if err := os.WriteFile(path, []byte("notes\nmore"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openMetrics(path); !errors.Is(err, errMetrics) {
		t.Errorf("%v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "notes\nmore" {
		t.Errorf("it was changed to %q", text)
	}
}

// However long the torn line is, all before it stays.
func TestLongTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), metricsFile)
	for _, n := range []int{1, 4095, 4096, 4097, 50_000} {
		if err := os.WriteFile(path, []byte(metricsHead+"\n"+strings.Repeat("x", n)), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := openMetrics(path)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if text, _ := os.ReadFile(path); string(text) != metricsHead+"\n" {
			t.Errorf("%d bytes: %d are left", n, len(text))
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, v := range []float64{0, 1e-9, 0.1, -3, 1e300, math.Inf(1), math.Inf(-1), math.NaN()} {
		text, err := json.Marshal(Number(v))
		if err != nil {
			t.Fatal(err)
		}
		var back Number
		err = json.Unmarshal(text, &back)
		if err != nil || math.Float64bits(float64(back)) != math.Float64bits(v) && !math.IsNaN(v) {
			t.Errorf("%v became %s and %v (%v)", v, text, back, err)
		}
	}
}

func TestNotNumbers(t *testing.T) {
	for _, text := range []string{`null`, `"1"`, `"nan"`, `true`, `1e999`, `[]`, `{}`} {
		n := Number(5)
		if err := json.Unmarshal([]byte(text), &n); err == nil {
			t.Errorf("%s became %v", text, n)
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

// A tensor whose shape says something else than its values is not written.
func TestWeightsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), weightsFile)
	for _, tensors := range [][]Tensor{
		{{"w", []int{3}, []float32{1, 2}}},
		{{"w", []int{-1, -2}, []float32{1, 2}}},
		{{"w", []int{1 << 31, 1 << 31, 4}, nil}},
		{{"w", []int{1}, []float32{1}}, {"w", []int{1}, []float32{2}}},
		{{"__metadata__", []int{1}, []float32{1}}},
	} {
		if _, err := writeWeights(path, tensors, nil); err == nil {
			t.Errorf("%v was written", tensors)
		}
		if _, err := os.Stat(path); err == nil {
			t.Fatalf("%v left a file", tensors)
		}
	}
}

// What is written is read back: no tensors, scalars, empty ones, bits that are not a number.
func TestWeightsRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), weightsFile)
	nan := math.Float32frombits(0x7fc12345)
	for _, tensors := range [][]Tensor{
		nil,
		{{"scalar", []int{}, []float32{7}}},
		{
			{"a", []int{0, 5}, []float32{}},
			{"b", []int{2}, []float32{1, nan}},
			{"c", []int{1, 1, 1}, []float32{float32(math.Inf(-1))}},
		},
	} {
		digest, err := writeWeights(path, tensors, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if sum := fmt.Sprintf("%x", sha256.Sum256(text)); sum != digest {
			t.Errorf("digest %s of a file of %s", digest, sum)
		}
		back, _, err := ReadTensors(path)
		bits := cmp.Transformer("bits", math.Float32bits)
		if d := cmp.Diff(tensors, back, bits); err != nil || d != "" {
			t.Errorf("%v\n%s", err, d)
		}
	}
}

// The bytes of the weights file, once written out: other programs read it.
func TestWeightsGolden(t *testing.T) {
	path := filepath.Join(t.TempDir(), weightsFile)
	tensors := []Tensor{{"w", []int{1, 2}, []float32{1, -2}}, {"b", []int{1}, []float32{0.5}}}
	if _, err := writeWeights(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
	want := "\x70\x00\x00\x00\x00\x00\x00\x00" +
		`{"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}` +
		strings.Repeat(" ", 2) +
		"\x00\x00\x80\x3f" + "\x00\x00\x00\xc0" + "\x00\x00\x00\x3f"
	if got, _ := os.ReadFile(path); string(got) != want {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

// Headers that lie about the values are refused, and cost no more memory than the file has.
func TestWeightsDamaged(t *testing.T) {
	file := func(header string, body int) string {
		return string(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))) + header + strings.Repeat("\x00", body)
	}
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, `,"t%d":{"dtype":"F32","shape":[250000],"data_offsets":[0,1000000]}`, i)
	}
	for name, text := range map[string]string{
		"empty":  "",
		"cut":    file(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 4),
		"longer": file(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 8),
		"gap":    file(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8),
		"overlap": file(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},`+
			`"v":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8),
		"backwards":   file(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}`, 8),
		"negative":    file(`{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4),
		"overflow":    file(`{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0),
		"dtype":       file(`{"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, 4),
		"not json":    file(`{"w":`, 4),
		"huge header": "\xff\xff\xff\xff\xff\xff\xff\x7f{}",
		"many":        file(`{`+many.String()[1:]+`}`, 1000000),
	} {
		path := filepath.Join(t.TempDir(), weightsFile)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadTensors(path); !errors.Is(err, ErrWeights) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPredictionsDamaged(t *testing.T) {
	head := strings.Join(predictionsHead, ",") + "\n"
	for text, want := range map[string]string{
		"":                            "first line",
		"a,b\n":                       "first line",
		head + "1,2,3,4\n":            "line 2",
		head + "1,2,3,4,0\n1,2,x,4,0": "line 3: predicted",
		head + "1,2,3,4,-1e9999\n":    "line 2: log_prob",
	} {
		if _, err := parsePredictions(strings.NewReader(text), maxImages); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	path := filepath.Join(t.TempDir(), predictionsFile)
	want := []Prediction{{Index: 0, Label: 1, Predicted: 2, Rank: 3, LogProb: math.Inf(-1)},
		{Index: 1, Label: 0, Predicted: 0, Rank: 1, LogProb: 0}}
	if err := writePredictions(path, want); err != nil {
		t.Fatal(err)
	}
	if back, err := ReadPredictions(path); err != nil || !cmp.Equal(want, back) {
		t.Errorf("%v, %v", back, err)
	}
}

func FuzzReadPredictions(f *testing.F) {
	f.Add(strings.Join(predictionsHead, ",") + "\n0,1,1,1,-0.5\n")
	f.Fuzz(func(t *testing.T, text string) {
		if ps, err := parsePredictions(strings.NewReader(text), maxImages); err == nil &&
			len(ps) > strings.Count(text, "\n") {
			t.Errorf("%d predictions out of %q", len(ps), text)
		}
	})
}

func FuzzReadWeights(f *testing.F) {
	s := &Store{Root: f.TempDir()}
	r, err := s.Start(record("a"), StartOptions{})
	if err != nil {
		f.Fatal(err)
	}
	defer r.Close()
	if _, err := r.SaveWeights(Weights{Params: []Tensor{{"w", []int{2}, []float32{1, 2}}}}); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.Dir(), weightsFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, '{'})
	f.Add([]byte("\x40\x00\x00\x00\x00\x00\x00\x00" +
		`{"w":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		tensors, _, err := parseTensors(bytes.NewReader(text), int64(len(text)))
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
		if m, err := parseMetrics(strings.NewReader(text), maxLines); err == nil && len(m) > strings.Count(text, "\n") {
			t.Errorf("%d metrics in %d lines", len(m), strings.Count(text, "\n"))
		}
	})
}

// The quick way through a line reads what encoding/json reads.
func FuzzMetricLine(f *testing.F) {
	f.Add(`{"attempt":1,"epoch":2,"step":3,"name":"a","value":-0.5,"seconds":1e-3}`)
	f.Add(`{"attempt":1,"epoch":2,"step":3,"name":"a","value":"NaN","seconds":"NaN"}`)
	f.Add(`{"attempt":01,"epoch":-0,"step":1e3,"name":"a\u0062","value":0x1p4,"seconds":+1}`)
	f.Add(`{"attempt":1,"epoch":2,"step":3,"name":"é","value":null,"seconds":null}x`)
	f.Fuzz(func(t *testing.T, line string) {
		got, err := parseMetric([]byte(line), map[string]string{})
		var want Metric
		wantErr := json.Unmarshal([]byte(line), &want)
		if wantErr == nil && want.Name == "" {
			return
		}
		if (err == nil) != (wantErr == nil) || err == nil && !cmp.Equal(want, got, cmpopts.EquateNaNs()) {
			t.Errorf("%s\n%+v, %v\nencoding/json: %+v, %v", line, got, err, want, wantErr)
		}
	})
}

// BenchmarkReadMetrics reads a log of a million points.
func BenchmarkReadMetrics(b *testing.B) {
	const points = 1_000_000
	line := `{"attempt":1,"epoch":1,"step":100,"name":"train_loss","value":0.123456,"seconds":12.5}` + "\n"
	text := metricsHead + "\n" + strings.Repeat(line, points)
	for b.Loop() {
		if m, err := parseMetrics(strings.NewReader(text), maxLines); err != nil || len(m) != points {
			b.Fatal(len(m), err)
		}
	}
	b.ReportMetric(float64(points*b.N)/b.Elapsed().Seconds(), "lines/s")
}

// A folder of runs may be called as a study in it.
func TestStudyCalledAsItsFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	s := &Store{Root: "s"}
	r := start(t, s, "a", StartOptions{})
	finish(t, r)
	for _, name := range []string{"s/v/3", "s/v/seed-3", "s/s/v/seed-3", r.Dir()} {
		if dir, err := s.Find(name); err != nil || dir != r.Dir() {
			t.Errorf("%s: %s, %v", name, dir, err)
		}
	}
}

// What a variant found for itself stays when others are tuned later, and a report without the study's file keeps all.
func TestDeclarationKeepsTuning(t *testing.T) {
	tuned := func(variant, value string) *Tuning {
		return &Tuning{Keys: []string{"train.lr"}, Chosen: map[string][]string{variant: {value}}}
	}
	d := Declaration{Study: "s", Tuning: tuned("baseline", "0.1")}
	d = d.Extend(Declaration{Study: "s", Tuning: tuned("no-lrn", "0.3")}).Extend(Declaration{Study: "s"})
	d = d.Extend(Declaration{Study: "s", Tuning: tuned("baseline", "0.2")})
	if got := d.Tuning.Chosen; len(got) != 2 || got["baseline"][0] != "0.2" || got["no-lrn"][0] != "0.3" {
		t.Errorf("%v", got)
	}
}
