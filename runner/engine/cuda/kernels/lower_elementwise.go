package kernels

import "ablate/runner/graph"

var (
	_ = lowers(func(l *lowering, op *graph.Activation) {
		l.quads("unit", l.Out.Len(), l.in(0), l.out(), int32(l.Out.Len()), wide(l.in(0), l.out()),
			l.function(op.F), float32(op.A), float32(op.B))
	})
	_ = lowers(func(l *lowering, op *graph.ActivationGrad) {
		l.quads("unit_grad", l.Out.Len(), l.in(0), l.in(1), l.out(), int32(l.Out.Len()), wide(l.in(0), l.in(1), l.out()),
			l.function(op.F), float32(op.A), float32(op.B))
	})
	_ = lowers(func(l *lowering, op *graph.Dropout) {
		slot := l.stream("dropout", op.Layer, graph.DropoutStream)
		l.quads("dropout", l.Out.Len(), l.in(0), l.out(), l.mask(), l.b.Step, int32(l.Out.Len()),
			wide(l.in(0), l.out(), l.mask()),
			slot, graph.DropoutThreshold(op.Rate), boolean(op.Train), float32(op.Up()), float32(op.Kept()),
			partOf(op.Part, op.Shape))
	})
	_ = lowers(func(l *lowering, op *graph.RReLU) {
		slot, v := l.stream("rrelu", op.Layer, graph.RReLUStream), l.in(len(l.In)-1)
		l.quads("rrelu", l.Out.Len(), l.in(0), v, l.out(), l.b.Step, int32(l.Out.Len()), wide(l.in(0), v, l.out()),
			slot, boolean(op.Train), op.Lower, op.Upper-op.Lower, op.Mean(), partOf(op.Part, op.Shape))
	})
	_ = lowers(func(l *lowering, _ *graph.PReLU) {
		l.each("prelu", l.Out.Len(), l.in(0), l.in(1), l.in(0), l.out(), int32(l.Out.Len()), divisor(l.In[1].Len()))
	})
	_ = lowers(func(l *lowering, _ *graph.PReLUGrad) {
		l.each("prelu", l.Out.Len(), l.in(0), l.in(1), l.in(2), l.out(), int32(l.Out.Len()), divisor(l.In[1].Len()))
	})
	_ = lowers(func(l *lowering, op *graph.Maxout) {
		l.each("maxout", l.Out.Len(), l.in(0), l.out(), int32(l.Out.Len()), int32(op.Pieces))
	})
	_ = lowers(func(l *lowering, op *graph.MaxoutGrad) {
		l.each("maxout_grad", l.Out.Len(), l.in(0), l.in(1), l.out(), int32(l.Out.Len()), divisor(op.Pieces))
	})
)
