package runner

import (
	"errors"
	"math"
	"testing"
	"time"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/device"
)

// A predicted time is never negative: 10¹² epochs used to take −1,277,683 hours.
func TestPredictionsDoNotOverflow(t *testing.T) {
	t.Parallel()
	m := measurement{step: time.Second, evaluation: time.Second, batches: 1000}
	r := recipe.Recipe{Train: recipe.Train{Batch: 10, Epochs: 1_000_000_000}, Data: recipe.Data{TestCrops: recipe.TenCrop}}
	got := m.predict(r, &data.Dataset{Test: data.Split{Labels: make([]int32, 95)}}).Run
	if got != math.MaxInt64 || Times(3, got) != math.MaxInt64 {
		t.Errorf("%v, three times that is %v", got, Times(3, got))
	}
	r.Train.Epochs = 2
	if got := m.predict(r, &data.Dataset{Test: data.Split{Labels: make([]int32,
		95)}}).Run; got != (2*(1000+10)+90)*time.Second {
		t.Errorf("two epochs take %v", got)
	}
}

// The prediction of a study leaves out finished runs, and an error from Confirm ends the study
// before anything is written.
func TestConfirm(t *testing.T) {
	t.Parallel()
	s, jobs := tiny(t, "2")
	devices := device.NewPool("cpu", 1)
	defer devices.Close()
	store := &experiments.Store{Root: t.TempDir()}
	var predicted []time.Duration
	refused := errors.New("too long")
	o := Options{Study: s, Store: store, Devices: devices.Get, Progress: &stopAfter{}}
	o.Confirm = func(d time.Duration) error {
		predicted = append(predicted, d)
		return refused
	}
	if out, err := Execute(t.Context(), jobs, o); !errors.Is(err, refused) || out != (Outcome{}) {
		t.Fatalf("%+v, %v", out, err)
	}
	if records, _ := store.Load(s.Name); len(records) > 0 {
		t.Errorf("%d records were written", len(records))
	}
	refused = nil
	for range 2 {
		if _, err := Execute(t.Context(), jobs, o); err != nil {
			t.Fatal(err)
		}
	}
	if len(predicted) != 3 || predicted[1] <= 0 || predicted[2] != 0 {
		t.Errorf("predicted %v, want twice the study and then nothing", predicted)
	}
}
