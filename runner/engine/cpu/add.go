package cpu

import (
	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newAdd)
	_ = computes(newConcat)
	_ = computes(newSlice)
	_ = computes(newPad)
	_ = computes(newPadGrad)
)

// adds is y = x₁ + x₂ + …, followed by a ReLU if that is fused. y may be one of the inputs if there
// are two.
type adds struct {
	d    *Device
	in   [][]float32
	y    []float32
	relu bool
}

func newAdd(d *Device, _ *graph.Add, in engine.Instr) engine.Kernel {
	a := &adds{d: d, y: slice(in.Out), relu: in.ReLU}
	for _, t := range in.In {
		a.in = append(a.in, slice(t))
	}
	return a
}

// Run adds all values.
func (a *adds) Run(*engine.Context) error { return a.d.workers.run(a, chunks(len(a.y))) }

func (a *adds) tile(_, i int) {
	from, to := chunk(i, len(a.y))
	y := a.y[from:to]
	a.d.isa.plus(y, a.in[0][from:to], a.in[1][from:to])
	for _, x := range a.in[2:] {
		a.d.isa.plus(y, y, x[from:to])
	}
	if a.relu {
		a.d.isa.relu(y, y)
	}
}

// copies moves runs of values, or zeros them where there is nothing to copy.
type copies struct {
	d    *Device
	runs int // rows of out, of which a tile takes several
	copy func(row int)
}

// rowsPerTile is how many rows of a copy make a tile.
const rowsPerTile = 256

// Run copies all rows.
func (c *copies) Run(*engine.Context) error { return c.d.workers.run(c, ceil(c.runs, rowsPerTile)) }

func (c *copies) tile(_, i int) {
	for row := i * rowsPerTile; row < min((i+1)*rowsPerTile, c.runs); row++ {
		c.copy(row)
	}
}

func newConcat(d *Device, op *graph.Concat, in engine.Instr) engine.Kernel {
	type piece struct {
		x              []float32
		pitch, from, n int
	}
	var pieces []piece
	first, last := op.First, op.First+op.N // of the channels that are kept
	for i, s := range op.Shapes {
		if from, to := max(first, 0), min(last, s.Channels); from < to {
			pieces = append(pieces, piece{x: slice(in.In[i]), pitch: s.Channels, from: from, n: to - from})
		}
		first, last = first-s.Channels, last-s.Channels
	}
	y := slice(in.Out)
	return &copies{d, len(y) / op.N, func(pixel int) {
		to := y[pixel*op.N:][:op.N]
		for _, p := range pieces {
			to = to[copy(to, p.x[pixel*p.pitch+p.from:][:p.n]):]
		}
	}}
}

func newSlice(d *Device, op *graph.Slice, in engine.Instr) engine.Kernel {
	x, y := slice(in.In[0]), slice(in.Out)
	return &copies{d, len(y) / op.N, func(pixel int) {
		copy(y[pixel*op.N:][:op.N], x[pixel*op.Shape.Channels+op.First:])
	}}
}

func newPad(d *Device, op *graph.Pad, in engine.Instr) engine.Kernel {
	x, y := slice(in.In[0]), slice(in.Out)
	n, out, c := op.Out.Channels, op.Out, op.In.Channels
	return &copies{d, len(y) / n, func(pixel int) {
		ox, line := pixel%out.Width, pixel/out.Width
		row := line/out.Height*op.In.Height + line%out.Height*op.Stride
		from := x[(row*op.In.Width+ox*op.Stride)*c:][:c]
		to := y[pixel*n:][:n]
		clear(to[copy(to, from[min(op.First, c):]):])
	}}
}

func newPadGrad(d *Device, op *graph.PadGrad, in engine.Instr) engine.Kernel {
	dy, dx := slice(in.In[0]), slice(in.Out)
	n, image := op.In.Channels, op.In
	return &copies{d, len(dx) / n, func(pixel int) {
		ix, line := pixel%image.Width, pixel/image.Width
		iy := line % image.Height
		to := dx[pixel*n:][:n]
		if ix%op.Stride != 0 || iy%op.Stride != 0 {
			clear(to)
			return
		}
		row := line/image.Height*op.Out.Height + iy/op.Stride
		copy(to, dy[(row*op.Out.Width+ix/op.Stride)*op.Out.Channels+op.First:])
	}}
}

func plusGo(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = a[i] + b[i]
	}
}
