package export

import (
	"encoding/json"
	"errors"
	"fmt"

	"ablate/arch"
	"ablate/experiments"
)

// Weights are a net's parameters by name, conv1.weight.
type Weights map[string]experiments.Tensor

// ReadWeights reads the trained weights of a run's folder.
func ReadWeights(dir string) (Weights, error) {
	stored, err := experiments.ReadWeights(dir)
	if err != nil {
		return nil, err
	}
	w := Weights{}
	for _, t := range stored.Params {
		w[t.Name] = t
	}
	return w, nil
}

// Images describes how a stored image becomes an input of a net.
type Images struct {
	Shape arch.Shape // shape of a stored image
	Scale float64    // factor, applied after the mean is subtracted
	Mean  []float32  // mean image; nil if none is subtracted
}

// ErrImages is the error for a run whose weights file does not describe its images fully.
var ErrImages = errors.New("raw images cannot be taken")

// ReadImages reads the description of images in a run's weights file.
func ReadImages(dir string) (*Images, error) {
	stored, err := experiments.ReadWeights(dir)
	if err != nil {
		return nil, err
	}
	if stored.About["input"] == "" {
		return nil, fmt.Errorf("%w: weights of an earlier format do not say what is done to them", ErrImages)
	}
	var in struct {
		Image      arch.Shape `json:"image"`
		ColorSpace string     `json:"colour_space"`
		Mean       string     `json:"mean"`
		Scale      float64    `json:"scale"`
	}
	if err := json.Unmarshal([]byte(stored.About["input"]), &in); err != nil {
		return nil, fmt.Errorf("%s: %w", experiments.WeightsPath(dir), err)
	}
	if in.ColorSpace != "rgb" && in.Image.Channels == 3 {
		return nil, fmt.Errorf("%w: colours are changed to %s before, which the model would not do", ErrImages, in.ColorSpace)
	}
	images := &Images{Shape: in.Image, Scale: in.Scale}
	for _, t := range stored.Input {
		if t.Name == "mean_image" {
			images.Mean = t.Data
		}
	}
	if in.Mean != "none" && len(images.Mean) != in.Image.Len() {
		return nil, fmt.Errorf("%s: the mean image has %d values, an image %d", experiments.WeightsPath(dir),
			len(images.Mean), in.Image.Len())
	}
	return images, nil
}

// Centre returns the top left corner of the net's crop in an image, in pixels.
func (m Images) Centre(net arch.Shape) (top, left int) {
	return (m.Shape.Height - net.Height) / 2, (m.Shape.Width - net.Width) / 2
}

// CentreMean returns the part of the mean image within the net's crop.
func (m Images) CentreMean(net arch.Shape) []float32 {
	top, left := m.Centre(net)
	var part []float32
	for y := range net.Height {
		from := ((top+y)*m.Shape.Width + left) * net.Channels
		part = append(part, m.Mean[from:from+net.Width*net.Channels]...)
	}
	return part
}

// Take returns the values of a parameter, or an error if it is missing or has another shape.
func (w Weights) Take(name string, shape ...int) ([]float32, error) {
	t, ok := w[name]
	if !ok {
		return nil, fmt.Errorf("the weights hold no %s", name)
	}
	n := 1
	for _, d := range shape {
		n *= d
	}
	if len(t.Data) != n {
		return nil, fmt.Errorf("%s has shape %v; the net has %v", name, t.Shape, shape)
	}
	return t.Data, nil
}

// Conv returns a convolution's weights in the order of OIHW, and its biases if it has any.
func (w Weights) Conv(l *arch.Conv, p arch.LayerInfo) (weight, bias []float32, err error) {
	in := p.In.Channels / p.Groups
	if weight, err = w.Take(p.Layer.Name+".weight", l.Kernel, l.Kernel, in, l.Filters); err != nil {
		return nil, nil, err
	}
	if l.Bias {
		bias, err = w.Take(p.Layer.Name+".bias", l.Filters)
	}
	return OIHW(weight, l.Kernel, in, l.Filters), bias, err
}

// Dense returns a dense layer's weights in the order of OutIn, and its biases if it has any.
func (w Weights) Dense(l *arch.Dense, p arch.LayerInfo) (weight, bias []float32, err error) {
	if weight, err = w.Take(p.Layer.Name+".weight", p.In.Len(), l.Outputs); err != nil {
		return nil, nil, err
	}
	if l.Bias {
		bias, err = w.Take(p.Layer.Name+".bias", l.Outputs)
	}
	return OutIn(weight, p.In, l.Outputs), bias, err
}

// OIHW reorders a convolution's weights [kernel, kernel, in, out] to PyTorch's and ONNX's order [out, in, kernel,
// kernel]. in is the number of input channels of one group.
func OIHW(w []float32, kernel, in, out int) []float32 {
	to := make([]float32, len(w))
	for yx := range kernel * kernel {
		for i := range in {
			for o := range out {
				to[(o*in+i)*kernel*kernel+yx] = w[(yx*in+i)*out+o]
			}
		}
	}
	return to
}

// OutIn reorders a dense layer's weights [inputs, outputs] to [outputs, inputs]. Its inputs change from the order
// height, width, channel to channel, height, width.
func OutIn(w []float32, in arch.Shape, outputs int) []float32 {
	to := make([]float32, len(w))
	pixels := in.Height * in.Width
	for p := range pixels {
		for c := range in.Channels {
			for o := range outputs {
				to[o*pixels*in.Channels+c*pixels+p] = w[(p*in.Channels+c)*outputs+o]
			}
		}
	}
	return to
}
