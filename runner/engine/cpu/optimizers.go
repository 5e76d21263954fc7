package cpu

import (
	"math"

	"ablate/recipe"
	"ablate/runner/engine"
)

var _ = computes(newNorm)

// optimizer is any rule but the paper's own, see engine.Update. Products are
// rounded before they are added, as a GPU's kernels do.
type optimizer struct {
	d                            *Device
	op                           engine.Update
	w, g                         []float32
	first, second                []float32 // state
	norm, weightNorm, gradNorm   []float32
	rates                        engine.Rates
	momentum, clip, trust, l1    float32
	beta1, beta2, alpha, epsilon float32
	fresh1, fresh2, freshAlpha   float32 // 1 − beta1 and so on, before they are rounded
}

func newOptimizer(d *Device, op engine.Update, in engine.Instr) *optimizer {
	r := op.Rule
	o := &optimizer{
		d: d, op: op, w: slice(in.In[0]), first: slice(in.In[1]), g: slice(in.In[2]), l1: float32(r.L1 * op.Decay),
		beta1: float32(r.Beta1), beta2: float32(r.Beta2), alpha: float32(r.Alpha), epsilon: float32(r.Epsilon),
		fresh1: float32(1 - r.Beta1), fresh2: float32(1 - r.Beta2), freshAlpha: float32(1 - r.Alpha),
	}
	at := op.Operands()
	for n, to := range map[int]*[]float32{
		at.Second: &o.second, at.Norm: &o.norm, at.WeightNorm: &o.weightNorm, at.GradNorm: &o.gradNorm,
	} {
		if n > 0 {
			*to = slice(in.In[n])
		}
	}
	return o
}

// Run updates all values in one pass.
func (o *optimizer) Run(c *engine.Context) error {
	if o.rates = o.op.Rates(c); o.rates.Frozen {
		return nil
	}
	o.momentum, o.clip = float32(c.Momentum), 1
	if o.norm != nil {
		o.clip = min(1, float32(o.op.Rule.Clip)/(o.norm[0]+engine.ClipSlack))
	}
	o.trust = o.trustRatio()
	return o.d.workers.run(o, chunks(len(o.w)))
}

// trustRatio is what LARS multiplies a layer's rate by. A layer of zeros, or without a gradient, has 1.
func (o *optimizer) trustRatio() float32 {
	if o.weightNorm == nil {
		return 1
	}
	w, g := o.weightNorm[0], float32(o.clip*o.gradNorm[0])
	if w == 0 || g == 0 {
		return 1
	}
	return float32(float32(o.op.Rule.Trust)*w) / (g + float32(o.rates.Decay*w) + o.epsilon)
}

func (o *optimizer) tile(_, i int) {
	from, to := chunk(i, len(o.w))
	w, g, first := o.w[from:to], o.g[from:to], o.first[from:to]
	switch o.op.Rule.Kind {
	case recipe.SGD:
		o.sgd(w, g, first)
	case recipe.Nesterov:
		o.nesterov(w, g, first)
	case recipe.RMSProp:
		o.rmsprop(w, g, first, o.second[from:to])
	case recipe.AdaGrad:
		o.adagrad(w, g, first)
	case recipe.Adam, recipe.AdamW:
		o.adam(w, g, first, o.second[from:to])
	case recipe.LARS:
		o.lars(w, g, first)
	}
}

// gradient is a gradient clipped, with the L1 penalty's.
func (o *optimizer) gradient(w, g float32) float32 {
	d := float32(o.clip * g)
	switch {
	case w > 0:
		d += o.l1
	case w < 0:
		d -= o.l1
	}
	return d
}

// decayed is that with weight decay's.
func (o *optimizer) decayed(w, g float32) float32 { return o.gradient(w, g) + float32(o.rates.Decay*w) }

func (o *optimizer) sgd(w, g, v []float32) {
	for i, x := range w {
		v[i] = float32(o.momentum*v[i]) - float32(o.rates.Decay*x) - float32(o.rates.Rate*o.gradient(x, g[i]))
		w[i] += v[i]
	}
}

func (o *optimizer) nesterov(w, g, v []float32) {
	for i, x := range w {
		step := float32(o.rates.Rate * o.decayed(x, g[i]))
		v[i] = float32(o.momentum*v[i]) - step
		w[i] = x + (float32(o.momentum*v[i]) - step)
	}
}

func (o *optimizer) rmsprop(w, g, v, square []float32) {
	for i, x := range w {
		d := o.decayed(x, g[i])
		square[i] = float32(o.alpha*square[i]) + float32(float32(o.freshAlpha*d)*d)
		v[i] = float32(o.momentum*v[i]) - float32(o.rates.Rate*(d/(root(square[i])+o.epsilon)))
		w[i] += v[i]
	}
}

func (o *optimizer) adagrad(w, g, sum []float32) {
	for i, x := range w {
		d := o.decayed(x, g[i])
		sum[i] += float32(d * d)
		w[i] = x - float32(o.rates.Rate*(d/(root(sum[i])+o.epsilon)))
	}
}

func (o *optimizer) adam(w, g, mean, square []float32) {
	decoupled := o.op.Rule.Kind == recipe.AdamW
	for i, x := range w {
		d := o.gradient(x, g[i])
		if decoupled {
			x -= float32(o.rates.Decay * x)
		} else {
			d += float32(o.rates.Decay * x)
		}
		mean[i] = float32(o.beta1*mean[i]) + float32(o.fresh1*d)
		square[i] = float32(o.beta2*square[i]) + float32(float32(o.fresh2*d)*d)
		w[i] = x - float32(o.rates.Rate*(mean[i]/(root(square[i])/o.rates.Correction+o.epsilon)))
	}
}

func (o *optimizer) lars(w, g, v []float32) {
	rate := float32(o.rates.Rate * o.trust)
	for i, x := range w {
		v[i] = float32(o.momentum*v[i]) - float32(rate*o.decayed(x, g[i]))
		w[i] += v[i]
	}
}

// root is the square root, rounded once.
func root(x float32) float32 { return float32(math.Sqrt(float64(x))) }

// lengths is the root of the sum of all squares, see engine.Norm.
type lengths struct {
	d     *Device
	parts [][]float32 // chunks of the inputs
	sums  []float64   // of their squares
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

// tile adds a chunk's squares, each exact in float64, in four sums side by side.
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
