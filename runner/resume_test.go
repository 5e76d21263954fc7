package runner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ablate/arch"
	"ablate/configs"
	"ablate/experiments"
	"ablate/recipe"
)

// smallNet has every kind of thing that a checkpoint could forget: momentum, dropout, LRN.
const smallNet = `
net: small
input: {height: 28, width: 28, channels: 3}
columns: 2
layers:
  - conv: {filters: 8, kernel: 5, stride: 3, init: {kind: he}}
  - relu: {}
  - lrn: {size: 3, alpha: 0.1, alpha_over_size: false, beta: 0.75, k: 1}
  - maxpool: {kernel: 2, stride: 2}
  - dense: {outputs: 12, init: {kind: he}}
  - relu: {}
  - dropout: {rate: 0.5}
  - dense: {outputs: 10, init: {kind: he}}
  - softmax_loss: {}
`

func smallRun(t *testing.T) Run {
	t.Helper()
	net, err := arch.Parse("small", []byte(smallNet))
	if err != nil {
		t.Fatal(err)
	}
	r := recipe.Defaults()
	r.Net = net
	r.Data = recipe.Data{Name: "shapes", Train: 60, Test: 30, Mean: "image", Scale: 0.02, Crop: 28, Flip: true}
	r.Train.Batch, r.Train.Epochs, r.Train.LR = 10, 3, 0.01
	r.Train.Schedule = recipe.Schedule{Kind: "plateau", Factor: 0.5, Patience: 1, Drops: 3, Steps: 4}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	return Run{Variant: configs.Variant{Name: "small", Recipe: r}, Seed: 1}
}

// stopAfter interrupts an attempt after some of its steps.
type stopAfter struct {
	steps  int
	cancel context.CancelFunc
}

func (s *stopAfter) Step(Run, int, float64) {
	if s.steps--; s.steps == 0 {
		s.cancel()
	}
}
func (*stopAfter) Start([]Run)                        {}
func (*stopAfter) Skip(Run)                           {}
func (*stopAfter) Begin(Run, string)                  {}
func (*stopAfter) Epoch(Run, Epoch)                   {}
func (*stopAfter) End(Run, experiments.Status, error) {}

// attempt runs one attempt, stopped after some steps unless that is 0.
func attempt(t *testing.T, r Run, root string, steps, threads int) Outcome {
	t.Helper()
	return attemptOn(t, r, root, "cpu", steps, threads)
}

func attemptOn(t *testing.T, r Run, root, device string, steps, threads int) Outcome {
	t.Helper()
	machine := NewMachine(device, threads)
	defer machine.Close()
	return attemptWith(t, r, root, machine, steps)
}

