package runner

import (
	"strings"
	"testing"

	"ablate/arch"
	"ablate/runner/engine"
)

// Every shipped net gives one device's weights with its columns on two, if it
// has two, and with its batch's chunks on one and on two.
func TestEveryNetOnTwoDevices(t *testing.T) {
	if testing.Short() {
		t.Skip("trains every net")
	}
	one, err := OpenDevices("cpu", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := OpenDevices("cpu:0,cpu:1", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	for _, name := range arch.Nets.Names() {
		t.Run(name, func(t *testing.T) {
			net := small(t, name)
			for _, chunks := range []int{0, 2} {
				if chunks == 0 && net.Columns < 2 {
					continue
				}
				where := engine.Placement{Group: two.Group, Chunks: chunks}
				if err := where.Check(net, 4); err != nil {
					t.Fatal(err)
				}
				want := digestOf(t, engine.Placement{Group: one.Group, Chunks: chunks}, net, 2, 0, 1, 0, 1)
				if digestOf(t, where, net, 2, 0, 1, 0, 1) != want {
					t.Errorf("other weights on two devices than on one, in %d chunks", chunks)
				}
			}
		})
	}
}

// A run that was begun on one device goes on with its columns on two, and the
// other way round, and ends with one device's weights.
func TestRunsGoOnOnOtherDevices(t *testing.T) {
	r, whole := smallRun(t), t.TempDir()
	attempt(t, r, whole, 0, 1)
	want := outcomeOf(t, whole)
	for _, on := range [][2]string{{"cpu", "cpu:0,cpu:1"}, {"cpu:0,cpu:1", "cpu"}, {"cpu:0,cpu:1", "cpu:0,cpu:1"}} {
		root := t.TempDir()
		if out := attemptOn(t, r, root, on[0], 7, 2); !out.Interrupted {
			t.Fatalf("%v: %+v", on, out)
		}
		if out := attemptOn(t, r, root, on[1], 0, 2); out.Done != 1 {
			t.Fatalf("%v: %+v", on, out)
		}
		got := outcomeOf(t, root)
		if moved := got.Result.BytesMoved; (moved > 0) != (on[1] != "cpu") {
			t.Errorf("%v: %d bytes are said to move", on, moved)
		}
		if d := want.diff(got); d != "" {
			t.Errorf("%v (-one device +both):\n%s", on, d)
		}
	}
}

// The images of a batch give the same run, however many devices share them.
func TestDataParallelRunsAreEqual(t *testing.T) {
	r := smallRun(t)
	r.Variant.Recipe.Train.Batch, r.Variant.Recipe.Train.MicroBatches = 12, 4
	whole := t.TempDir()
	attempt(t, r, whole, 0, 1)
	want := outcomeOf(t, whole)
	for _, on := range []string{"cpu:0,cpu:1", "cpu:0,cpu:1,cpu:2,cpu:3"} {
		root := t.TempDir()
		if out := attemptOn(t, r, root, on, 0, 4); out.Done != 1 {
			t.Fatalf("%s: %+v", on, out)
		}
		if d := want.diff(outcomeOf(t, root)); d != "" {
			t.Errorf("%s (-one device +several):\n%s", on, d)
		}
	}
}

func TestOpenDevices(t *testing.T) {
	for list, want := range map[string]struct {
		threads int
		each    []int
	}{
		"cpu":                     {3, []int{3}},
		"auto":                    {2, []int{2}},
		"cpu:1":                   {4, []int{2}},
		"cpu:0,cpu:1":             {5, []int{2, 2}},
		"cpu:3,cpu:0,cpu:1,cpu:2": {4, []int{1, 1, 1, 1}},
	} {
		d, err := OpenDevices(list, want.threads)
		if err != nil {
			t.Errorf("%s: %v", list, err)
			continue
		}
		for i, m := range d.members {
			if m.Threads() != want.each[i] {
				t.Errorf("%s: %s has %d of %d threads", list, m.Name(), m.Threads(), want.threads)
			}
		}
		d.Close()
	}
	for list, want := range map[string]string{
		"gpu":             "no device is called gpu",
		"":                "lacks a name",
		"cpu:0,":          "lacks a name",
		"cpu:2":           "the 2 shares of the cores are cpu:0 to cpu:1",
		"cpu:x":           "the 2 shares of the cores are cpu:0 to cpu:1",
		"cpu:0,cpu:0":     "named twice",
		"cpu,cpu:0":       "stand alone",
		"auto,cuda:0":     "GPUs and cores do not share a run",
		"cpu:0,cuda:1":    "GPUs and cores do not share a run",
		"cuda:x":          "GPUs are cuda:0, cuda:1 and so on",
		"cuda:-1":         "GPUs are cuda:0, cuda:1 and so on",
		"cuda:0,cuda:0":   "named twice",
		"cuda,cuda:0":     "device cuda:0 is named twice",
		"cpu:0,cpu:1,gpu": "no device is called gpu",
	} {
		if _, err := OpenDevices(list, 4); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v", list, err)
		}
	}
	if _, err := OpenDevices("cpu:0,cpu:1", 1); err == nil || !strings.Contains(err.Error(), "2 shares need at least 2 threads, not 1") {
		t.Errorf("one thread for two shares gives %v", err)
	}
}
