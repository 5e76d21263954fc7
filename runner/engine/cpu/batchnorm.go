package cpu

import (
	"math"

	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newBatchMean)
	_ = computes(newBatchVariance)
	_ = computes(newBatchNorm)
	_ = computes(newBatchNormScaleGrad)
	_ = computes(newBatchNormGrad)
)

func newBatchMean(d *Device, _ *graph.BatchMean, in engine.Instr) engine.Kernel {
	x := slice(in.In[0])
	s := newChannelSum(d, len(x), slice(in.Out), func(sum []float32, from, to int) { d.isa.columnSums(sum, x[from:to]) })
	s.scale = 1 / float32(s.rows.n)
	return s
}

func newBatchVariance(d *Device, _ *graph.BatchVariance, in engine.Instr) engine.Kernel {
	x, mean := slice(in.In[0]), slice(in.In[1])
	s := newChannelSum(d, len(x), slice(in.Out), func(sum []float32, from, to int) {
		for ; from < to; from += len(sum) {
			row := x[from:][:len(sum)]
			for c, m := range mean {
				sum[c] += (row[c] - m) * (row[c] - m)
			}
		}
	})
	s.scale = 1 / float32(s.rows.n)
	return s
}

// by is what a channel's distance from its mean is multiplied by: 1/√(variance + ε).
func by(variance float32, epsilon float64) float32 {
	return float32(1 / math.Sqrt(float64(variance)+epsilon))
}

func newBatchNormScaleGrad(d *Device, op *graph.BatchNormScaleGrad, in engine.Instr) engine.Kernel {
	x, mean, variance, dy := slice(in.In[0]), slice(in.In[1]), slice(in.In[2]), slice(in.In[3])
	out := slice(in.Out)
	sums := newChannelSum(d, len(x), out, func(sum []float32, from, to int) {
		for ; from < to; from += len(sum) {
			row, grad := x[from:][:len(sum)], dy[from:][:len(sum)]
			for c, m := range mean {
				sum[c] += grad[c] * (row[c] - m)
			}
		}
	})
	return &scaledSum{sums, variance, op.Epsilon}
}

// scaledSum divides each channel's sum by the channel's standard deviation.
type scaledSum struct {
	*channelSum
	variance []float32
	epsilon  float64
}

// Run sums, then divides.
func (s *scaledSum) Run(c *engine.Context) error {
	if err := s.channelSum.Run(c); err != nil {
		return err
	}
	for c, v := range s.variance {
		s.out[c] *= by(v, s.epsilon)
	}
	return nil
}

// batchNorms is y = factor·(x − mean) + offset, every channel with its own;
// or the gradient, factor·(dy − (offset + (x − mean)·slope)).
type batchNorms struct {
	d                                           *Device
	rows                                        rows
	epsilon                                     float64
	x, mean, variance, scale, shift, dy, dscale []float32
	factor, offset, slope                       []float32 // one a channel, computed by each Run
	out                                         []float32
}

func newBatchNorm(d *Device, op *graph.BatchNorm, in engine.Instr) engine.Kernel {
	b := &batchNorms{d: d, epsilon: op.Epsilon, x: slice(in.In[0]), mean: slice(in.In[1]), variance: slice(in.In[2]),
		scale: slice(in.In[3]), shift: slice(in.In[4]), out: slice(in.Out)}
	return b.ready()
}

func newBatchNormGrad(d *Device, op *graph.BatchNormGrad, in engine.Instr) engine.Kernel {
	b := &batchNorms{d: d, epsilon: op.Epsilon, x: slice(in.In[0]), mean: slice(in.In[1]), variance: slice(in.In[2]),
		scale: slice(in.In[3]), dscale: slice(in.In[4]), shift: slice(in.In[5]), dy: slice(in.In[6]), out: slice(in.Out)}
	return b.ready()
}

func (b *batchNorms) ready() *batchNorms {
	n := len(b.mean)
	b.rows = rowsOf(len(b.x), n)
	b.factor, b.offset, b.slope = make([]float32, n), make([]float32, n), make([]float32, n)
	return b
}

// Run works out each channel's constants, then handles all rows.
func (b *batchNorms) Run(*engine.Context) error {
	m := float32(b.rows.n)
	for c, v := range b.variance {
		s := by(v, b.epsilon)
		b.factor[c], b.offset[c] = b.scale[c]*s, b.shift[c]
		if b.dy != nil {
			b.offset[c], b.slope[c] = b.shift[c]/m, s*b.dscale[c]/m
		}
	}
	return b.d.workers.run(b, b.rows.tiles())
}

func (b *batchNorms) tile(_, i int) {
	n := len(b.mean)
	from, to := b.rows.tile(i)
	for ; from < to; from += n {
		x, out := b.x[from:][:n], b.out[from:][:n]
		if b.dy == nil {
			for c, m := range b.mean {
				out[c] = b.factor[c]*(x[c]-m) + b.offset[c]
			}
			continue
		}
		dy := b.dy[from:][:n]
		for c, m := range b.mean {
			out[c] = b.factor[c] * (dy[c] - (b.offset[c] + (x[c]-m)*b.slope[c]))
		}
	}
}

// averages moves a running average towards the batch's value: w += share·(g − w).
type averages struct {
	param string
	w, g  []float32
	share float32
}

func newAverage(op engine.Update, in engine.Instr) engine.Kernel {
	return &averages{param: op.Param, w: slice(in.In[0]), g: slice(in.In[2]), share: float32(op.Average)}
}

// Run moves all values; there is one a channel. A frozen layer's stay.
func (a *averages) Run(c *engine.Context) error {
	if c.Factor(a.param) == 0 {
		return nil
	}
	for i, g := range a.g {
		a.w[i] += a.share * (g - a.w[i])
	}
	return nil
}
