package runner

import (
	"strings"
	"testing"

	"ablate/experiments"
	"ablate/runner/device"
)

// Runs of one study share a data set, which is opened once.
func TestVerifierOpensDataOnce(t *testing.T) {
	t.Parallel()
	s, jobs := tiny(t, "2")
	devices := device.NewPool("cpu", 1)
	defer devices.Close()
	store := &experiments.Store{Root: t.TempDir()}
	if out, err := Execute(t.Context(), jobs, Options{Study: s, Store: store, Devices: devices.Get, Progress: &stopAfter{}}); err != nil || out.Done != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	group, err := devices.Get("")
	if err != nil {
		t.Fatal(err)
	}
	v := Verifier{Devices: group, Steps: 3}
	defer v.Close()
	for _, seed := range []string{"1", "2"} {
		dir, err := store.Find("tiny/baseline/" + seed)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := experiments.ReadRecord(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Verify(t.Context(), rec, dir); err != nil || !got.OK() || got.Steps != 3 {
			t.Errorf("seed %s: %+v, %v", seed, got, err)
		}
		rec.Recipe = []byte(strings.Replace(string(rec.Recipe), `"epochs": 2`, `"epochs": -2`, 1))
		if _, err := v.Verify(t.Context(), rec, dir); err == nil || !strings.Contains(err.Error(), "train.epochs is -2") {
			t.Errorf("a stored recipe that cannot be trained: %v", err)
		}
	}
	if len(v.sets.opened) != 1 {
		t.Errorf("%d data sets were opened for two runs of one study", len(v.sets.opened))
	}
}
