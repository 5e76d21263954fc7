package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of type descent (cpu/descent.go); a test there holds them. A slice begins with its pointer.
const (
	descentW, descentG, descentFirst, descentSecond = 0, 24, 48, 72
	descentN                                        = 96

	descentScalars = 104 // float32 each
)

const (
	descentRate = descentScalars + 4*iota
	descentDecay
	descentMomentum
	descentClip
	descentL1
	descentKeep1
	descentFresh1
	descentKeep2
	descentFresh2
	descentEpsilon
	descentCorrection
)

// optimizers emit the rules of recipe.Optimizer, each in one pass over weights, gradients and state: bound by memory.
// Every operation is rounded by itself, in the order of the Go twin, so both have the same bits.
func optimizers() {
	negative := GLOBL("negativeZeros", RODATA|NOPTR)
	DATA(0, U32(1<<31))
	for _, width := range []int{64, 32} {
		for _, rule := range []struct {
			name, does string
			step       func(d *descent)
		}{
			{"clippedSGD", "follows the paper's rule with clipping and L1.", (*descent).sgd},
			{"nesterov", "follows Nesterov's rule.", (*descent).nesterov},
			{"rmsprop", "follows RMSprop.", (*descent).rmsprop},
			{"adagrad", "follows AdaGrad.", (*descent).adagrad},
			{"adam", "follows Adam.", func(d *descent) { d.adam(false) }},
			{"adamw", "follows AdamW.", func(d *descent) { d.adam(true) }},
			{"lars", "follows LARS.", (*descent).lars},
		} {
			d := &descent{name: rule.name + suffix(width), width: width, negative: negative}
			TEXT(d.name, NOSPLIT, "func(d *byte)")
			Doc(d.name + " " + rule.does + " It takes d.n values, a multiple of the vector's length.")
			Pragma("noescape")
			d.at = pointer("d")
			rule.step(d)
		}
	}
}

// A descent emits one rule.
type descent struct {
	name     string
	width    int
	at       Register
	negative Mem
	l1, none VecVirtual // none is −0, which changes nothing that it is added to

	w, g, first, second Register
}

func (d *descent) pointer(off int) Register {
	r := GP64()
	MOVQ(Mem{Base: d.at, Disp: off}, r)
	return r
}

func (d *descent) scalar(off int) VecVirtual {
	v := vectorOf(d.width)
	VBROADCASTSS(Mem{Base: d.at, Disp: off}, v)
	return v
}

// loop emits body for every vector: x are the weights, grad their gradient, clipped and with the L1 penalty's. body
// leaves the new weights in x.
func (d *descent) loop(states int, body func(x, grad VecVirtual)) {
	d.w, d.g, d.first = d.pointer(descentW), d.pointer(descentG), d.pointer(descentFirst)
	pointers := []Register{d.w, d.g, d.first}
	if states > 1 {
		d.second = d.pointer(descentSecond)
		pointers = append(pointers, d.second)
	}
	clip, l1, none, zero := d.scalar(descentClip), d.scalar(descentL1), vectorOf(d.width), vectorOf(d.width)
	VBROADCASTSS(d.negative, none)
	VXORPS(zero, zero, zero)
	vectorLoop(d.name, d.width, d.pointer(descentN), pointers, func() {
		x, grad, part := vectorOf(d.width), vectorOf(d.width), vectorOf(d.width)
		VMOVUPS(Mem{Base: d.w}, x)
		VMULPS(Mem{Base: d.g}, clip, grad)
		d.pick(greater, x, zero, l1, none, part)
		VADDPS(part, grad, grad)
		keepWhere(d.width, greater, zero, x, l1, part)
		VSUBPS(part, grad, grad)
		body(x, grad)
		VMOVUPS(x, Mem{Base: d.w})
	})
}

// pick sets dst to yes where a (predicate) b holds, else to no.
func (d *descent) pick(predicate uint8, a, b, yes, no, dst VecVirtual) {
	if d.width == 64 {
		k := K()
		VCMPPS(U8(predicate), b, a, k)
		VBLENDMPS(yes, no, k, dst)
		return
	}
	VCMPPS(U8(predicate), b, a, dst)
	VBLENDVPS(dst, yes, no, dst)
}

// decayed adds weight decay to a gradient.
func (d *descent) decayed(x, grad, decay VecVirtual) {
	part := vectorOf(d.width)
	VMULPS(x, decay, part)
	VADDPS(part, grad, grad)
}

// velocity sets the velocity to momentum times itself less what is taken off, and keeps it.
func (d *descent) velocity(momentum VecVirtual, off ...VecVirtual) VecVirtual {
	v := vectorOf(d.width)
	VMULPS(Mem{Base: d.first}, momentum, v)
	for _, o := range off {
		VSUBPS(o, v, v)
	}
	VMOVUPS(v, Mem{Base: d.first})
	return v
}

