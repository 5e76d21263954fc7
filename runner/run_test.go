package runner

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ablate/configs"
	"ablate/experiments"
	"ablate/runner/device"
	"ablate/runner/engine"
	"ablate/runner/engine/cpu"
	"ablate/runner/external"
	"ablate/runner/train"
)

// tiny is a study of one variant whose runs take six steps.
func tiny(t *testing.T, seeds string, sets ...string) (*configs.Study, []Job) {
	t.Helper()
	s, err := configs.Load("testdata/tiny.yaml", append(sets, "seeds="+seeds))
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := Plan(s)
	if err != nil {
		t.Fatal(err)
	}
	return s, jobs
}

// trainTiny trains tiny under some seeds, and returns its store and the pool of devices.
func trainTiny(t *testing.T, seeds string) (*experiments.Store, *device.Pool) {
	t.Helper()
	s, jobs := tiny(t, seeds)
	devices := device.NewPool("cpu", 1)
	t.Cleanup(func() { devices.Close() })
	store := &experiments.Store{Root: t.TempDir()}
	out, err := Execute(t.Context(), jobs, Options{Study: s, Store: store, Devices: devices.Get, Progress: &stopAfter{}})
	if err != nil || out.Done != len(jobs) {
		t.Fatalf("%+v, %v", out, err)
	}
	return store, devices
}

// A stopAfter interrupts a study after some steps.
type stopAfter struct {
	steps     int
	interrupt context.CancelFunc
	skipped   int
}

func (s *stopAfter) Step(Job, int, float64) {
	if s.steps--; s.steps == 0 {
		s.interrupt()
	}
}
func (s *stopAfter) Skip(Job)                         { s.skipped++ }
func (*stopAfter) Held(Job, error)                    {}
func (*stopAfter) Retry(Job, error)                   {}
func (*stopAfter) Data(string, int, int)              {}
func (*stopAfter) Start([]Job, time.Duration)         {}
func (*stopAfter) Begin(Job, string)                  {}
func (*stopAfter) Epoch(Job, train.Epoch)             {}
func (*stopAfter) Program(Job, external.Progress)     {}
func (*stopAfter) End(Job, experiments.Status, error) {}

// An interrupted study continues where it stopped, and finished runs are skipped.
func TestExecuteContinues(t *testing.T) {
	t.Parallel()
	s, jobs := tiny(t, "3")
	devices := device.NewPool("cpu", 1)
	defer devices.Close()
	o := Options{Study: s, Store: &experiments.Store{Root: t.TempDir()}, Devices: devices.Get}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	o.Progress = &stopAfter{steps: 8, interrupt: interrupt}
	if out, err := Execute(ctx, jobs, o); err != nil || out != (Outcome{Done: 1, Interrupted: true}) {
		t.Fatalf("%+v, %v", out, err)
	}
	rest := &stopAfter{steps: -1}
	o.Progress = rest
	if out, err := Execute(t.Context(), jobs, o); err != nil || out != (Outcome{Done: 2, Skipped: 1}) {
		t.Fatalf("%+v, %v", out, err)
	}
	// The batch that was already loaded when the interrupt came was the third of the second run.
	if trained := -1 - rest.steps; trained != 3+6 || rest.skipped != 1 {
		t.Errorf("%d steps trained and %d runs skipped, want 9 and 1", trained, rest.skipped)
	}
}

// A device that is lost ends the study: the next run would only fail too.
func TestLostDeviceEndsTheStudy(t *testing.T) {
	t.Parallel()
	s, jobs := tiny(t, "2")
	dev, err := cpu.New("cpu", 1)
	if err != nil {
		t.Fatal(err)
	}
	group := engine.NewGroup(&failing{Device: dev, kernels: 100, fail: func() error { return engine.ErrDeviceLost }})
	defer group.Close()
	out, err := Execute(t.Context(), jobs, Options{
		Study: s, Store: &experiments.Store{Root: t.TempDir()}, Progress: &stopAfter{},
		Devices: func(string) (*engine.Group, error) { return group, nil },
	})
	if err != nil || out.Failed != 1 || out.Done != 0 || !errors.Is(out.Lost, engine.ErrDeviceLost) {
		t.Fatalf("%+v, %v", out, err)
	}
}

// A watcher calls back as a study proceeds.
type watcher struct {
	stopAfter
	dir  string
	held []Job
	step func(j Job, dir string)
}

func (w *watcher) Begin(_ Job, dir string) { w.dir = dir }
func (w *watcher) Held(j Job, _ error)     { w.held = append(w.held, j) }
func (w *watcher) Step(j Job, _ int, _ float64) {
	if w.step != nil {
		w.step(j, w.dir)
	}
}

