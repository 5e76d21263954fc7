package cpu

import (
	"math"

	"ablate/arch"
	"ablate/runner/engine"
	"ablate/runner/graph"
	"ablate/runner/random"
)

// chunkLen is how many values an elementwise kernel handles as one tile: 64 KiB of each operand.
const chunkLen = 16 << 10

func chunks(n int) int { return (n + chunkLen - 1) / chunkLen }

func chunk(i, n int) (from, to int) { return i * chunkLen, min((i+1)*chunkLen, n) }

// biasGrads is db[c] = Σ dy over images and pixels: rows in fixed chunks, the chunks added in order.
type biasGrads struct {
	d      *Device
	dy, db []float32
	rows   int
	chunks int
}

func newBiasGrad(d *Device, _ *graph.BiasGrad, in engine.Instr) engine.Kernel {
	b := &biasGrads{d: d, dy: slice(in.In[0]), db: slice(in.Out)}
	b.rows = len(b.dy) / len(b.db)
	b.chunks = min(b.rows, 64)
	d.needShared(b.chunks * len(b.db))
	return b
}

// Run sums the chunks, then adds them.
func (b *biasGrads) Run(*engine.Context) error {
	if err := b.d.workers.run(b, b.chunks); err != nil {
		return err
	}
	n := len(b.db)
	copy(b.db, b.d.shared[:n])
	for i := 1; i < b.chunks; i++ {
		for c, v := range b.d.shared[i*n : (i+1)*n] {
			b.db[c] += v
		}
	}
	return nil
}

func (b *biasGrads) tile(_, i int) {
	n := len(b.db)
	sum := b.d.shared[i*n : (i+1)*n]
	clear(sum)
	from, to := i*b.rows/b.chunks, (i+1)*b.rows/b.chunks
	b.d.path.columnSums(sum, b.dy[from*n:to*n])
}

// update is the paper's rule on one parameter, see engine.Update.
type update struct {
	d                     *Device
	param                 string
	w, v, g               []float32
	lr, decayFactor       float64
	rate, decay, momentum float32
}

// newUpdate takes weights, velocities and gradients; without the last, the caller hands them to apply.
func newUpdate(d *Device, op engine.Update, in engine.Instr) *update {
	u := &update{d: d, param: op.Param, w: slice(in.In[0]), v: slice(in.In[1]), lr: op.LR, decayFactor: op.Decay}
	if len(in.In) > 2 {
		u.g = slice(in.In[2])
	}
	return u
}

// set takes a step's rates. It gives false where the parameter is frozen.
func (u *update) set(c *engine.Context) bool {
	factor := c.Factor(u.param)
	rate := c.Rate * u.lr * factor
	u.rate, u.decay, u.momentum = float32(rate), float32(rate*c.Decay*u.decayFactor), float32(c.Momentum)
	return factor != 0
}

// apply updates the parameter's values from off on by their gradients.
func (u *update) apply(off int, g []float32) {
	to := off + len(g)
	u.d.path.sgd(u.w[off:to], u.v[off:to], g, u.rate, u.decay, u.momentum)
}

// Run updates all values in one pass.
func (u *update) Run(c *engine.Context) error {
	if !u.set(c) {
		return nil
	}
	return u.d.workers.run(u, chunks(len(u.w)))
}

func (u *update) tile(_, i int) {
	from, to := chunk(i, len(u.w))
	u.apply(from, u.g[from:to])
}

// dropouts zeroes activations by the mask of (seed, layer, step), or scales them in evaluation.
type dropouts struct {
	d         *Device
	op        *graph.Dropout
	x, y      []float32
	mask      []float32 // y of the ReLU before the layer, whose gradient is fused; nil if none
	threshold uint64
	context   *engine.Context
}

func newDropout(d *Device, op *graph.Dropout, in engine.Instr) engine.Kernel {
	return &dropouts{d: d, op: op, x: slice(in.In[0]), y: slice(in.Out), mask: maskOf(in), threshold: graph.DropoutThreshold(op.Rate)}
}

