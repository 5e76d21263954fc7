package kernels

import "ablate/runner/engine"

var (
	_ = lowers(func(l *lowering, _ engine.Cast) { l.cast() })
	_ = lowers(func(l *lowering, op engine.Update) { l.update(op) })
	_ = lowers(func(l *lowering, _ engine.Norm) { l.norm() })
	_ = lowers(func(l *lowering, op engine.Gather) { l.move(op) })
	_ = lowers(func(l *lowering, op engine.Reduce) { l.sum(op) })
)
