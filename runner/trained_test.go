package runner

import (
	"errors"
	"math"
	"strings"
	"testing"

	"ablate/experiments"
)

// Evaluating a run again yields the figures of its record. It needs the run's own classes, and a
// finished run.
func TestEvaluateAgain(t *testing.T) {
	t.Parallel()
	store, devices := trainTiny(t, "1")
	dir, err := store.Find("tiny/baseline/1")
	if err != nil {
		t.Fatal(err)
	}
	rec, err := experiments.ReadRecord(dir)
	if err != nil {
		t.Fatal(err)
	}
	group, err := devices.Get("")
	if err != nil {
		t.Fatal(err)
	}
	net, err := OpenTrained(dir)
	if err != nil {
		t.Fatal(err)
	}
	score, err := net.Evaluate(t.Context(), nil, group)
	if err != nil {
		t.Fatal(err)
	}
	if want := rec.Result; score.Top1Error() != float64(want.Top1Error) || score.Images != want.TestExamples ||
		math.Abs(score.Loss()-float64(want.TestLoss)) > 1e-12 {
		t.Errorf("%+v, the record has %+v", score, want)
	}
	if _, err := net.Evaluate(t.Context(), []string{"classes=[disc, ring]", "train=0", "test=0"}, group); err == nil ||
		!strings.Contains(err.Error(), "has the classes disc, ring, the net knows") {
		t.Errorf("other classes: %v", err)
	}
	photo := "data/imaging/testdata/rgb.jpg"
	one, err := net.Predict(t.Context(), []string{photo}, 3, group)
	if err != nil {
		t.Fatal(err)
	}
	many, err := net.Predict(t.Context(), []string{photo, photo, photo}, 10, group)
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for i, g := range many[2] {
		sum += g.Probability
		if i < 3 && g != one[0][i] || i > 0 && g.Probability > many[2][i-1].Probability {
			t.Errorf("guess %d is %v, alone %v", i, g, one[0])
		}
	}
	if math.Abs(sum-1) > 1e-6 {
		t.Errorf("probabilities add up to %v", sum)
	}
	if _, err := OpenTrained(t.TempDir()); err == nil {
		t.Error("a folder without a run was opened")
	}
	if rec.Status = experiments.Failed; !errors.Is(usable(rec, dir), ErrUntrained) {
		t.Error("a run that failed can be used")
	}
}