func attemptWith(t *testing.T, r Run, root string, machine *Machine, steps int) Outcome {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, err := Execute(ctx, []Run{r}, Options{Study: &configs.Study{Name: "s"}, Store: &experiments.Store{Root: root},
		Machine: machine, Progress: &stopAfter{steps, cancel}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// outcome is all of a run that an interruption must not change.
type outcome struct {
	Weights, Predictions string
	Series               []experiments.Metric
	Result               *experiments.Result
	FirstSteps           []string
}

func outcomeOf(t *testing.T, root string) outcome {
	t.Helper()
	store := &experiments.Store{Root: root}
	records, problems := store.Load("s")
	if len(records) != 1 || len(problems) > 0 || records[0].Status != experiments.Done {
		t.Fatalf("%+v, %v", records, problems)
	}
	dir := filepath.Join(store.Study("s"), "small", "seed-1")
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	metrics, err := experiments.ReadMetrics(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return outcome{read("weights.safetensors"), read("predictions.csv"), experiments.Series(metrics), records[0].Result, records[0].FirstSteps}
}

func (o outcome) diff(other outcome) string {
	return cmp.Diff(o, other, cmpopts.IgnoreFields(experiments.Metric{}, "Attempt", "Seconds"),
		cmpopts.IgnoreFields(experiments.Result{}, "ImagesPerSecond", "BytesMoved"))
}

// A run that is interrupted after any of its steps, twice over, ends like one that never was.
func TestResumeIsExact(t *testing.T) {
	r := smallRun(t)
	whole := t.TempDir()
	if out := attempt(t, r, whole, 0, 1); out.Done != 1 {
		t.Fatalf("%+v", out)
	}
	want := outcomeOf(t, whole)
	const all = 18
	for first := 1; first <= all; first++ {
		root := t.TempDir()
		if out := attempt(t, r, root, first, 2); !out.Interrupted {
			t.Fatalf("%d: %+v", first, out)
		}
		if second := (all - first) / 2; second > 0 {
			if out := attempt(t, r, root, second, 1); !out.Interrupted {
				t.Fatalf("%d and %d: %+v", first, second, out)
			}
		}
		if out := attempt(t, r, root, 0, 1); out.Done != 1 {
			t.Fatalf("%d: %+v", first, out)
		}
		if d := want.diff(outcomeOf(t, root)); d != "" {
			t.Fatalf("after a stop at step %d (-whole +resumed):\n%s", first, d)
		}
	}
}

// A checkpoint that does not fit the net is an error, not half a net.
func TestRestoreRefuses(t *testing.T) {
	r := smallRun(t)
	ds, err := datasets{}.open(t.Context(), r.Variant.Recipe.Data)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := OpenDevices("cpu", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	tr, err := newTrainer(r.Variant.Recipe, ds, dev, 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*experiments.Checkpoint){
		"tensors":  func(s *experiments.Checkpoint) { s.Tensors = s.Tensors[1:] },
		"unknown":  func(s *experiments.Checkpoint) { s.Tensors[0].Name = "conv9.weight" },
		"size":     func(s *experiments.Checkpoint) { s.Tensors[0].Data = s.Tensors[0].Data[1:] },
		"counters": func(s *experiments.Checkpoint) { s.Counters = []byte(`{"epochs":"many"}`) },
	} {
		s, err := tr.checkpoint()
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.restore(&s); err != nil {
			t.Fatalf("its own: %v", err)
		}
		change(&s)
		if err := tr.restore(&s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Intervals: a checkpoint after every so many steps or epochs, none where none is due.
func TestCheckpointInterval(t *testing.T) {
	for _, c := range []struct {
		every configs.Interval
		want  int64 // step of the newest after 8 steps
	}{
		{configs.Interval{}, 0},
		{configs.Interval{Steps: 3}, 6},
		{configs.Interval{Epochs: 1}, 6},
		{configs.Interval{Time: 1}, 8},
	} {
		r, root := smallRun(t), t.TempDir()
		machine := NewMachine("cpu", 1)
		panicking := func() {
			defer func() {
				if recover() != errKilled {
					t.Error("not killed")
				}
			}()
			Execute(t.Context(), []Run{r}, Options{Study: &configs.Study{Name: "s"}, Store: &experiments.Store{Root: root},
				Machine: machine, Checkpoint: c.every, Progress: &killAfter{stopAfter{steps: 9}}})
		}
		panicking()
		machine.Close()
		var newest int64
		files, _ := filepath.Glob(filepath.Join(root, "s", "small", "seed-1", "checkpoint-*"))
		for _, f := range files {
			var step int64
			for _, c := range strings.SplitN(filepath.Base(f), "-", 3)[1] {
				step = 10*step + int64(c-'0')
			}
			newest = max(newest, step)
		}
		if newest != c.want {
			t.Errorf("%+v: newest at step %d, want %d", c.every, newest, c.want)
		}
	}
}

var errKilled = errors.New("killed")

// killAfter ends an attempt without any farewell, before the step's checkpoint.
type killAfter struct{ stopAfter }

func (k *killAfter) Step(Run, int, float64) {
	if k.steps--; k.steps == 0 {
		panic(errKilled)
	}
}
