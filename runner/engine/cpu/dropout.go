package cpu

import (
	"ablate/arch"
	"ablate/runner/engine"
	"ablate/runner/graph"
	"ablate/runner/random"
)

var _ = computes(newDropout)

// dropouts zeroes activations by the mask of (seed, layer, step), or scales them in evaluation.
type dropouts struct {
	d         *Device
	op        *graph.Dropout
	x, y      []float32
	mask      []float32 // y of the ReLU before the layer, whose gradient is fused; nil if none is
	threshold uint64
	context   *engine.Context
}

func newDropout(d *Device, op *graph.Dropout, in engine.Instr) engine.Kernel {
	return &dropouts{d: d, op: op, x: slice(in.In[0]), y: slice(in.Out), mask: maskOf(in),
		threshold: graph.DropoutThreshold(op.Rate)}
}

// Run draws the mask again: the forward and the backward pass of a step draw the same one.
func (o *dropouts) Run(c *engine.Context) error {
	o.context = c
	return o.d.workers.run(o, (len(o.x)+dropoutLen-1)/dropoutLen)
}

// dropoutLen is the number of activations in a tile. Drawing random words takes longer than moving
// memory, so the tiles are smaller than chunks. It is a multiple of 4.
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
		o.d.isa.reluGrad(y, o.mask[from:to], y)
	}
}

func scale(y, x []float32, by float32) {
	for i, v := range x {
		y[i] = v * by
	}
}

// draw zeroes the activations, starting at number from, by the mask, and scales the others.
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

// eachWord calls f with the random word of each of n activations, starting at number from, of images
// of shape s. The word depends on the activation's place in the whole layer.
func eachWord(stream random.Stream, step uint64, part graph.Part, s arch.Shape, from, n int,
	f func(i int, word uint32)) {
	var words [4]uint32
	block := ^uint64(0)
	for i := 0; i < n; { // a pixel's channels, whose places follow each other
		at := uint64(part.Index(from+i, s))
		for end := min(n, i+s.Channels-(from+i)%s.Channels); i < end; i, at = i+1, at+1 {
			if at/4 != block { // a block holds four words
				block = at / 4
				words = stream.Block(step, block)
			}
			f(i, words[at%4])
		}
	}
}
