package cpu

import (
	"ablate/runner/engine"
	"ablate/runner/graph"
)

// norms is local response normalisation, forward or backward, one image a tile.
// The sums of squares are computed again in the backward pass: reading x twice
// costs less than storing them.
type norms struct {
	d         *Device
	op        graph.Norm
	h, w, c   int
	batch     int
	image     func(k *norms, worker, n int)
	x, dy, to []float32
}

func newLRN(d *Device, op *graph.LRN, in engine.Instr) engine.Kernel {
	k := &norms{d: d, op: op.Norm, h: op.Shape.Height, w: op.Shape.Width, c: op.Shape.Channels, batch: op.Batch,
		x: slice(in.In[0]), to: slice(in.Out), image: (*norms).across}
	if op.Within {
		k.image = (*norms).within
	}
	return k.bound()
}

func newLRNGrad(d *Device, op *graph.LRNGrad, in engine.Instr) engine.Kernel {
	k := &norms{d: d, op: op.Norm, h: op.Shape.Height, w: op.Shape.Width, c: op.Shape.Channels, batch: op.Batch,
		x: slice(in.In[0]), dy: slice(in.In[1]), to: slice(in.Out), image: (*norms).acrossGrad}
	if op.Within {
		k.image = (*norms).withinGrad
	}
	return k.bound()
}

func (k *norms) bound() *norms {
	if k.op.Within {
		k.d.needScratch(2 * k.len())
	} else {
		k.d.needScratch(lrnScratch(k.c, &k.op))
	}
	return k
}

func (k *norms) len() int { return k.h * k.w * k.c }

// Run handles all images.
func (k *norms) Run(*engine.Context) error { return k.d.workers.run(k, k.batch) }

func (k *norms) tile(worker, n int) { k.image(k, worker, n) }

// across normalises each pixel over neighbouring maps of the same column.
func (k *norms) across(worker, n int) {
	per := k.c / k.op.Groups
	size := k.len()
	x, y := k.x[n*size:(n+1)*size], k.to[n*size:(n+1)*size]
	scratch := k.d.scratch[worker]
	for i := 0; i < size; i += per {
		k.d.path.lrn(y[i:i+per], x[i:i+per], scratch, &k.op)
	}
}

func (k *norms) acrossGrad(worker, n int) {
	per := k.c / k.op.Groups
	size := k.len()
	x, dy, dx := k.x[n*size:(n+1)*size], k.dy[n*size:(n+1)*size], k.to[n*size:(n+1)*size]
	scratch := k.d.scratch[worker]
	for i := 0; i < size; i += per {
		k.d.path.lrnGrad(dx[i:i+per], x[i:i+per], dy[i:i+per], scratch, &k.op)
	}
}

// squares fills d with K + α·Σx² over each pixel's window of its own map, rows
// first, columns next, in ascending order.
func (k *norms) squares(d, x []float32) {
	half, alpha := k.op.Size/2, float32(k.op.Alpha)
	k.overWindow(half, func(at, from int) {
		for c, v := range x[from : from+k.c] {
			d[at+c] += v * v
		}
	}, d)
	for i, s := range d {
		d[i] = float32(k.op.K) + alpha*s
	}
}

// overWindow calls f(pixel, neighbour) for every pixel's neighbours, after clearing to.
func (k *norms) overWindow(half int, f func(at, from int), to []float32) {
	clear(to)
	for y := range k.h {
		for x := range k.w {
			at := (y*k.w + x) * k.c
			for yy := max(0, y-half); yy <= min(k.h-1, y+half); yy++ {
				for xx := max(0, x-half); xx <= min(k.w-1, x+half); xx++ {
					f(at, (yy*k.w+xx)*k.c)
				}
			}
		}
	}
}

func (k *norms) within(worker, n int) {
	size := k.len()
	x, y := k.x[n*size:(n+1)*size], k.to[n*size:(n+1)*size]
	d := k.d.scratch[worker][:size]
	k.squares(d, x)
	k.d.path.power(y, d, k.op.Beta)
	for i, v := range x {
		y[i] *= v
	}
}

func (k *norms) withinGrad(worker, n int) {
	size := k.len()
	x, dy, dx := k.x[n*size:(n+1)*size], k.dy[n*size:(n+1)*size], k.to[n*size:(n+1)*size]
	d, q := k.d.scratch[worker][:size], k.d.scratch[worker][size:2*size]
	k.squares(d, x)
	k.d.path.power(dx, d, k.op.Beta)
	for i, v := range x {
		q[i] = dy[i] * v * dx[i] / d[i]
		d[i] = dx[i]
	}
	k.overWindow(k.op.Size/2, func(at, from int) {
		for c, v := range q[from : from+k.c] {
			dx[at+c] += v
		}
	}, dx)
	factor := 2 * float32(k.op.Alpha) * float32(k.op.Beta)
	for i, s := range dx {
		dx[i] = dy[i]*d[i] - factor*x[i]*s
	}
}
