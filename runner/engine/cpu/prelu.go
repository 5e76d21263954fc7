package cpu

import (
	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newPReLU)
	_ = computes(newPReLUGrad)
	_ = computes(newPReLUSlopeGrad)
)

// prelus multiplies v, which is x itself or dy, by 1 or by the slope of the channel, depending on the
// sign of x.
type prelus struct {
	d              *Device
	rows           rows
	x, slope, v, y []float32
}

func newPReLU(d *Device, _ *graph.PReLU, in engine.Instr) engine.Kernel {
	x, slope := slice(in.In[0]), slice(in.In[1])
	return &prelus{d: d, rows: rowsOf(len(x), len(slope)), x: x, slope: slope, v: x, y: slice(in.Out)}
}

func newPReLUGrad(d *Device, _ *graph.PReLUGrad, in engine.Instr) engine.Kernel {
	x, slope := slice(in.In[0]), slice(in.In[1])
	return &prelus{d: d, rows: rowsOf(len(x), len(slope)), x: x, slope: slope, v: slice(in.In[2]), y: slice(in.Out)}
}

// Run handles all rows.
func (p *prelus) Run(*engine.Context) error { return p.d.workers.run(p, p.rows.tiles()) }

func (p *prelus) tile(_, i int) {
	from, to := p.rows.tile(i)
	for ; from < to; from += len(p.slope) {
		x, v, y := p.x[from:][:len(p.slope)], p.v[from:][:len(p.slope)], p.y[from:][:len(p.slope)]
		for c, slope := range p.slope {
			if x[c] < 0 {
				y[c] = v[c] * slope
			} else {
				y[c] = v[c]
			}
		}
	}
}

func newPReLUSlopeGrad(d *Device, _ *graph.PReLUSlopeGrad, in engine.Instr) engine.Kernel {
	x, dy := slice(in.In[0]), slice(in.In[1])
	return newChannelSum(d, len(x), slice(in.Out), func(sum []float32, from, to int) {
		for ; from < to; from += len(sum) {
			x, dy := x[from:][:len(sum)], dy[from:][:len(sum)]
			for c, v := range x {
				sum[c] += dy[c] * min(v, 0)
			}
		}
	})
}
