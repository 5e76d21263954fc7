package cpu

import "ablate/runner/engine"

var _ = computes(newEMA)

// ema moves an average of weights towards them, see engine.EMA.
type ema struct {
	d          *Device
	average, w []float32
	share      float32
	first      bool
}

func newEMA(d *Device, op engine.EMA, in engine.Instr) *ema {
	return &ema{d: d, average: slice(in.In[0]), w: slice(in.In[1]), share: float32(1 - op.Decay)}
}

func (e *ema) Run(c *engine.Context) error {
	e.first = c.Step == 0
	return e.d.workers.run(e, chunks(len(e.w)))
}

func (e *ema) tile(_, i int) {
	from, to := chunk(i, len(e.w))
	if e.first {
		copy(e.average[from:to], e.w[from:to])
		return
	}
	for j := from; j < to; j++ {
		e.average[j] += float32(e.share * (e.w[j] - e.average[j]))
	}
}