func (d *descent) sgd() {
	rate, decay, momentum := d.scalar(descentRate), d.scalar(descentDecay), d.scalar(descentMomentum)
	d.loop(1, func(x, grad VecVirtual) {
		part := vectorOf(d.width)
		VMULPS(x, decay, part)
		VMULPS(grad, rate, grad)
		VADDPS(d.velocity(momentum, part, grad), x, x)
	})
}

func (d *descent) lars() {
	rate, decay, momentum := d.scalar(descentRate), d.scalar(descentDecay), d.scalar(descentMomentum)
	d.loop(1, func(x, grad VecVirtual) {
		d.decayed(x, grad, decay)
		VMULPS(grad, rate, grad)
		VADDPS(d.velocity(momentum, grad), x, x)
	})
}

func (d *descent) nesterov() {
	rate, decay, momentum := d.scalar(descentRate), d.scalar(descentDecay), d.scalar(descentMomentum)
	d.loop(1, func(x, grad VecVirtual) {
		d.decayed(x, grad, decay)
		VMULPS(grad, rate, grad)
		v := d.velocity(momentum, grad)
		VMULPS(v, momentum, v)
		VSUBPS(grad, v, v)
		VADDPS(v, x, x)
	})
}

// moving sets a running mean to keep times itself and fresh times what is new, and keeps it.
func (d *descent) moving(at Register, keep, news VecVirtual) VecVirtual {
	mean := vectorOf(d.width)
	VMULPS(Mem{Base: at}, keep, mean)
	VADDPS(news, mean, mean)
	VMOVUPS(mean, Mem{Base: at})
	return mean
}

func (d *descent) rmsprop() {
	rate, decay, momentum := d.scalar(descentRate), d.scalar(descentDecay), d.scalar(descentMomentum)
	keep, fresh, epsilon := d.scalar(descentKeep2), d.scalar(descentFresh2), d.scalar(descentEpsilon)
	d.loop(2, func(x, grad VecVirtual) {
		d.decayed(x, grad, decay)
		news := vectorOf(d.width)
		VMULPS(grad, fresh, news)
		VMULPS(grad, news, news)
		root := d.moving(d.second, keep, news)
		VSQRTPS(root, root)
		VADDPS(epsilon, root, root)
		VDIVPS(root, grad, grad)
		VMULPS(grad, rate, grad)
		VADDPS(d.velocity(momentum, grad), x, x)
	})
}

func (d *descent) adagrad() {
	rate, decay, epsilon := d.scalar(descentRate), d.scalar(descentDecay), d.scalar(descentEpsilon)
	d.loop(1, func(x, grad VecVirtual) {
		d.decayed(x, grad, decay)
		sum := vectorOf(d.width)
		VMULPS(grad, grad, sum)
		VADDPS(Mem{Base: d.first}, sum, sum)
		VMOVUPS(sum, Mem{Base: d.first})
		VSQRTPS(sum, sum)
		VADDPS(epsilon, sum, sum)
		VDIVPS(sum, grad, grad)
		VMULPS(grad, rate, grad)
		VSUBPS(grad, x, x)
	})
}

func (d *descent) adam(decoupled bool) {
	decay := d.scalar(descentDecay)
	keep1, fresh1 := d.scalar(descentKeep1), d.scalar(descentFresh1)
	keep2, fresh2 := d.scalar(descentKeep2), d.scalar(descentFresh2)
	d.loop(2, func(x, grad VecVirtual) {
		part := vectorOf(d.width)
		VMULPS(x, decay, part)
		if decoupled {
			VSUBPS(part, x, x)
		} else {
			VADDPS(part, grad, grad)
		}
		news := vectorOf(d.width)
		VMULPS(grad, fresh1, news)
		mean := d.moving(d.first, keep1, news)
		VMULPS(grad, fresh2, news)
		VMULPS(grad, news, news)
		root := d.moving(d.second, keep2, news)
		VSQRTPS(root, root)
		d.each(descentCorrection, func(c VecVirtual) { VDIVPS(c, root, root) })
		d.each(descentEpsilon, func(e VecVirtual) { VADDPS(e, root, root) })
		VDIVPS(root, mean, mean)
		d.each(descentRate, func(r VecVirtual) { VMULPS(r, mean, mean) })
		VSUBPS(mean, x, x)
	})
}

// each loads a scalar again for every vector: sixteen registers do not hold all of a rule's.
func (d *descent) each(off int, use func(VecVirtual)) { use(d.scalar(off)) }