// Run draws the mask anew: the forward and the backward pass of a step draw the same one.
func (o *dropouts) Run(c *engine.Context) error {
	o.context = c
	return o.d.workers.run(o, (len(o.x)+dropoutLen-1)/dropoutLen)
}

// dropoutLen is how many activations are a tile: drawing random words takes
// longer than moving memory, so the tiles are smaller than chunks. A multiple of 4.
const dropoutLen = 1024

func (o *dropouts) tile(_, i int) {
	from, to := i*dropoutLen, min((i+1)*dropoutLen, len(o.x))
	x, y := o.x[from:to], o.y[from:to]
	if !o.op.Train || o.context.DropoutUntil {
		scale(y, x, float32(o.op.Kept()))
	} else {
		o.draw(y, x, from)
	}
	if o.mask != nil {
		o.d.path.reluGrad(y, o.mask[from:to], y)
	}
}

func scale(y, x []float32, by float32) {
	for i, v := range x {
		y[i] = v * by
	}
}

// draw zeroes the activations from number from on by the mask, and scales the others.
func (o *dropouts) draw(y, x []float32, from int) {
	up, stream := float32(o.op.Up()), graph.DropoutStream(o.context.Seed, o.op.Layer)
	eachWord(stream, o.context.Step, o.op.Part, o.op.Shape, from, len(x), func(i int, word uint32) {
		v := x[i]
		if uint64(word) < o.threshold {
			v = 0
		}
		y[i] = v * up
	})
}

// eachWord calls f with the random word of each of n activations, from number
// from of images of shape s on. The word is that of the activation's place in the whole layer.
func eachWord(stream random.Stream, step uint64, part graph.Part, s arch.Shape, from, n int, f func(i int, word uint32)) {
	var words [4]uint32
	block := ^uint64(0)
	for i := 0; i < n; { // a pixel's channels, whose places follow each other
		at := uint64(part.Index(from+i, s))
		for end := min(n, i+s.Channels-(from+i)%s.Channels); i < end; i, at = i+1, at+1 {
			if at/4 != block { // four words each
				block = at / 4
				words = stream.Block(step, block)
			}
			f(i, words[at%4])
		}
	}
}

// softmaxLosses is the batch's mean cross-entropy.
type softmaxLosses struct {
	d                    *Device
	logits, labels, loss []float32
	batch, classes       int
}

func newSoftmaxLoss(d *Device, op *graph.SoftmaxLoss, in engine.Instr) engine.Kernel {
	return &softmaxLosses{d, slice(in.In[0]), slice(in.In[1]), slice(in.Out), op.Batch, op.Classes}
}

// Run sums in one tile: a batch is short, and a label outside the classes becomes an error there.
func (s *softmaxLosses) Run(*engine.Context) error { return s.d.workers.run(s, 1) }

// tile sums in float64, image by image.
func (s *softmaxLosses) tile(int, int) {
	var sum float64
	for n := range s.batch {
		row := s.logits[n*s.classes : (n+1)*s.classes]
		sum += graph.LogSumExp(row) - float64(row[int(s.labels[n])])
	}
	s.loss[0] = float32(sum / float64(s.batch))
}

// softmaxLossGrads is (softmax − one-hot)·dloss/N, an image a tile.
type softmaxLossGrads struct {
	d                          *Device
	logits, labels, dloss, out []float32
	batch, classes             int
}

func newSoftmaxLossGrad(d *Device, op *graph.SoftmaxLossGrad, in engine.Instr) engine.Kernel {
	return &softmaxLossGrads{d, slice(in.In[0]), slice(in.In[1]), slice(in.In[2]), slice(in.Out), op.Batch, op.Classes}
}

// Run computes all images.
func (s *softmaxLossGrads) Run(*engine.Context) error { return s.d.workers.run(s, s.batch) }

func (s *softmaxLossGrads) tile(_, n int) {
	row := s.logits[n*s.classes : (n+1)*s.classes]
	z, label := graph.LogSumExp(row), int(s.labels[n])
	for c, v := range row {
		p := math.Exp(float64(v) - z)
		if c == label {
			p--
		}
		s.out[n*s.classes+c] = float32(p) * s.dloss[0] / float32(s.batch)
	}
}
