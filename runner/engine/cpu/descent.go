package cpu

import (
	"math"

	"ablate/recipe"
)

// A descent is an optimiser's step on some weights, see optimizer. The assembly reads its fields at
// fixed offsets (_asm/optimizers.go).
type descent struct {
	w, g, first, second []float32 // weights, gradients and state
	n                   int       // how many values the assembly takes

	rate, decay, momentum, clip, l1 float32
	keep1, fresh1, keep2, fresh2    float32 // of the running means: β and 1 − β, before either is rounded
	epsilon, correction             float32
}

// between returns the step restricted to the values in [from, to).
func (d *descent) between(from, to int) descent {
	part := *d
	part.w, part.g, part.first = d.w[from:to], d.g[from:to], d.first[from:to]
	if d.second != nil {
		part.second = d.second[from:to]
	}
	return part
}

// gradient returns the clipped gradient plus that of the L1 penalty.
func (d *descent) gradient(w, g float32) float32 {
	c := float32(d.clip * g)
	switch {
	case w > 0:
		c += d.l1
	case w < 0:
		c -= d.l1
	}
	return c
}

// decayed returns gradient plus that of weight decay.
func (d *descent) decayed(w, g float32) float32 { return d.gradient(w, g) + float32(d.decay*w) }

// optimizersGo are the steps in Go, by kind of rule.
var optimizersGo = map[recipe.OptimizerKind]func(*descent){
	recipe.SGD: clippedSGDGo, recipe.Nesterov: nesterovGo, recipe.RMSProp: rmspropGo, recipe.AdaGrad: adagradGo,
	recipe.Adam: adamGo, recipe.AdamW: adamwGo, recipe.LARS: larsGo,
}

func clippedSGDGo(d *descent) {
	w, g, v := d.w, d.g[:len(d.w)], d.first[:len(d.w)]
	for i, x := range w {
		v[i] = float32(d.momentum*v[i]) - float32(d.decay*x) - float32(d.rate*d.gradient(x, g[i]))
		w[i] = x + v[i]
	}
}

func larsGo(d *descent) {
	w, g, v := d.w, d.g[:len(d.w)], d.first[:len(d.w)]
	for i, x := range w {
		v[i] = float32(d.momentum*v[i]) - float32(d.rate*d.decayed(x, g[i]))
		w[i] = x + v[i]
	}
}

func nesterovGo(d *descent) {
	w, g, v := d.w, d.g[:len(d.w)], d.first[:len(d.w)]
	for i, x := range w {
		step := float32(d.rate * d.decayed(x, g[i]))
		v[i] = float32(d.momentum*v[i]) - step
		w[i] = x + (float32(d.momentum*v[i]) - step)
	}
}

func rmspropGo(d *descent) {
	w, g, v, square := d.w, d.g[:len(d.w)], d.first[:len(d.w)], d.second[:len(d.w)]
	for i, x := range w {
		c := d.decayed(x, g[i])
		square[i] = float32(d.keep2*square[i]) + float32(float32(d.fresh2*c)*c)
		v[i] = float32(d.momentum*v[i]) - float32(d.rate*(c/(root(square[i])+d.epsilon)))
		w[i] = x + v[i]
	}
}

func adagradGo(d *descent) {
	w, g, sum := d.w, d.g[:len(d.w)], d.first[:len(d.w)]
	for i, x := range w {
		c := d.decayed(x, g[i])
		sum[i] += float32(c * c)
		w[i] = x - float32(d.rate*(c/(root(sum[i])+d.epsilon)))
	}
}

func adamGo(d *descent) {
	g := d.g[:len(d.w)]
	for i, x := range d.w {
		d.moments(i, x, d.decayed(x, g[i]))
	}
}

func adamwGo(d *descent) {
	g := d.g[:len(d.w)]
	for i, x := range d.w {
		d.moments(i, x-float32(d.decay*x), d.gradient(x, g[i]))
	}
}

// moments updates both running means by a gradient, and sets weight i to x minus the step that they
// yield.
func (d *descent) moments(i int, x, c float32) {
	mean, square := d.first, d.second
	mean[i] = float32(d.keep1*mean[i]) + float32(d.fresh1*c)
	square[i] = float32(d.keep2*square[i]) + float32(float32(d.fresh2*c)*c)
	d.w[i] = x - float32(d.rate*(mean[i]/(root(square[i])/d.correction+d.epsilon)))
}

// root returns the square root, rounded once.
func root(x float32) float32 { return float32(math.Sqrt(float64(x))) }
