package train

import (
	"ablate/experiments"
	"ablate/runner/graph"
)

// top is the number of first choices that the top-5 error considers.
const top = 5

// A Score sums up predictions.
type Score struct {
	Images, Wrong1, Wrong5 int
	LossSum                float64
}

// Top1Error returns the share of images whose label is not the first choice.
func (s Score) Top1Error() float64 { return float64(s.Wrong1) / float64(s.Images) }

// Top5Error returns the share of images whose label is not among the first five choices.
func (s Score) Top5Error() float64 { return float64(s.Wrong5) / float64(s.Images) }

// Loss returns the mean cross-entropy.
func (s Score) Loss() float64 { return s.LossSum / float64(s.Images) }

// Add adds a prediction to the score.
func (s *Score) Add(p experiments.Prediction) {
	s.Images++
	s.LossSum -= p.LogProb
	if p.Rank > 1 {
		s.Wrong1++
	}
	if p.Rank > top {
		s.Wrong5++
	}
}

// predict makes a prediction from one image's logits. Among equal scores the lower class number
// ranks first; a score that is not a number ranks above the label's.
func predict(index, label int, logits []float32) experiments.Prediction {
	p := experiments.Prediction{Index: index, Label: label, Rank: 1}
	own := logits[label]
	for c, v := range logits {
		if v > logits[p.Predicted] {
			p.Predicted = c
		}
		if c != label && (!(v <= own) || v == own && c < label) {
			p.Rank++
		}
	}
	p.LogProb = float64(own) - graph.LogSumExp(logits)
	return p
}
