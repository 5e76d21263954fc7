package cuda

import (
	"math"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/graph"
	"ablate/runner/random"
)

// The sizes that Limits measures with: products of square matrices that fill any GPU for milliseconds,
// and a pass over half a gigabyte, many times the largest cache.
const (
	limitSide   = 8192
	limitStream = 1 << 27
	limitTrials = 5
)

// Limits measures the rate of one large matrix product at a precision (a dense layer's data gradient,
// which is a product and nothing else), and the traffic of a kernel that reads and writes every value
// once.
func (d *Device) Limits(p recipe.Precision) (engine.Limits, error) {
	return d.limits(p, limitSide, limitStream)
}

func (d *Device) limits(p recipe.Precision, side, stream int) (engine.Limits, error) {
	var l engine.Limits
	plane := arch.Shape{Height: 1, Width: 1, Channels: side}
	images := engine.Tensor{Shape: []int{side, 1, 1, side}, Type: typeOf(p)}
	product, err := d.bound(engine.Instr{Op: graph.NewDenseDataGrad("limits", side, plane, side), Precision: p},
		engine.Tensor{Shape: []int{side, side}, Type: typeOf(p)}, images, images)
	if err != nil {
		return l, err
	}
	line := arch.Shape{Height: 1, Width: 1, Channels: stream}
	values := engine.Tensor{Shape: []int{1, 1, 1, stream}}
	pass, err := d.bound(engine.Instr{Op: graph.NewActivation("limits", 1, line, graph.ReLU, 0, 0)}, values, values)
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
func (d *Device) bound(in engine.Instr, tensors ...engine.Tensor) (engine.Kernel, error) {
	for i, t := range tensors {
		n := (t.Len()*t.Type.Bytes() + 3) / 4
		var err error
		if t.Mem, err = d.Alloc(n); err != nil {
			return nil, err
		}
		if i == len(tensors)-1 {
			in.Out = t
			break
		}
		noise := noise(t.Type)
		for at := 0; at < n; at += len(noise) {
			if err := t.Mem.Write(at, noise[:min(len(noise), n-at)]); err != nil {
				return nil, err
			}
		}
		in.In = append(in.In, t)
	}
	return d.Kernel(in)
}

// noise returns memory full of random values of a type.
func noise(as engine.Type) []float32 {
	v := make([]float32, 1<<20)
	random.New(1, "limits").Normal(v, 0, 0, 1)
	if as == engine.BFloat16 { // two values in one, each without its last bits
		for i := range v[:len(v)/2] {
			v[i] = math.Float32frombits(math.Float32bits(v[2*i])>>16 | math.Float32bits(v[2*i+1])&^0xffff)
		}
		v = v[:len(v)/2]
	}
	return v
}
