package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ablate/configs"
	"ablate/experiments"
	"ablate/runner/device"
	"ablate/runner/engine"
	"ablate/runner/engine/cpu"
)

// These variables turn the test binary into a slot's process, and say how it fails.
const (
	asSlot   = "ABLATE_TEST_SLOT"      // folder of runs
	slotFate = "ABLATE_TEST_SLOT_FATE" // how it fails
)

func TestMain(m *testing.M) {
	if root := os.Getenv(asSlot); root != "" {
		os.Exit(serveTestSlot(root, os.Getenv(slotFate)))
	}
	os.Exit(m.Run())
}

// serveTestSlot serves a pool on a device that may fail.
func serveTestSlot(root, fate string) int {
	dev, err := cpu.New("cpu", 1)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var d engine.Device = dev
	what, once, _ := strings.Cut(fate, " ")
	if once != "" { // it fails once among all processes: in the one that creates the file
		f, err := os.OpenFile(once, os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			what = ""
		}
		f.Close()
	}
	switch what {
	case "crash":
		d = &failing{Device: dev, kernels: 100, fail: func() error { panic("the kernel of a test") }}
	case "lose":
		d = &failing{Device: dev, kernels: 100, fail: func() error { return engine.ErrDeviceLost }}
	}
	group := engine.NewGroup(d)
	err = ServeSlot(context.Background(), os.Stdin, os.Stdout, &experiments.Store{Root: root},
		func(string) (*engine.Group, error) {
			if what == "unfit" {
				return nil, fmt.Errorf("device %w: it fell off the bus", device.ErrNotAvailable)
			}
			return group, nil
		}, "cpu")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A failing device fails in every kernel after the first few.
type failing struct {
	engine.Device
	kernels int
	fail    func() error
}

func (d *failing) Kernel(i engine.Instr) (engine.Kernel, error) {
	k, err := d.Device.Kernel(i)
	return failingKernel{k, d}, err
}

type failingKernel struct {
	engine.Kernel
	of *failing
}

func (k failingKernel) Run(c *engine.Context) error {
	if k.of.kernels--; k.of.kernels < 0 {
		return k.of.fail()
	}
	return k.Kernel.Run(c)
}

// testPool returns a pool of processes of this test, one for each fate.
func testPool(store *experiments.Store, retries int, fates ...string) Pool {
	p := Pool{Retries: retries, Release: func() error { return nil }}
	for i, fate := range fates {
		p.Slots = append(p.Slots, PoolSlot{Name: fmt.Sprint("test:", i), Command: func() *exec.Cmd {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), asSlot+"="+store.Root, slotFate+"="+fate)
			return c
		}})
	}
	return p
}

// A listener records what a pool reports about its runs.
type listener struct {
	stopAfter
	retried []string
	failed  []string
}

func (l *listener) Retry(j Job, err error) {
	l.retried = append(l.retried, fmt.Sprintf("%d: %v", j.Seed, err))
}

func (l *listener) End(j Job, status experiments.Status, err error) {
	if err != nil {
		l.failed = append(l.failed, fmt.Sprintf("%d %s: %v", j.Seed, status, err))
	}
}

// A crash or a lost device costs a pool one run, which starts again from its checkpoint as often
// as retries are allowed. Its weights are those of an undisturbed run.
func TestPoolSurvives(t *testing.T) {
	t.Parallel()
	s, jobs := tiny(t, "4")
	devices := device.NewPool("cpu", 1)
	defer devices.Close()
	options := func(store *experiments.Store, p Progress) Options {
		return Options{
			Study: s, Declares: experiments.Declaration{Study: s.Name}, Store: store, Devices: devices.Get,
			Progress: p, Checkpoint: configs.Interval{Steps: 1},
		}
	}
	peace := &experiments.Store{Root: t.TempDir()}
	if out, err := Execute(t.Context(), jobs, options(peace, &stopAfter{})); err != nil || out.Done != 4 {
		t.Fatalf("%+v, %v", out, err)
	}
	once := filepath.Join(t.TempDir(), "once")
	for name, c := range map[string]struct {
		retries int
		fates   []string
		want    Outcome
		retried int
		said    string // of the last retry or failure
	}{
		"in peace": {retries: 2, fates: []string{"", ""}, want: Outcome{Done: 4}, retried: 0, said: ""},
		"one crash": {retries: 1, fates: []string{"crash " + once + "1", ""}, want: Outcome{Done: 4}, retried: 1,
			said: "panic: the kernel of a test"},
		"one lost device": {retries: 1, fates: []string{"", "lose " + once + "2"}, want: Outcome{Done: 4}, retried: 1,
			said: "the device is lost"},
		"a slot of no use": {retries: 0, fates: []string{"unfit", ""}, want: Outcome{Done: 4}, retried: 1,
			said: "it fell off the bus"},
		"one slot and a loss": {retries: 1, fates: []string{"lose " + once + "3"}, want: Outcome{Done: 4}, retried: 1,
			said: "the device is lost"},
		"crashes without end": {retries: 1, fates: []string{"crash"}, want: Outcome{Failed: 4}, retried: 4,
			said: "panic: the kernel of a test"},
		"no retries": {retries: 0, fates: []string{"crash " + once + "4"}, want: Outcome{Done: 3, Failed: 1}, retried: 0,
			said: "panic"},
	} {
		store := &experiments.Store{Root: t.TempDir()}
		l := &listener{}
		out, err := ExecuteOn(t.Context(), jobs, options(store, l), testPool(store, c.retries, c.fates...))
		if err != nil || out != c.want || len(l.retried) != c.retried {
			t.Errorf("%s: %+v, %v, retried %q", name, out, err, l.retried)
		}
		if said := strings.Join(append(l.retried, l.failed...), "\n"); !strings.Contains(said, c.said) {
			t.Errorf("%s: %q does not say %q", name, said, c.said)
		}
		if c.want.Done == 4 {
			if d := cmp.Diff(weights(t, peace), weights(t, store)); d != "" {
				t.Errorf("%s:\n%s", name, d)
			}
		}
	}
}

