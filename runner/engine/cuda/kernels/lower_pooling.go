package kernels

import "ablate/runner/graph"

var (
	_ = lowers(func(l *lowering, op *graph.MaxPool) { l.pool(op.Batch, op.Window, poolMax) })
	_ = lowers(func(l *lowering, op *graph.AvgPool) { l.pool(op.Batch, op.Window, poolAverage) })
	_ = lowers(func(l *lowering, op *graph.MaxAvgPool) { l.pool(op.Batch, op.Window, poolBoth) })
	_ = lowers(func(l *lowering, op *graph.MaxPoolGrad) {
		l.maxPoolGrad(l.in(2), windowOf(op.Batch, op.Window), poolMax)
	})
	_ = lowers(func(l *lowering, op *graph.AvgPoolGrad) {
		l.poolGrad(0, l.in(0), windowOf(op.Batch, op.Window), poolAverage)
	})
	_ = lowers(func(l *lowering, op *graph.MaxAvgPoolGrad) {
		l.maxPoolGrad(l.in(1), windowOf(op.Batch, op.Window), poolBoth)
	})
	_ = lowers(func(l *lowering, op *graph.StochasticPool) {
		l.stochastic(op.Layer, op.Train, op.Part, op.Out, l.Out.Len(), l.out(), 0, windowOf(op.Batch, op.Window))
	})
	_ = lowers(func(l *lowering, op *graph.StochasticPoolGrad) {
		w, n := windowOf(op.Batch, op.Window), l.In[1].Len()
		picks := l.picks(n, w)
		l.stochastic(op.Layer, true, op.Part, op.Out, n, 0, picks, w)
		l.poolGrad(picks, l.in(1), w, poolMax)
	})
	_ = lowers(func(l *lowering, op *graph.PyramidPool) {
		l.pyramid(op.Batch, op.In, op.Levels, func(n int, grid Struct) {
			l.each("pyramid", n, l.in(0), l.out(), uint64(0), int32(n), grid)
		})
	})
	_ = lowers(func(l *lowering, op *graph.PyramidPoolGrad) {
		l.pyramid(op.Batch, op.In, op.Levels, func(n int, grid Struct) {
			picks := l.scratch(n)
			l.each("pyramid", n, l.in(0), uint64(0), picks, int32(n), grid)
			l.each("pyramid_grad", l.Out.Len(), picks, l.in(1), l.out(), int32(l.Out.Len()), grid)
		})
	})
)
