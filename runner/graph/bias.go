package graph

import (
	"fmt"

	"gorgonia.org/tensor"

	"ablate/arch"
)

// BiasGrad is the gradient to a layer's biases: the sum of dy over images and pixels.
type BiasGrad struct {
	meta
	Shape arch.Shape // the shape of dy, for one image
}

// NewBiasGrad makes the bias gradient of a layer.
func NewBiasGrad(layer string, batch int, s arch.Shape) *BiasGrad {
	o := &BiasGrad{Shape: s}
	o.meta = meta{
		kind: "bias-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v", s),
		in:  []tensor.Shape{nhwc(batch, s)},
		out: tensor.Shape{s.Channels},
		f32: func(in [][]float32, out []float32) { biasGrad(in[0], out) },
		f64: func(in [][]float64, out []float64) { biasGrad(in[0], out) },
	}
	return o
}

// perPixel reports whether the biases are those of a locally-connected layer.
func (o *BiasGrad) perPixel() bool { return o.out.TotalSize() != o.Shape.Channels }

func biasGrad[T float](dy, db []T) {
	for i, d := range dy {
		db[i%len(db)] += d
	}
}

// Shard divides by channels.
func (o *BiasGrad) Shard(s Split) (Shard, error) {
	if !o.perPixel() {
		return s.own(o, NewBiasGrad(o.Layer, o.Batch, s.shape(o.Shape))), nil
	}
	shard := s.own(o, NewLocalBiasGrad(o.Layer, o.Batch, s.shape(o.Shape)))
	shard.Out = perPixel(o.Shape)
	return shard, nil
}
