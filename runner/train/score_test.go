package train

import (
	"math"
	"testing"

	"ablate/experiments"
)

func TestPredict(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		label     int
		logits    []float32
		predicted int
		rank      int
	}{
		{2, []float32{0, 1, 3, 2}, 2, 1},
		{3, []float32{0, 1, 3, 2}, 2, 2},
		{0, []float32{0, 1, 3, 2}, 2, 4},
		{1, []float32{5, 5, 5}, 0, 2}, // ties: the lower class number ranks first
		{0, []float32{1, nan}, 0, 2},
	} {
		p := predict(7, c.label, c.logits)
		if p.Predicted != c.predicted || p.Rank != c.rank || p.Index != 7 {
			t.Errorf("%+v: %+v", c, p)
		}
	}
	// −log softmax of (0, ln 3) at class 0 is ln 4.
	if p := predict(0, 0, []float32{0, float32(math.Log(3))}); math.Abs(p.LogProb+math.Log(4)) > 1e-6 {
		t.Errorf("log probability %v, want %v", p.LogProb, -math.Log(4))
	}
}

func TestScore(t *testing.T) {
	var s Score
	for _, rank := range []int{1, 1, 2, 5, 6, 10, 1, 3} {
		s.Add(experiments.Prediction{Rank: rank, LogProb: -0.5})
	}
	if s.Top1Error() != 5.0/8 || s.Top5Error() != 2.0/8 || s.Loss() != 0.5 {
		t.Errorf("%+v", s)
	}
}
