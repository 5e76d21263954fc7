package cpu

import (
	"math"

	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newSoftmaxLoss)
	_ = computes(newSoftmaxLossGrad)
)

// softmaxLosses is the batch's mean cross-entropy.
type softmaxLosses struct {
	d                    *Device
	logits, labels, loss []float32
	batch, classes       int
}

func newSoftmaxLoss(d *Device, op *graph.SoftmaxLoss, in engine.Instr) engine.Kernel {
	return &softmaxLosses{d: d, logits: slice(in.In[0]), labels: slice(in.In[1]), loss: slice(in.Out), batch: op.Batch,
		classes: op.Classes}
}

// Run sums in one tile, since a batch is short. A label outside the classes becomes an error there.
func (s *softmaxLosses) Run(*engine.Context) error { return s.d.workers.run(s, 1) }

// tile sums in float64, image by image.
func (s *softmaxLosses) tile(int, int) {
	var sum float64
	for n := range s.batch {
		row := s.logits[n*s.classes : (n+1)*s.classes]
		sum += graph.LogSumExp(row) - float64(row[int(s.labels[n])])
	}
	s.loss[0] = float32(sum / float64(s.batch))
}

// softmaxLossGrads is (softmax − one-hot)·dloss/N, one image per tile.
type softmaxLossGrads struct {
	d                          *Device
	logits, labels, dloss, out []float32
	batch, classes             int
}

func newSoftmaxLossGrad(d *Device, op *graph.SoftmaxLossGrad, in engine.Instr) engine.Kernel {
	return &softmaxLossGrads{d: d, logits: slice(in.In[0]), labels: slice(in.In[1]), dloss: slice(in.In[2]),
		out: slice(in.Out), batch: op.Batch, classes: op.Classes}
}

// Run computes all images.
func (s *softmaxLossGrads) Run(*engine.Context) error { return s.d.workers.run(s, s.batch) }

func (s *softmaxLossGrads) tile(_, n int) {
	row := s.logits[n*s.classes : (n+1)*s.classes]
	z, label := graph.LogSumExp(row), int(s.labels[n])
	for c, v := range row {
		p := math.Exp(float64(v) - z)
		if c == label {
			p--
		}
		s.out[n*s.classes+c] = float32(p) * s.dloss[0] / float32(s.batch)
	}
}
