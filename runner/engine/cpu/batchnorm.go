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
		d.isa.columnSquares(sum, x[from:to], mean)
	})
	s.scale = 1 / float32(s.rows.n)
	return s
}

// by returns the factor for a channel's distance from its mean: 1/√(variance + ε).
func by(variance float32, epsilon float64) float32 {
	return float32(1 / math.Sqrt(float64(variance)+epsilon))
}

func newBatchNormScaleGrad(d *Device, op *graph.BatchNormScaleGrad, in engine.Instr) engine.Kernel {
	x, mean, variance, dy := slice(in.In[0]), slice(in.In[1]), slice(in.In[2]), slice(in.In[3])
	out := slice(in.Out)
	sums := newChannelSum(d, len(x), out, func(sum []float32, from, to int) {
		d.isa.columnProducts(sum, x[from:to], dy[from:to], mean)
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

// A normal holds each channel's constants.
type normal struct{ mean, factor, offset, slope []float32 }

// batchNorms is y = factor·(x − mean) + offset, with constants for each channel, followed by a ReLU if
// that is fused; or the gradient, factor·(dy − (offset + (x − mean)·slope)).
type batchNorms struct {
	d                                     *Device
	rows                                  rows
	epsilon                               float64
	x, variance, scale, shift, dy, dscale []float32
	normal                                // factor, offset and slope are computed by each Run
	relu                                  bool
	out                                   []float32
}

func newBatchNorm(d *Device, op *graph.BatchNorm, in engine.Instr) engine.Kernel {
	b := &batchNorms{d: d, epsilon: op.Epsilon, x: slice(in.In[0]), variance: slice(in.In[2]), scale: slice(in.In[3]),
		shift: slice(in.In[4]), relu: in.ReLU, out: slice(in.Out)}
	return b.ready(slice(in.In[1]))
}

func newBatchNormGrad(d *Device, op *graph.BatchNormGrad, in engine.Instr) engine.Kernel {
	b := &batchNorms{d: d, epsilon: op.Epsilon, x: slice(in.In[0]), variance: slice(in.In[2]), scale: slice(in.In[3]),
		dscale: slice(in.In[4]), shift: slice(in.In[5]), dy: slice(in.In[6]), out: slice(in.Out)}
	return b.ready(slice(in.In[1]))
}

func (b *batchNorms) ready(mean []float32) *batchNorms {
	n := len(mean)
	b.rows = rowsOf(len(b.x), n)
	b.normal = normal{mean: mean, factor: make([]float32, n), offset: make([]float32, n), slope: make([]float32, n)}
	return b
}

// Run computes each channel's constants, then handles all rows.
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
	from, to := b.rows.tile(i)
	x, out := b.x[from:to], b.out[from:to]
	if b.dy != nil {
		b.d.isa.normaliseGrad(out, x, b.dy[from:to], b.normal)
		return
	}
	b.d.isa.normalise(out, x, b.normal)
	if b.relu {
		b.d.isa.relu(out, out)
	}
}

func columnSquaresGo(sum, x, mean []float32)      { columnSquaresFrom(0, sum, x, mean) }
func columnProductsGo(sum, x, dy, mean []float32) { columnProductsFrom(0, sum, x, dy, mean) }
func normaliseGo(out, x []float32, k normal)      { normaliseFrom(0, out, x, k) }
func normaliseGradGo(out, x, dy []float32, k normal) {
	normaliseGradFrom(0, out, x, dy, k)
}

// The functions below work on the channels from one onwards. Products are rounded separately, as in
// the assembly.

func columnSquaresFrom(first int, sum, x, mean []float32) {
	for ; len(x) > 0; x = x[len(sum):] {
		for c := first; c < len(sum); c++ {
			sum[c] += float32((x[c] - mean[c]) * (x[c] - mean[c]))
		}
	}
}

func columnProductsFrom(first int, sum, x, dy, mean []float32) {
	for ; len(x) > 0; x, dy = x[len(sum):], dy[len(sum):] {
		for c := first; c < len(sum); c++ {
			sum[c] += float32(dy[c] * (x[c] - mean[c]))
		}
	}
}

func normaliseFrom(first int, out, x []float32, k normal) {
	for n := len(k.mean); len(x) > 0; x, out = x[n:], out[n:] {
		for c := first; c < n; c++ {
			out[c] = float32(k.factor[c]*(x[c]-k.mean[c])) + k.offset[c]
		}
	}
}

func normaliseGradFrom(first int, out, x, dy []float32, k normal) {
	for n := len(k.mean); len(x) > 0; x, dy, out = x[n:], dy[n:], out[n:] {
		for c := first; c < n; c++ {
			out[c] = k.factor[c] * (dy[c] - (k.offset[c] + float32((x[c]-k.mean[c])*k.slope[c])))
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

// Run moves all values, one per channel. The values of a frozen layer stay.
func (a *averages) Run(c *engine.Context) error {
	if c.Factor(a.param) == 0 {
		return nil
	}
	for i, g := range a.g {
		a.w[i] += a.share * (g - a.w[i])
	}
	return nil
}
