package engine

import "ablate/runner/graph"

// Limits are the highest rates that a device reaches, measured on the machine at hand.
type Limits struct {
	FLOPS float64 // multiplications and additions a second, float32
	Bytes float64 // memory traffic a second, reads and writes together
}

// A Cost is the least work that one step of a program needs: the operations of its formula, and every
// operand read or written once.
type Cost struct {
	FLOPs int64 // of convolutions and dense layers; 0 where only memory counts
	Bytes int64
	Moved int64 // bytes that come from another device
}

func (c *Cost) add(o Cost) {
	c.FLOPs += o.FLOPs
	c.Bytes += o.Bytes
	c.Moved += o.Moved
}

// Seconds returns the least time that a device with these limits needs.
func (c Cost) Seconds(l Limits) float64 {
	return max(float64(c.FLOPs)/l.FLOPS, float64(c.Bytes)/l.Bytes)
}

// costOf returns the cost of an instruction.
func costOf(in Instr) Cost {
	if m, ok := in.Op.(Gather); ok { // each value is read and written once
		return Cost{Bytes: 2 * in.Out.bytes(), Moved: m.moved()}
	}
	var c Cost
	if op, ok := in.Op.(graph.Op); ok {
		c.FLOPs = 2 * op.MACs()
	}
	for _, t := range in.In {
		c.Bytes += t.bytes()
	}
	if in.Mask.Mem != nil {
		c.Bytes += in.Mask.bytes()
	}
	update, updates := in.Op.(Update)
	switch { // weights and state are written as well as read
	case updates:
		c.Bytes += int64(1+len(update.Rule.State())) * in.In[0].bytes()
	case in.Out.Mem == nil && in.Update == nil: // an average of weights
		c.Bytes += in.In[0].bytes()
	case in.Update != nil:
		c.Bytes += 2 * in.In[2].bytes()
	default:
		c.Bytes += in.Out.bytes()
	}
	return c
}
