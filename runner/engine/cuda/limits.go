package cuda

import (
	"ablate/ablations"
	"ablate/arch"
	"ablate/runner/engine"
	"ablate/runner/graph"
	"ablate/runner/random"
)

// What Limits measures with: products of square matrices that fill any GPU for
// milliseconds, and a pass over half a gigabyte, many times the largest cache.
const (
	limitSide   = 8192
	limitStream = 1 << 27
	limitTrials = 5
)

// Limits measures the products a second of one large matrix product at a
// precision, and the traffic of a kernel that reads and writes every value once.
func (d *Device) Limits(p ablations.Precision) (engine.Limits, error) {
	return d.limits(p, limitSide, limitStream)
}

func (d *Device) limits(p ablations.Precision, side, stream int) (engine.Limits, error) {
	var l engine.Limits
	plane := arch.Shape{Height: 1, Width: 1, Channels: side}
	product, err := d.bound(engine.Instr{Op: graph.NewDense("limits", side, plane, side), Precision: p},
		[]int{side, 1, 1, side}, []int{side, side}, []int{side}, []int{side, 1, 1, side})
	if err != nil {
		return l, err
	}
	line := arch.Shape{Height: 1, Width: 1, Channels: stream}
	pass, err := d.bound(engine.Instr{Op: graph.NewUnit("limits", 1, line, graph.ReLU, 0, 0)}, []int{1, 1, 1, stream}, []int{1, 1, 1, stream})
	if err != nil {
		return l, err
	}
	n := float64(side)
	for range limitTrials {
		took, err := d.Time(product, &engine.Context{})
		if err != nil {
			return l, err
		}
		l.FLOPS = max(l.FLOPS, 2*n*n*n/took.Seconds())
		if took, err = d.Time(pass, &engine.Context{}); err != nil {
			return l, err
		}
		l.Bytes = max(l.Bytes, 8*float64(stream)/took.Seconds())
	}
	return l, nil
}

// bound allocates an instruction's operands, the last of which is its output, and
// binds it. They are random: a product of zeros runs at a higher clock.
func (d *Device) bound(in engine.Instr, shapes ...[]int) (engine.Kernel, error) {
	noise := make([]float32, 1<<20)
	random.New(1, "limits").Normal(noise, 0, 0, 1)
	for i, s := range shapes {
		t := engine.Tensor{Shape: s}
		var err error
		if t.Mem, err = d.Alloc(t.Len()); err != nil {
			return nil, err
		}
		if i == len(shapes)-1 {
			in.Out = t
			break
		}
		for at := 0; at < t.Len(); at += len(noise) {
			if err := t.Mem.Write(at, noise[:min(len(noise), t.Len()-at)]); err != nil {
				return nil, err
			}
		}
		in.In = append(in.In, t)
	}
	return d.Kernel(in)
}
