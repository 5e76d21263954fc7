package kernels

import "ablate/runner/graph"

var (
	_ = lowers(func(l *lowering, op *graph.SoftmaxLoss) {
		losses := l.scratch(2 * op.Batch) // float64
		l.launch("softmax_losses", op.Batch, 1, softmaxThreads, l.in(0), l.in(1), losses, int32(op.Classes))
		l.launch("mean_loss", 1, 1, softmaxThreads, losses, l.out(), int32(op.Batch))
	})
	_ = lowers(func(l *lowering, op *graph.SoftmaxLossGrad) {
		l.launch("softmax_grad", op.Batch, 1, softmaxThreads, l.in(0), l.in(1), l.in(2), l.out(), int32(op.Classes),
			int32(op.Batch))
	})
	_ = lowers(func(l *lowering, op *graph.SoftTargetLoss) {
		losses := l.scratch(2 * op.Batch) // float64
		l.launch("soft_target_losses", op.Batch, 1, softmaxThreads, l.in(0), l.in(1), losses, int32(op.Classes))
		l.launch("mean_loss", 1, 1, softmaxThreads, losses, l.out(), int32(op.Batch))
	})
	_ = lowers(func(l *lowering, op *graph.SoftTargetLossGrad) {
		l.launch("soft_target_grad", op.Batch, 1, softmaxThreads, l.in(0), l.in(1), l.in(2), l.out(), int32(op.Classes),
			int32(op.Batch))
	})
)
