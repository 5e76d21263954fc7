package cpu

import (
	"ablate/runner/engine"
	"ablate/runner/graph"
)

var _ = computes(newRReLU)

// rrelus is a ReLU with a random slope below 0, or its gradient.
type rrelus struct {
	d            *Device
	op           *graph.RReLU
	sign, v, out []float32 // the slope depends on the signs of sign; in the forward pass v is sign
	context      *engine.Context
}

func newRReLU(d *Device, op *graph.RReLU, in engine.Instr) engine.Kernel {
	return &rrelus{d: d, op: op, sign: slice(in.In[0]), v: slice(in.In[len(in.In)-1]), out: slice(in.Out)}
}

// Run handles all values. The forward and the backward pass of a step draw the same slopes.
func (r *rrelus) Run(c *engine.Context) error {
	r.context = c
	return r.d.workers.run(r, (len(r.v)+dropoutLen-1)/dropoutLen)
}

func (r *rrelus) tile(_, i int) {
	from, to := i*dropoutLen, min((i+1)*dropoutLen, len(r.v))
	sign, v, out := r.sign[from:to], r.v[from:to], r.out[from:to]
	if !r.op.Train {
		mean := r.op.Mean()
		for i, s := range sign {
			if s > 0 {
				out[i] = v[i]
			} else {
				out[i] = mean * v[i]
			}
		}
		return
	}
	stream := graph.RReLUStream(r.context.Seed, r.op.Layer)
	eachWord(stream, r.context.Step, r.op.Part, r.op.Shape, from, len(v), func(i int, word uint32) {
		if sign[i] > 0 {
			out[i] = v[i]
		} else {
			out[i] = r.op.Slope(word) * v[i]
		}
	})
}
