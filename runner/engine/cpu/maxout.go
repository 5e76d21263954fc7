package cpu

import (
	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newMaxout)
	_ = computes(newMaxoutGrad)
)

// maxouts takes the largest of adjacent channels, or passes the gradient to it.
type maxouts struct {
	d            *Device
	pieces       int
	x, y, dy, dx []float32 // forward x and y, backward x, dy and dx
}

func newMaxout(d *Device, op *graph.Maxout, in engine.Instr) engine.Kernel {
	return &maxouts{d: d, pieces: op.Pieces, x: slice(in.In[0]), y: slice(in.Out)}
}

func newMaxoutGrad(d *Device, op *graph.MaxoutGrad, in engine.Instr) engine.Kernel {
	return &maxouts{d: d, pieces: op.Pieces, x: slice(in.In[0]), dy: slice(in.In[1]), dx: slice(in.Out)}
}

// Run handles all units.
func (m *maxouts) Run(*engine.Context) error {
	return m.d.workers.run(m, chunks(len(m.x)/m.pieces))
}

func (m *maxouts) tile(_, i int) {
	from, to := chunk(i, len(m.x)/m.pieces)
	if m.dx != nil {
		clear(m.dx[from*m.pieces : to*m.pieces])
	}
	for u := from; u < to; u++ {
		pieces := m.x[u*m.pieces : (u+1)*m.pieces]
		best := 0
		for j, v := range pieces {
			if v > pieces[best] {
				best = j
			}
		}
		if m.dx != nil {
			m.dx[u*m.pieces+best] = m.dy[u]
		} else {
			m.y[u] = pieces[best]
		}
	}
}
