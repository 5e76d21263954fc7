package kernels

import "ablate/runner/graph"

var (
	_ = lowers(func(l *lowering, op *graph.LRN) { l.lrn(op.Shape, op.LRNParams) })
	_ = lowers(func(l *lowering, op *graph.LRNGrad) { l.lrnGrad(op) })
)
