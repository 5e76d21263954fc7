package engine

import "ablate/runner/graph"

// fuseReLU lets a convolution, a dense layer, batch norm or a sum of layers apply the ReLU that alone
// reads its output. The output is then still at hand, and is never stored.
func (c *compiler) fuseReLU() {
	by := map[*value]int{}
	var kept []action
	for _, a := range c.actions {
		if u, ok := a.op.(*graph.Activation); ok && u.F == graph.ReLU && c.uses[a.in[0]] == 1 {
			if i, ok := by[a.in[0]]; ok {
				kept[i].ReLU, kept[i].out = true, a.out
				kept[i].name += "+relu"
				continue
			}
		}
		switch a.op.(type) {
		case *graph.Conv, *graph.Dense, *graph.Add, *graph.BatchNorm:
			by[a.out] = len(kept)
		}
		kept = append(kept, a)
	}
	c.actions = kept
}

// fusePoolGrad lets the gradient of an LRN layer gather from the pooling behind it. The gradient
// between them, AlexNet's largest tensor, is then neither stored nor read.
func (c *compiler) fusePoolGrad(f Fuser) {
	by := map[*value]int{}
	var kept []action
	for _, a := range c.actions {
		switch op := a.op.(type) {
		case *graph.MaxPoolGrad:
			by[a.out] = len(kept)
		case *graph.LRNGrad:
			i, ok := by[a.in[1]]
			if !ok || c.uses[a.in[1]] > 1 {
				break
			}
			pool := &kept[i]
			grad := pool.op.(*graph.MaxPoolGrad)
			if !f.FusesPool(op, grad) {
				break
			}
			*pool = action{
				name: pool.name + "+" + a.name, layer: a.layer, op: op,
				in: []*value{a.in[0], pool.in[0], pool.in[2]}, out: a.out, Fused: Fused[*value]{Pool: grad},
			}
			continue
		}
		kept = append(kept, a)
	}
	c.actions = kept
}

// fuseReLUGrad finds the op that alone computes a ReLU's incoming gradient, and lets it zero the
// gradient where the ReLU was closed. That saves one pass over memory. Convolutions and dense layers
// do not do so: their tiles are 64 channels wide, and reading the ReLU's output in such pieces cost
// AlexNet's conv4 14 ms of 145, where a separate pass costs 4.
func (c *compiler) fuseReLUGrad() {
	by := map[*value]int{}
	var kept []action
	for _, a := range c.actions {
		if u, ok := a.op.(*graph.ActivationGrad); ok && u.F == graph.ReLU && c.uses[a.in[1]] == 1 {
			if i, ok := by[a.in[1]]; ok {
				kept[i].Mask, kept[i].out = a.in[0], a.out
				kept[i].name += "+relu-grad"
				continue
			}
		}
		switch a.op.(type) {
		case *graph.LRNGrad, *graph.MaxPoolGrad, *graph.AvgPoolGrad, *graph.Dropout:
			by[a.out] = len(kept)
		}
		kept = append(kept, a)
	}
	c.actions = kept
}

// fuseUpdate lets a dense layer's weight gradient update the weights as it is computed. AlexNet's fc6
// has a gradient of 151 MB, which is then neither stored nor read.
func (c *compiler) fuseUpdate() {
	by := map[*value]action{}
	for _, a := range c.actions {
		if _, ok := a.op.(*graph.DenseWeightGrad); ok && c.uses[a.out] == 1 {
			by[a.out] = a
		}
	}
	var kept []action
	fused := map[*value]bool{}
	for _, a := range c.actions {
		if u, ok := a.op.(Update); ok && u.Plain() {
			if grad, ok := by[a.in[1]]; ok { // here nothing reads the old weights any more
				fused[grad.out] = true
				in := append(grad.in[:len(grad.in):len(grad.in)], a.in[0])
				a = action{
					name: grad.name + "+update", layer: grad.layer, op: grad.op, in: in, Fused: Fused[*value]{Update: &u},
				}
			}
		}
		kept = append(kept, a)
	}
	c.actions = kept[:0]
	for _, a := range kept {
		if a.out == nil || !fused[a.out] {
			c.actions = append(c.actions, a)
		}
	}
}
