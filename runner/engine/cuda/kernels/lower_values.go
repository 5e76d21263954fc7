package kernels

import "ablate/runner/engine"

var (
	_ = lowers(func(l *lowering, _ engine.Cast) { l.cast() })
	_ = lowers(func(l *lowering, op engine.Update) { l.update(op) })
	_ = lowers(func(l *lowering, op engine.EMA) {
		n := l.In[0].Len()
		l.each("ema", n, l.in(0), l.in(1), l.b.Step, int32(n), float32(1-op.Decay))
	})
	_ = lowers(func(l *lowering, _ engine.Norm) { l.norm() })
	_ = lowers(func(l *lowering, op engine.Gather) { l.move(op) })
	_ = lowers(func(l *lowering, op engine.Reduce) { l.sum(op) })
)
