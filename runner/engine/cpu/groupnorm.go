package cpu

import (
	"ablate/runner/engine"
	"ablate/runner/graph"
)

var (
	_ = computes(newGroupNorm)
	_ = computes(newGroupNormScaleGrad)
	_ = computes(newGroupNormGrad)
)

// groupNorms handles one image per tile: the values that it sums stay in the cache.
type groupNorms struct {
	d *Device
	graph.Groups
	batch                    int
	x, scale, shift, dy, out []float32
	compute                  func(g *groupNorms, n int, x []float32, w groupWork)
	sums                     bool // out adds up over the images
}

// groupWork is a worker's scratch: constants of each channel, and an image.
type groupWork struct {
	normal
	sum, image []float32
}

func (d *Device) newGroupNorms(g graph.Groups, batch int) *groupNorms {
	d.needScratch(5*g.Shape.Channels + g.Shape.Len())
	return &groupNorms{d: d, Groups: g, batch: batch}
}

func newGroupNorm(d *Device, op *graph.GroupNorm, in engine.Instr) engine.Kernel {
	g := d.newGroupNorms(op.Groups, op.Batch)
	g.x, g.scale, g.shift, g.out, g.compute = slice(in.In[0]), slice(in.In[1]), slice(in.In[2]), slice(in.Out),
		(*groupNorms).forward
	return g
}

func newGroupNormGrad(d *Device, op *graph.GroupNormGrad, in engine.Instr) engine.Kernel {
	g := d.newGroupNorms(op.Groups, op.Batch)
	g.x, g.scale, g.dy, g.out, g.compute = slice(in.In[0]), slice(in.In[1]), slice(in.In[2]), slice(in.Out),
		(*groupNorms).backward
	return g
}

func newGroupNormScaleGrad(d *Device, op *graph.GroupNormScaleGrad, in engine.Instr) engine.Kernel {
	g := d.newGroupNorms(op.Groups, op.Batch)
	g.x, g.dy, g.out, g.compute, g.sums = slice(in.In[0]), slice(in.In[1]), slice(in.Out), (*groupNorms).scaleGrad, true
	d.needShared(op.Batch * op.N)
	return g
}

// Run handles all images, then adds up the results that are summed over them, the first image first.
func (g *groupNorms) Run(*engine.Context) error {
	if err := g.d.workers.run(g, g.batch); err != nil || !g.sums {
		return err
	}
	clear(g.out)
	for n := range g.batch {
		g.d.isa.axpy(g.out, g.d.shared[n*g.N:][:g.N], 1)
	}
	return nil
}

func (g *groupNorms) tile(worker, n int) {
	c, size := g.Shape.Channels, g.Shape.Len()
	scratch := g.d.scratch[worker]
	at := func(i int) []float32 { return scratch[i*c : (i+1)*c] }
	w := groupWork{normal: normal{mean: at(0), factor: at(1), offset: at(2), slope: at(3)}, sum: at(4),
		image: scratch[5*c:][:size]}
	x := g.x[n*size:][:size]
	clear(w.sum)
	g.d.isa.columnSums(w.sum, x)
	g.means(w.mean, w.sum)
	clear(w.sum)
	g.d.isa.columnSquares(w.sum, x, w.mean)
	g.means(w.factor, w.sum)
	for c, v := range w.factor { // 1/√(variance + ε)
		w.factor[c] = by(v, g.Epsilon)
	}
	g.compute(g, n, x, w)
}

// means turns channels' sums over the pixels into the means of their groups.
func (g *groupNorms) means(mean, sum []float32) {
	size := len(sum) / g.Groups.Groups
	m := float32(g.Shape.Len() / g.Groups.Groups)
	for first := 0; first < len(sum); first += size {
		var total float32
		for _, v := range sum[first : first+size] {
			total += v
		}
		for c := first; c < first+size; c++ {
			mean[c] = total / m
		}
	}
}

// store copies the channels of an image that the kernel outputs.
func (g *groupNorms) store(n int, image []float32) {
	c := g.Shape.Channels
	for p := range len(image) / c {
		copy(g.out[(n*len(image)/c+p)*g.N:][:g.N], image[p*c+g.First:])
	}
}

// forward is y = x̂·scale + shift.
func (g *groupNorms) forward(n int, x []float32, w groupWork) {
	clear(w.offset)
	for c := range g.N {
		w.factor[g.First+c] *= g.scale[c]
		w.offset[g.First+c] = g.shift[c]
	}
	g.d.isa.normalise(w.image, x, w.normal)
	g.store(n, w.image)
}

// backward is dx = (g − mean(g) − x̂·mean(g·x̂))·factor, g being scale·dy.
func (g *groupNorms) backward(n int, x []float32, w groupWork) {
	size := g.Shape.Len()
	clear(w.offset)
	clear(w.slope)
	g.d.isa.normalise(w.image, g.dy[n*size:][:size], normal{mean: w.slope, factor: g.scale, offset: w.offset})
	clear(w.sum)
	g.d.isa.columnSums(w.sum, w.image)
	g.means(w.offset, w.sum)
	clear(w.sum)
	g.d.isa.columnProducts(w.sum, x, w.image, w.mean)
	g.means(w.slope, w.sum)
	for c, f := range w.factor {
		w.slope[c] = float32(w.slope[c]*f) * f
	}
	g.d.isa.normaliseGrad(w.image, x, w.image, w.normal)
	g.store(n, w.image)
}

// scaleGrad computes the part of Σ dy·x̂ from one image.
func (g *groupNorms) scaleGrad(n int, x []float32, w groupWork) {
	size := g.Shape.Len()
	clear(w.sum)
	g.d.isa.columnProducts(w.sum, x, g.dy[n*size:][:size], w.mean)
	sum := g.d.shared[n*g.N:][:g.N]
	for c := range sum {
		sum[c] = w.sum[g.First+c] * w.factor[g.First+c]
	}
}
