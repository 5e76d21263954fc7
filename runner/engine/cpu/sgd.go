package cpu

import "ablate/runner/engine"

var _ = computes(bindUpdate)

// update is the paper's rule on one parameter, see engine.Update.
type update struct {
	d                     *Device
	op                    engine.Update
	w, v, g               []float32
	rate, decay, momentum float32
}

// newUpdate takes weights, velocities and gradients. Without gradients, the caller hands them to
// apply.
func newUpdate(d *Device, op engine.Update, in engine.Instr) *update {
	u := &update{d: d, op: op, w: slice(in.In[0]), v: slice(in.In[1])}
	if len(in.In) > 2 {
		u.g = slice(in.In[2])
	}
	return u
}

// set stores a step's rates. It returns false where the parameter is frozen.
func (u *update) set(c *engine.Context) bool {
	r := u.op.Rates(c)
	u.rate, u.decay, u.momentum = r.Rate, r.Decay, float32(c.Momentum)
	return !r.Frozen
}

// apply updates the parameter's values, starting at off, by their gradients.
func (u *update) apply(off int, g []float32) {
	to := off + len(g)
	u.d.isa.sgd(u.w[off:to], u.v[off:to], g, u.rate, u.decay, u.momentum)
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

// bindUpdate returns the kernel of an update. Running averages and the other rules have separate
// kernels.
func bindUpdate(d *Device, op engine.Update, in engine.Instr) engine.Kernel {
	switch {
	case op.Average > 0:
		return newAverage(op, in)
	case !op.Plain():
		return newOptimizer(d, op, in)
	}
	return newUpdate(d, op, in)
}
