package engine

import "ablate/runner/graph"

// Limits are what a device can do at most, measured on the machine at hand.
type Limits struct {
	FLOPS float64 // multiplications and additions a second, float32
	Bytes float64 // memory traffic a second, reads and writes together
}

// A Cost is what one step of a program cannot do without: the operations of its
// formula, and every operand read or written once.
type Cost struct {
	FLOPs int64 // of convolutions and dense layers; 0 where memory is all that counts
	Bytes int64
	Moved int64 // bytes that come from another device
}

func (c *Cost) add(o Cost) {
	c.FLOPs += o.FLOPs
	c.Bytes += o.Bytes
	c.Moved += o.Moved
}

// Seconds is the time that a device of these limits needs at least.
func (c Cost) Seconds(l Limits) float64 {
	return max(float64(c.FLOPs)/l.FLOPS, float64(c.Bytes)/l.Bytes)
}

// costOf counts an instruction.
func costOf(in Instr) Cost {
	if m, ok := in.Op.(Move); ok { // each value is read and written once
		return Cost{Bytes: 2 * in.Out.bytes(), Moved: m.moved()}
	}
	c := Cost{FLOPs: 2 * multiplications(in.Op)}
	for _, t := range in.In {
		c.Bytes += t.bytes()
	}
	if in.Mask.Mem != nil {
		c.Bytes += in.Mask.bytes()
	}
	_, update := in.Op.(Update)
	switch { // weights and velocities are written as well as read
	case update:
		c.Bytes += 2 * in.In[0].bytes()
	case in.Update != nil:
		c.Bytes += 2 * in.In[2].bytes()
	default:
		c.Bytes += in.Out.bytes()
	}
	return c
}

// multiplications are the multiply-accumulates of an op over its batch.
func multiplications(op any) int64 {
	window := func(batch int, w graph.Window) int64 {
		return int64(batch) * int64(w.Kernel*w.Kernel*w.In.Channels/w.Groups) * int64(w.Out.Len())
	}
	switch op := op.(type) {
	case *graph.Conv:
		return window(op.Batch, op.Window)
	case *graph.ConvDataGrad:
		return window(op.Batch, op.Window)
	case *graph.ConvWeightGrad:
		return window(op.Batch, op.Window)
	case *graph.Local:
		return window(op.Batch, op.Window)
	case *graph.LocalDataGrad:
		return window(op.Batch, op.Window)
	case *graph.LocalWeightGrad:
		return window(op.Batch, op.Window)
	case *graph.Dense:
		return int64(op.Batch) * int64(op.In.Len()) * int64(op.Outputs)
	case *graph.DenseDataGrad:
		return int64(op.Batch) * int64(op.In.Len()) * int64(op.Outputs)
	case *graph.DenseWeightGrad:
		return int64(op.Batch) * int64(op.In.Len()) * int64(op.Outputs)
	default:
		return 0
	}
}
