package train

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ablate/configs"
	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/engine"
)

// An attempt is one process that trains a run of a recipe.
type attempt struct {
	recipe  recipe.Recipe
	root    string // the root of the records
	devices *engine.Group
	stop    int              // the step, counted from where the attempt begins, after which it is interrupted; 0 for none
	every   configs.Interval // between checkpoints
	killed  bool             // it is killed without an orderly interrupt, before the step's checkpoint
}

// errKilled is the panic value of a killed attempt.
var errKilled = errors.New("killed")

// run trains until the attempt's end and returns the error of the training.
func (a attempt) run(t *testing.T) (err error) {
	t.Helper()
	ds, err := data.Open(t.Context(), a.recipe.Data)
	if err != nil {
		t.Fatal(err)
	}
	defer ds.Close()
	store := &experiments.Store{Root: a.root}
	rec, err := store.Start(experiments.Record{Study: "s", Variant: "small", Seed: 1, Identity: "i"},
		experiments.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	tr, err := New(t.Context(), a.recipe, ds, a.devices, 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	steps := 0
	result, err := tr.Run(ctx, rec, Options{Checkpoint: a.every, OnStep: func(int, float64) {
		if steps++; steps != a.stop {
			return
		}
		if a.killed {
			panic(errKilled)
		}
		interrupt()
	}})
	status := experiments.Done
	if err != nil {
		status = experiments.Interrupted
	}
	if err := rec.Finish(status, result, err); err != nil {
		t.Fatal(err)
	}
	return err
}

// whole runs an attempt without an interruption.
func (a attempt) whole(t *testing.T) {
	t.Helper()
	a.stop = 0
	if err := a.run(t); err != nil {
		t.Fatal(err)
	}
}

// stopped runs an attempt that is interrupted after some steps.
func (a attempt) stopped(t *testing.T, steps int) {
	t.Helper()
	if a.stop = steps; !errors.Is(a.run(t), context.Canceled) {
		t.Fatalf("an attempt of %d steps was not interrupted", steps)
	}
}

// outcomeOfWhole returns the outcome of an uninterrupted run on one core.
func outcomeOfWhole(t *testing.T, r recipe.Recipe) outcome {
	t.Helper()
	root := t.TempDir()
	attempt{recipe: r, root: root, devices: opened(t, "cpu", 1)}.whole(t)
	return outcomeOf(t, root)
}

// An outcome holds everything that an interruption must not change in a run.
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
	return outcome{
		Weights: read("weights.safetensors"), Predictions: read("predictions.csv"),
		Series: experiments.Series(metrics), Result: records[0].Result, FirstSteps: records[0].FirstSteps,
	}
}

func (o outcome) diff(other outcome) string {
	return cmp.Diff(o, other, cmpopts.IgnoreFields(experiments.Metric{}, "Attempt", "Seconds"),
		cmpopts.IgnoreFields(experiments.Result{}, "ImagesPerSecond", "BytesMoved"))
}

// A run that is interrupted twice, after any of its steps, ends like an uninterrupted one.
func TestResumeIsExact(t *testing.T) {
	t.Parallel()
	r := smallRecipe(t)
	want := outcomeOfWhole(t, r)
	one, two := opened(t, "cpu", 1), opened(t, "cpu", 2)
	const all = 18
	for first := 1; first <= all; first++ {
		root := t.TempDir()
		attempt{recipe: r, root: root, devices: two}.stopped(t, first)
		if second := (all - first) / 2; second > 0 {
			attempt{recipe: r, root: root, devices: one}.stopped(t, second)
		}
		attempt{recipe: r, root: root, devices: one}.whole(t)
		if d := want.diff(outcomeOf(t, root)); d != "" {
			t.Fatalf("after a stop at step %d (-whole +resumed):\n%s", first, d)
		}
	}
}

// A checkpoint that does not fit the net causes an error, and does not leave the net half
// restored.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	tr := trainer(t, smallRecipe(t), opened(t, "cpu", 1))
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

// Intervals: there is a checkpoint after every n steps or epochs, and none if none is due.
func TestCheckpointInterval(t *testing.T) {
	t.Parallel()
	devices := opened(t, "cpu", 1)
	for _, c := range []struct {
		every configs.Interval
		want  int64 // step of the newest checkpoint after 8 steps
	}{
		{configs.Interval{}, 0},
		{configs.Interval{Steps: 3}, 6},
		{configs.Interval{Epochs: 1}, 6},
		{configs.Interval{Time: 1}, 8},
	} {
		root := t.TempDir()
		func() {
			defer func() {
				if recover() != errKilled {
					t.Error("not killed")
				}
			}()
			attempt{recipe: smallRecipe(t), root: root, devices: devices, stop: 9, every: c.every, killed: true}.run(t)
		}()
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

// augmented returns the small recipe with everything that can be done to images and rates.
func augmented(t *testing.T) recipe.Recipe {
	r := smallRecipe(t)
	r.Data.Train, r.Data.Validation = 70, 10 // six batches remain, as in smallRecipe
	r.Data.LabelNoise, r.Data.Mean, r.Data.CropChunk, r.Data.TestCrops = 0.2, "image_centre", 4, recipe.TenCrop
	r.Data.PCAColour = recipe.PCAColour{Std: 0.1, Shrink: true}
	r.Data.AugmentUntil = recipe.AugmentUntil{Crop: 2, Flip: 1, PCAColour: 2}
	r.Train.Bias = recipe.Bias{LR: 0.02, Schedule: recipe.Schedule{Kind: "linear", Factor: 0.1, Patience: 1, Steps: 4}}
	r.Train.LayerRates = []recipe.LayerRate{{Layer: "conv1", From: 1, Factor: 0.1}, {Layer: "conv1", From: 2, Factor: 0}}
	r.Train.DropoutUntil = 2
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	return r
}

// A run with all augmentations resumes exactly, logs the error on the held-out images, and is
// tested on ten views at its end.
func TestAugmentedRunResumes(t *testing.T) {
	t.Parallel()
	r := augmented(t)
	want := outcomeOfWhole(t, r)
	two, three := opened(t, "cpu", 2), opened(t, "cpu", 3)
	for _, stop := range []int{1, 5, 6, 8, 13, 17} {
		root := t.TempDir()
		attempt{recipe: r, root: root, devices: three}.stopped(t, stop)
		attempt{recipe: r, root: root, devices: two}.whole(t)
		if d := want.diff(outcomeOf(t, root)); d != "" {
			t.Errorf("after a stop at step %d (-whole +resumed):\n%s", stop, d)
		}
	}
	validated := 0
	for _, m := range want.Series {
		if m.Name == "validation_top1_error" {
			validated++
			if m.Value < 0 || m.Value > 1 || math.Abs(float64(10*m.Value)-math.Round(float64(10*m.Value))) > 1e-9 {
				t.Errorf("error %v on ten images", m.Value)
			}
		}
	}
	if validated != 3 {
		t.Errorf("%d epochs have a validation error", validated)
	}
}

// A run that began on one device continues with columns on two devices, or the other way round,
// and ends with the weights of a single device.
func TestRunsContinueOnOtherDevices(t *testing.T) {
	t.Parallel()
	r := smallRecipe(t)
	want := outcomeOfWhole(t, r)
	both, one := opened(t, "cpu:0,cpu:1", 2), opened(t, "cpu", 2)
	for _, on := range [][2]*engine.Group{{one, both}, {both, one}, {both, both}} {
		root := t.TempDir()
		attempt{recipe: r, root: root, devices: on[0]}.stopped(t, 7)
		attempt{recipe: r, root: root, devices: on[1]}.whole(t)
		got := outcomeOf(t, root)
		if moved := got.Result.BytesMoved; (moved > 0) != (on[1] == both) {
			t.Errorf("%s, then %s: %d bytes are said to move", on[0].Name(), on[1].Name(), moved)
		}
		if d := want.diff(got); d != "" {
			t.Errorf("%s, then %s (-one device +both):\n%s", on[0].Name(), on[1].Name(), d)
		}
	}
}

// The images of a batch yield the same run, however many devices share them.
func TestDataParallelRunsAreEqual(t *testing.T) {
	t.Parallel()
	r := smallRecipe(t)
	r.Train.Batch, r.Train.MicroBatches = 12, 4
	want := outcomeOfWhole(t, r)
	for _, on := range []string{"cpu:0,cpu:1", "cpu:0,cpu:1,cpu:2,cpu:3"} {
		root := t.TempDir()
		attempt{recipe: r, root: root, devices: opened(t, on, 4)}.whole(t)
		if d := want.diff(outcomeOf(t, root)); d != "" {
			t.Errorf("%s (-one device +several):\n%s", on, d)
		}
	}
}
