package kernels

import "ablate/runner/graph"

var (
	_ = lowers(func(l *lowering, _ *graph.BiasGrad) { l.columns(l.in(0), 0, 0, columnSum, 1, 0, 0) })
	_ = lowers(func(l *lowering, _ *graph.BatchMean) { l.columns(l.in(0), 0, 0, columnSum, l.perRow(), 0, 0) })
	_ = lowers(func(l *lowering, _ *graph.BatchVariance) {
		l.columns(l.in(0), 0, l.in(1), columnDistance, l.perRow(), 0, 0)
	})
	_ = lowers(func(l *lowering, op *graph.BatchNormScaleGrad) {
		l.columns(l.in(0), l.in(3), l.in(1), columnProduct, 1, l.in(2), op.Epsilon)
	})
	_ = lowers(func(l *lowering, _ *graph.PReLUSlopeGrad) { l.columns(l.in(0), l.in(1), 0, columnNegative, 1, 0, 0) })
	_ = lowers(func(l *lowering, op *graph.BatchNorm) {
		n := l.Out.Len()
		l.each("batchnorm", n, l.in(0), l.in(1), l.in(2), l.in(3), l.in(4), l.out(), int32(n), divisor(op.Shape.Channels),
			float32(op.Epsilon), boolean(l.ReLU))
	})
	_ = lowers(func(l *lowering, op *graph.BatchNormGrad) {
		n := l.Out.Len()
		l.each("batchnorm_grad", n, l.in(0), l.in(1), l.in(2), l.in(3), l.in(4), l.in(5), l.in(6), l.out(),
			int32(n), divisor(l.In[1].Len()), float32(op.Epsilon))
	})
)
