package cpu

import (
	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newSoftTargetLoss)
	_ = computes(newSoftTargetLossGrad)
)

// softTargetLosses is the batch's mean cross-entropy to shares of classes.
type softTargetLosses struct {
	logits, targets, loss []float32
	batch, classes        int
}

func newSoftTargetLoss(_ *Device, op *graph.SoftTargetLoss, in engine.Instr) engine.Kernel {
	return &softTargetLosses{
		logits: slice(in.In[0]), targets: slice(in.In[1]), loss: slice(in.Out), batch: op.Batch, classes: op.Classes,
	}
}

// Run sums in float64, image by image.
func (s *softTargetLosses) Run(*engine.Context) error {
	var sum float64
	for n := range s.batch {
		from, to := n*s.classes, (n+1)*s.classes
		sum += graph.SoftTargetLossOf(s.logits[from:to], s.targets[from:to])
	}
	s.loss[0] = float32(sum / float64(s.batch))
	return nil
}

// softTargetLossGrads is (softmax − targets)·dloss/N, one image per tile.
type softTargetLossGrads struct {
	d                           *Device
	logits, targets, dloss, out []float32
	batch, classes              int
	scale                       func(float64) float32
}

func newSoftTargetLossGrad(d *Device, op *graph.SoftTargetLossGrad, in engine.Instr) engine.Kernel {
	s := &softTargetLossGrads{
		d: d, logits: slice(in.In[0]), targets: slice(in.In[1]), dloss: slice(in.In[2]), out: slice(in.Out),
		batch: op.Batch, classes: op.Classes,
	}
	s.scale = func(p float64) float32 { return float32(p) * s.dloss[0] / float32(s.batch) }
	return s
}

// Run computes all images.
func (s *softTargetLossGrads) Run(*engine.Context) error { return s.d.workers.run(s, s.batch) }

func (s *softTargetLossGrads) tile(_, n int) {
	from, to := n*s.classes, (n+1)*s.classes
	graph.SoftTargetGradOf(s.logits[from:to], s.targets[from:to], s.scale, s.out[from:to])
}
