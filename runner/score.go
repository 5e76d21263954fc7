package runner

import (
	"ablate/experiments"
	"ablate/runner/graph"
)

// top is how deep top-5 error looks.
const top = 5

// A score sums up predictions.
type score struct {
	n, wrong1, wrong5 int
	loss              float64
}

func (s score) top1Error() float64 { return float64(s.wrong1) / float64(s.n) }
func (s score) top5Error() float64 { return float64(s.wrong5) / float64(s.n) }
func (s score) meanLoss() float64  { return s.loss / float64(s.n) }

func (s *score) add(p experiments.Prediction) {
	s.n++
	s.loss -= p.LogProb
	if p.Rank > 1 {
		s.wrong1++
	}
	if p.Rank > top {
		s.wrong5++
	}
}

// predict reads one image's logits. Of equal scores the lower class number
// ranks first; a score that is not a number ranks as better than the label's.
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
