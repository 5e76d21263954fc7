package kernels

import "ablate/runner/graph"

var (
	_ = lowers(func(l *lowering, op *graph.Conv) { l.conv(windowOf(op.Batch, op.Window), false) })
	_ = lowers(func(l *lowering, op *graph.ConvDataGrad) { l.dataGrad(windowOf(op.Batch, op.Window)) })
	_ = lowers(func(l *lowering, op *graph.ConvWeightGrad) { l.weightGrad(windowOf(op.Batch, op.Window), false) })
	_ = lowers(func(l *lowering, op *graph.Dense) { l.conv(denseWindow(op.Batch, op.In, op.Outputs), false) })
	_ = lowers(func(l *lowering, op *graph.DenseDataGrad) { l.dataGrad(denseWindow(op.Batch, op.In, op.Outputs)) })
	_ = lowers(func(l *lowering, op *graph.DenseWeightGrad) { l.denseWeightGrad(op) })
	_ = lowers(func(l *lowering, op *graph.Local) { l.conv(windowOf(op.Batch, op.Window), true) })
	_ = lowers(func(l *lowering, op *graph.LocalDataGrad) {
		l.each("local_data_grad", l.Out.Len(), l.in(0), l.in(1), l.out(), int32(l.Out.Len()),
			windowOf(op.Batch, op.Window).params())
	})
	_ = lowers(func(l *lowering, op *graph.LocalWeightGrad) { l.weightGrad(windowOf(op.Batch, op.Window), true) })
)
