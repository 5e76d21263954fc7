package cpu

import (
	"math"

	"ablate/recipe"
	"ablate/runner/engine"
)

var _ = computes(newNorm)

// optimizer applies any rule other than the paper's, see engine.Update. Products are rounded before
// they are added, as in a GPU's kernels.
type optimizer struct {
	d                          *Device
	op                         engine.Update
	whole                      descent // of all values
	step                       func(*descent)
	norm, weightNorm, gradNorm []float32
	part                       []descent // one per worker
}

func newOptimizer(d *Device, op engine.Update, in engine.Instr) *optimizer {
	r := op.Rule
	o := &optimizer{d: d, op: op, step: d.isa.optimizers[r.Kind], part: make([]descent, d.Threads())}
	o.whole = descent{
		w: slice(in.In[0]), first: slice(in.In[1]), g: slice(in.In[2]), l1: float32(r.L1 * op.Decay),
		keep1: float32(r.Beta1), fresh1: float32(1 - r.Beta1), keep2: float32(r.Beta2), fresh2: float32(1 - r.Beta2),
		epsilon: float32(r.Epsilon),
	}
	if r.Kind == recipe.RMSProp {
		o.whole.keep2, o.whole.fresh2 = float32(r.Alpha), float32(1-r.Alpha)
	}
	at := op.Operands()
	for n, to := range map[int]*[]float32{
		at.Second: &o.whole.second, at.Norm: &o.norm, at.WeightNorm: &o.weightNorm, at.GradNorm: &o.gradNorm,
	} {
		if n > 0 {
			*to = slice(in.In[n])
		}
	}
	return o
}

// Run updates all values in one pass.
func (o *optimizer) Run(c *engine.Context) error {
	rates, s := o.op.Rates(c), &o.whole
	if rates.Frozen {
		return nil
	}
	s.rate, s.decay, s.correction, s.momentum, s.clip = rates.Rate, rates.Decay, rates.Correction, float32(c.Momentum), 1
	if o.norm != nil {
		s.clip = min(1, float32(o.op.Rule.Clip)/(o.norm[0]+engine.ClipSlack))
	}
	s.rate = float32(s.rate * o.trustRatio())
	return o.d.workers.run(o, chunks(len(s.w)))
}

// trustRatio returns the factor by which LARS multiplies a layer's rate. It is 1 for a layer of zeros
// or without a gradient.
func (o *optimizer) trustRatio() float32 {
	if o.weightNorm == nil {
		return 1
	}
	w, g := o.weightNorm[0], float32(o.whole.clip*o.gradNorm[0])
	if w == 0 || g == 0 {
		return 1
	}
	return float32(float32(o.op.Rule.Trust)*w) / (g + float32(o.whole.decay*w) + o.whole.epsilon)
}

func (o *optimizer) tile(worker, i int) {
	from, to := chunk(i, len(o.whole.w))
	s := &o.part[worker]
	*s = o.whole.between(from, to)
	o.step(s)
}

// lengths computes the root of the sum of all squares, see engine.Norm.
type lengths struct {
	d     *Device
	parts [][]float32 // chunks of the inputs
	sums  []float64   // the sum of squares of each chunk
	out   []float32
}

func newNorm(d *Device, _ engine.Norm, in engine.Instr) *lengths {
	n := &lengths{d: d, out: slice(in.Out)}
	for _, t := range in.In {
		values := slice(t)
		for i := range chunks(len(values)) {
			from, to := chunk(i, len(values))
			n.parts = append(n.parts, values[from:to])
		}
	}
	n.sums = make([]float64, len(n.parts))
	return n
}

func (n *lengths) Run(*engine.Context) error {
	if err := n.d.workers.run(n, len(n.parts)); err != nil {
		return err
	}
	var sum float64
	for _, s := range n.sums {
		sum += s
	}
	n.out[0] = float32(math.Sqrt(sum))
	return nil
}

// tile adds up a chunk's squares, each exact in float64, in four sums side by side.
func (n *lengths) tile(_, i int) {
	var sums [4]float64
	part := n.parts[i]
	for ; len(part) >= 4; part = part[4:] {
		for j := range sums {
			x := float64(part[j])
			sums[j] += float64(x * x)
		}
	}
	for j, v := range part {
		sums[j] += float64(float64(v) * float64(v))
	}
	n.sums[i] = (sums[0] + sums[1]) + (sums[2] + sums[3])
}