// weights returns the digests of the weights of a study's runs, by seed.
func weights(t *testing.T, store *experiments.Store) map[uint64]string {
	t.Helper()
	records, problems := store.Load("tiny")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	got := map[uint64]string{}
	for _, r := range records {
		if r.Result != nil {
			got[r.Seed] = r.Result.WeightsSHA256
		}
	}
	return got
}

// If no slot can train, a study ends as it does on a single device that cannot be opened.
func TestPoolWithoutUse(t *testing.T) {
	t.Parallel()
	s, jobs := tiny(t, "2")
	devices := device.NewPool("cpu", 1)
	defer devices.Close()
	store := &experiments.Store{Root: t.TempDir()}
	out, err := ExecuteOn(t.Context(), jobs, Options{
		Study: s, Declares: experiments.Declaration{Study: s.Name}, Store: store, Devices: devices.Get,
		Progress: &listener{},
	}, testPool(store, 1, "unfit", "unfit"))
	if err == nil || !strings.Contains(err.Error(), "it fell off the bus") || out != (Outcome{}) {
		t.Errorf("%+v, %v", out, err)
	}
}

// Ctrl-C saves the runs of all slots, and the same command continues them.
func TestPoolInterrupted(t *testing.T) {
	t.Parallel()
	s, jobs := tiny(t, "2", "train.epochs=2000")
	devices := device.NewPool("cpu", 1)
	defer devices.Close()
	store := &experiments.Store{Root: t.TempDir()}
	ctx, interrupt := context.WithTimeout(t.Context(), time.Minute)
	defer interrupt()
	both := &meet{seen: map[uint64]bool{}, interrupt: interrupt}
	out, err := ExecuteOn(ctx, jobs, Options{
		Study: s, Declares: experiments.Declaration{Study: s.Name}, Store: store, Devices: devices.Get, Progress: both,
	}, testPool(store, 1, "", ""))
	if err != nil || out != (Outcome{Interrupted: true}) {
		t.Fatalf("%+v, %v", out, err)
	}
	for _, j := range jobs {
		r, err := store.Record(s.Name, j.Variant.Name, j.Seed)
		if err != nil || r.Status != experiments.Interrupted {
			t.Errorf("seed %d: %s, %v", j.Seed, r.Status, err)
		}
		saved, _ := filepath.Glob(filepath.Join(store.Root, s.Name, "baseline", fmt.Sprint("seed-", j.Seed), "checkpoint-*"))
		if len(saved) == 0 {
			t.Errorf("seed %d: no checkpoint", j.Seed)
		}
	}
}

// A meet interrupts once both seeds have made a step.
type meet struct {
	stopAfter
	seen      map[uint64]bool
	interrupt context.CancelFunc
}

func (m *meet) Step(j Job, _ int, _ float64) {
	if m.seen[j.Seed] = true; len(m.seen) == 2 {
		m.interrupt()
	}
}

// An error from a slot's process keeps its kind.
func TestToldErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ err, is error }{
		{fmt.Errorf("run: %w", engine.ErrDeviceLost), engine.ErrDeviceLost},
		{fmt.Errorf("%w: disk", ErrRecord), ErrRecord},
		{&experiments.WriteError{Path: "x", Free: -1, Err: os.ErrPermission}, ErrRecord},
		{errors.New("another"), nil},
	} {
		told := answer{Error: c.err.Error(), Kind: kindOf(c.err)}.err()
		if told.Error() != c.err.Error() || c.is != nil && !errors.Is(told, c.is) || errors.Unwrap(told) != c.is {
			t.Errorf("%v: %v, which is %v", c.err, told, errors.Unwrap(told))
		}
	}
}
