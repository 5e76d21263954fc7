//go:build unix

package external

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ablate/experiments"
	"ablate/experiments/export/protobuf"
	"ablate/experiments/tfevents"
	"ablate/recipe"
)

// attempt starts a shell program as a run's next attempt, and finishes the run as a runner does.
func attempt(t *testing.T, ctx context.Context, store *experiments.Store, script string) (*experiments.Result, error) {
	t.Helper()
	run := Run{
		Study: "s", Variant: "v", Seed: 3, Device: "cpu",
		Recipe: recipe.Recipe{
			Params: recipe.Params{"lr": "0.1"},
			Trainer: &recipe.Trainer{
				Command: []string{"sh", "-c", script}, Dir: t.TempDir(), Grace: recipe.Duration(5 * time.Second),
				Metric: recipe.TrainerMetric{Name: "accuracy", Better: "higher"},
			},
		},
	}
	rec, err := store.Start(experiments.Record{
		Study: run.Study, Variant: run.Variant, Seed: run.Seed, Identity: "x", Attempts: []experiments.Attempt{{}},
	}, experiments.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	result, err := Train(ctx, run, rec, nil)
	status := experiments.Done
	if err != nil {
		status = experiments.Failed
	}
	if ferr := rec.Finish(status, result, err); ferr != nil {
		t.Fatal(ferr)
	}
	return result, err
}

// A program that is asked to end saves its state and continues from there; its series is the same
// as that of one attempt.
func TestInterruptAndResume(t *testing.T) {
	store := &experiments.Store{Root: t.TempDir()}
	const script = `
first=1
[ "$ABLATE_RESUME" != 1 ] || first=$(($(cat "$ABLATE_CHECKPOINTS/last") + 1))
trap 'echo saved; exit 0' TERM
for e in $(seq "$first" 4); do
  echo "{\"step\": $e, \"accuracy\": 0.$e}" >> "$ABLATE_METRICS"
  echo "$e" > "$ABLATE_CHECKPOINTS/last"
  [ "$ABLATE_RESUME" = 1 ] || [ "$e" -lt 2 ] || { sleep 60 & wait $!; }
done`
	ctx, cancel := context.WithCancel(context.Background())
	path := filepath.Join(store.Root, "s", "v", "seed-3")
	go func() {
		for {
			if text, _ := os.ReadFile(filepath.Join(path, "checkpoints", "last")); strings.TrimSpace(string(text)) == "2" {
				cancel()
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	_, err := attempt(t, ctx, store, script)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "saved") {
		t.Fatalf("%v", err)
	}
	result, err := attempt(t, context.Background(), store, script)
	if err != nil || result.Metrics["accuracy"] != 0.4 {
		t.Fatalf("%+v, %v", result, err)
	}
	log, err := experiments.ReadMetrics(experiments.MetricsPath(path))
	if err != nil {
		t.Fatal(err)
	}
	var epochs []int
	for _, m := range experiments.Series(log) {
		if m.Name == "accuracy" {
			epochs = append(epochs, m.Epoch)
		}
	}
	if len(epochs) != 4 || epochs[3] != 4 {
		t.Errorf("epochs %v", epochs)
	}
}

// No process that a program has started outlives its run.
func TestChildrenEnd(t *testing.T) {
	store := &experiments.Store{Root: t.TempDir()}
	file := filepath.Join(t.TempDir(), "ticks")
	_, err := attempt(t, context.Background(), store,
		`(while :; do echo tick >> '`+file+`'; sleep 0.05; done) & echo '{"accuracy": 1}' >> "$ABLATE_METRICS"; sleep 0.2`)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if after, err := os.Stat(file); err != nil || after.Size() != before.Size() {
		t.Errorf("a child goes on: %d bytes, then %d, %v", before.Size(), after.Size(), err)
	}
}

// Event files and predictions in the run's folder are read.
func TestEventFilesAndPredictions(t *testing.T) {
	value := protobuf.Message{}.String(1, "accuracy").Float(2, 0.5)
	event := tfevents.Append(nil, protobuf.Message{}.Int(2, 7).Bytes(5, protobuf.Message{}.Bytes(1, value)))
	from := filepath.Join(t.TempDir(), "events")
	if err := os.WriteFile(from, event, 0o644); err != nil {
		t.Fatal(err)
	}
	store := &experiments.Store{Root: t.TempDir()}
	result, err := attempt(t, context.Background(), store, `
cp '`+from+`' "$ABLATE_RUN/events.out.tfevents.1.host"
printf 'index,label,predicted,score\n1,4,5,0.1\n0,3,3,0.9\n' > "$ABLATE_RUN/predictions.csv"`)
	if err != nil || result.Metrics["accuracy"] != 0.5 || result.TestExamples != 2 {
		t.Fatalf("%+v, %v", result, err)
	}
	got, err := store.Predictions(experiments.Record{Study: "s", Variant: "v", Seed: 3})
	if err != nil || len(got) != 2 || got[0].Rank != 1 || got[1].Rank != 0 || !math.IsNaN(got[0].LogProb) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A program's output is kept up to a bound, and the error has its last lines as one printable
// line.
func TestOutputIsBounded(t *testing.T) {
	store := &experiments.Store{Root: t.TempDir()}
	_, err := attempt(t, context.Background(), store,
		`i=0; while [ $i -lt 200 ]; do head -c 400000 /dev/zero | tr '\0' x; i=$((i+1)); done
printf '\n\033[31mred\033[0m\n'; exit 4`)
	if err == nil || !strings.Contains(err.Error(), "exit status 4") || !strings.HasSuffix(err.Error(), "[31mred[0m") {
		t.Errorf("%.300v", err)
	}
	if err != nil && len(err.Error()) > 2000 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
	info, err := os.Stat(filepath.Join(store.Root, "s", "v", "seed-3", "log.txt"))
	if err != nil || info.Size() > 65<<20 {
		t.Errorf("%v, %v", info.Size(), err)
	}
}

// The peak of memory is that of the program. Linux reported 33 MB for a shell, which was the
// memory of the ablate that started it. So three identical variants of a script were "worse",
// because ablate itself grew from run to run.
func TestPeakMemory(t *testing.T) {
	const measure = `echo '{"accuracy": 1}' >> "$ABLATE_METRICS"; `
	store := &experiments.Store{Root: t.TempDir()}
	result, err := attempt(t, context.Background(), store, measure+"dd if=/dev/zero of=/dev/null bs=268435456 count=1")
	if peak := result.Metrics["peak_memory_bytes"]; err != nil || peak < 1<<28 || peak > 1<<29 {
		t.Errorf("%v bytes of a program that fills 256 MiB, %v", peak, err)
	}
	store = &experiments.Store{Root: t.TempDir()}
	result, err = attempt(t, context.Background(), store, measure)
	if peak, ok := result.Metrics["peak_memory_bytes"]; err != nil || ok && (runtime.GOOS == "linux" || peak > 1<<24) {
		t.Errorf("%v bytes of a shell, %v", peak, err)
	}
}

func FuzzLine(f *testing.F) {
	for _, text := range []string{
		`{"step": 10, "epoch": 1, "name": "a", "value": 0.9}`, `{"a": NaN, "b": -Infinity}`, `{"step": 1e3, "total": null}`,
		`{`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := parseLine(text)
		if err == nil && len(l.values) == 0 {
			t.Errorf("%q measures nothing", text)
		}
	})
}

func FuzzPredictions(f *testing.F) {
	f.Add("index,label,predicted\n0,1,1\n")
	f.Add("predicted;index\n")
	f.Fuzz(func(t *testing.T, text string) {
		seen := map[int]bool{}
		ps, err := parsePredictions(strings.NewReader(text))
		for _, p := range ps {
			if seen[p.Index] && err == nil {
				t.Errorf("index %d twice of %q", p.Index, text)
			}
			seen[p.Index] = true
		}
	})
}