// hold begins a run as another process would.
func hold(t *testing.T, store *experiments.Store, j Job) *experiments.Recorder {
	t.Helper()
	identity, err := j.Variant.Recipe.Identity()
	if err != nil {
		t.Fatal(err)
	}
	r, err := store.Start(experiments.Record{
		Study: "tiny", Variant: j.Variant.Name, Seed: j.Seed, Identity: identity, Recipe: []byte("{}"),
	}, experiments.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A run that another process trains is left to that process, and tried again at the end.
func TestProcessesDivideAStudy(t *testing.T) {
	t.Parallel()
	s, jobs := tiny(t, "3")
	devices := device.NewPool("cpu", 1)
	defer devices.Close()
	for name, c := range map[string]struct {
		release bool // while the others are being trained
		want    Outcome
	}{
		"held to the end":  {false, Outcome{Done: 2, Held: 1}},
		"released in time": {true, Outcome{Done: 3}},
	} {
		store := &experiments.Store{Root: t.TempDir()}
		other := hold(t, store, jobs[0])
		w := &watcher{step: func(j Job, _ string) {
			if c.release && j.Seed == jobs[2].Seed {
				other.Close()
			}
		}}
		out, err := Execute(t.Context(), jobs, Options{Study: s, Store: store, Devices: devices.Get, Progress: w})
		if err != nil || out != c.want {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
		if len(w.held) == 0 || w.held[0].Seed != jobs[0].Seed {
			t.Errorf("%s: held %v", name, w.held)
		}
		other.Close()
	}
}

// With FailFast, a run that diverges ends the study.
func TestFailFast(t *testing.T) {
	t.Parallel()
	s, jobs := tiny(t, "2", "train.lr=1e30")
	devices := device.NewPool("cpu", 1)
	defer devices.Close()
	for fast, want := range map[bool]Outcome{false: {Diverged: 2}, true: {Diverged: 1}} {
		out, err := Execute(t.Context(), jobs, Options{
			Study: s, Store: &experiments.Store{Root: t.TempDir()}, Devices: devices.Get, Progress: &stopAfter{}, FailFast: fast,
		})
		if err != nil || out != want {
			t.Errorf("%v: %+v, %v", fast, out, err)
		}
	}
}

// A record that can no longer be written ends the study: all further runs would be trained in
// vain.
func TestLostRecordEndsTheStudy(t *testing.T) {
	t.Parallel()
	s, jobs := tiny(t, "2")
	devices := device.NewPool("cpu", 1)
	defer devices.Close()
	w := &watcher{step: func(_ Job, dir string) { os.Remove(experiments.MetricsPath(dir)) }}
	out, err := Execute(t.Context(), jobs, Options{
		Study: s, Store: &experiments.Store{Root: t.TempDir()}, Devices: devices.Get, Progress: w,
	})
	if !errors.Is(err, ErrRecord) || !errors.Is(err, experiments.ErrLost) || out != (Outcome{}) {
		t.Errorf("%+v, %v", out, err)
	}
}

// A run whose images were replaced since it stopped does not continue. It used to end as done, and
// its record said that it was trained on the new images.
func TestReplacedImagesAreNoticed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"train/a/0", "train/a/1", "train/b/0", "train/b/1", "val/a/0", "val/b/0"} {
		writeImage(t, filepath.Join(root, name+".png"), byte(len(name)+int(name[len(name)-1])))
	}
	s, err := configs.Load("testdata/tiny.yaml", []string{
		"data.name=imagefolder", "data.root=" + root, "data.size=32", "data.train=0", "data.test=0", "train.batch=1",
	})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := Plan(s)
	if err != nil {
		t.Fatal(err)
	}
	devices := device.NewPool("cpu", 1)
	defer devices.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	o := Options{Study: s, Store: &experiments.Store{Root: t.TempDir()}, Devices: devices.Get}
	o.Progress = &stopAfter{steps: 2, interrupt: interrupt}
	if out, err := Execute(ctx, jobs, o); err != nil || !out.Interrupted {
		t.Fatalf("%+v, %v", out, err)
	}
	writeImage(t, filepath.Join(root, "train/b/1.png"), 200)
	o.Progress = &stopAfter{}
	_, err = Execute(t.Context(), jobs, o)
	if !errors.Is(err, experiments.ErrData) || !strings.Contains(err.Error(), "train was ") {
		t.Fatalf("%v", err)
	}
	o.Fresh = true
	if out, err := Execute(t.Context(), jobs, o); err != nil || out.Done != 1 {
		t.Fatalf("fresh: %+v, %v", out, err)
	}
}

// writeImage writes a picture of a single grey level.
func writeImage(t *testing.T, name string, grey byte) {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 32, 32))
	for i := range img.Pix {
		img.Pix[i] = grey
	}
	var b bytes.Buffer
	if err := errors.Join(png.Encode(&b, img), os.MkdirAll(filepath.Dir(name), 0o755),
		os.WriteFile(name, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}
