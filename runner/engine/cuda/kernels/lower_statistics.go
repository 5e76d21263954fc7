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

var (
	_ = lowers(func(l *lowering, op *graph.GroupNorm) {
		moments := l.moments(op.Batch, op.Groups, 0, 0)
		l.each("group_norm", l.Out.Len(), l.in(0), moments, l.in(1), l.in(2), l.out(), int32(l.Out.Len()), group(op.Groups))
	})
	_ = lowers(func(l *lowering, op *graph.GroupNormGrad) {
		moments := l.moments(op.Batch, op.Groups, l.in(1), l.in(2))
		l.each("group_norm_grad", l.Out.Len(), l.in(0), moments, l.in(1), l.in(2), l.out(), int32(l.Out.Len()),
			group(op.Groups))
	})
	_ = lowers(func(l *lowering, op *graph.GroupNormScaleGrad) {
		moments := l.moments(op.Batch, op.Groups, 0, 0)
		l.each("group_norm_scale_grad", l.Out.Len(), l.in(0), moments, l.in(1), l.out(), int32(l.Out.Len()),
			group(op.Groups), int32(op.Batch*op.Shape.Height*op.Shape.Width))
	})
)

// moments launches the sums over the groups of each image, and returns their address.
func (l *lowering) moments(batch int, g graph.Groups, scale, dy uint64) uint64 {
	n := batch * g.Groups
	l.count(l.In[0].Len())
	to := l.scratch(4 * n)
	l.each("group_moments", n, l.in(0), scale, dy, to, int32(n), group(g), float32(g.Epsilon))
	return to
}

// group is Group of columns.cu.
func group(g graph.Groups) Struct {
	return append(divisors(g.Shape.Channels, g.Groups, g.Shape.Channels/g.Groups, g.N),
		int32(g.Shape.Height*g.Shape.Width),
		int32(g.First))
}
