package data

import (
	"context"
	"fmt"
	"math"

	"ablate/recipe"
	"ablate/runner/augment"
	"ablate/runner/data/imaging"
	"ablate/runner/random"
)

// augmented returns the transform of training image index at a place in the epoch's order.
func (p *Pipeline) augmented(epoch, place int, index int32) augment.Transform {
	step, at := uint64(epoch), uint64(index)
	if p.cfg.CropChunk > 1 { // one draw for a run of consecutive images
		at = uint64(place / p.cfg.CropChunk)
	}
	v := p.centre()
	if p.cfg.CropAt == recipe.CropRandom {
		v.Top = p.offset(p.crop.Intn(step, 2*at, p.room(p.ds.Shape.Height, p.shape.Height)))
		v.Left = p.offset(p.crop.Intn(step, 2*at+1, p.room(p.ds.Shape.Width, p.shape.Width)))
	}
	if p.cfg.Flip {
		v.Flip = p.flip.Uint32(step, at)&1 == 1
	}
	if p.cfg.PCAColour.Std > 0 {
		var alpha [3]float32
		p.colour.NormalFrom(alpha[:], step, 4*uint64(index), 0, p.cfg.PCAColour.Std)
		v.Shifted, v.Shift = true, p.axes.shift(alpha)
		v.Scale *= p.axes.gain
	}
	return v
}

// in returns the pipeline as it is in an epoch: some augmentations may have ended by then.
func (p *Pipeline) in(epoch int) *Pipeline {
	shown := *p
	shown.cfg = p.cfg.In(epoch)
	return &shown
}

// room returns the number of positions that a crop can take along one side of the image with its
// border.
func (p *Pipeline) room(size, crop int) int { return size + 2*p.cfg.Pad - crop + 1 }

// offset converts a position in the bordered image into one in the image.
func (p *Pipeline) offset(place int) int32 { return int32(place - p.cfg.Pad) }

// centre returns the cut from the middle of the image.
func (p *Pipeline) centre() augment.Transform {
	return p.cut(int32(p.ds.Shape.Height-p.shape.Height)/2, int32(p.ds.Shape.Width-p.shape.Width)/2)
}

// cut returns the cut that starts at a row and column of the image.
func (p *Pipeline) cut(top, left int32) augment.Transform {
	return augment.Transform{Top: top, Left: left, Scale: float32(p.cfg.Scale)}
}

// outside returns a cut that lies past every image, so that the input is all zeros.
func (p *Pipeline) outside() augment.Transform { return p.cut(int32(p.ds.Shape.Height), 0) }

// ten returns the cuts at the four corners and the centre of the bordered image, then their
// reflections (paper, section 4.1).
func (p *Pipeline) ten() []augment.Transform {
	bottom := p.offset(p.room(p.ds.Shape.Height, p.shape.Height) - 1)
	right := p.offset(p.room(p.ds.Shape.Width, p.shape.Width) - 1)
	first := p.offset(0)
	crops := []augment.Transform{
		p.cut(first, first), p.cut(first, right), p.cut(bottom, first), p.cut(bottom, right), p.centre(),
	}
	for _, c := range crops[:5] {
		c.Flip = true
		crops = append(crops, c)
	}
	return crops
}

// colourAxes are the directions in which PCAColour shifts colours. The length of each is the shift
// for a draw of 1, in grey levels.
type colourAxes struct {
	axis [3][3]float64
	gain float32 // multiplies the shifted image
}

// colourAxes computes the principal components of the training images' colours.
func (ds *Dataset) colourAxes(ctx context.Context, cfg recipe.PCAColour) (colourAxes, error) {
	a := colourAxes{gain: 1}
	if cfg.Shrink {
		a.gain = float32(1 / (1 + cfg.Std))
	}
	if ds.Shape.Channels != 3 {
		return a, fmt.Errorf("data.pca_colour is for images of 3 channels, those of %s have %d",
			ds.Name, ds.Shape.Channels)
	}
	if ds.Colour == nil { // once for all runs on this data set
		var s imaging.Statistics
		err := ds.Train.each(ctx, ds.Shape.Len(), func(_ int, image []byte) { s.Add(image) })
		if err != nil {
			return a, err
		}
		colour := s.Colour()
		ds.Colour = &colour
	}
	for i, value := range ds.Colour.Values {
		length := math.Sqrt(value)
		if cfg.Scale == recipe.Eigenvalue {
			length = value / 255 // the eigenvalue is for pixels from 0 to 1; in grey levels
		}
		for c, x := range ds.Colour.Vectors[i] {
			a.axis[i][c] = length * x
		}
	}
	return a, nil
}

// shift returns Σ alpha_i · axis_i.
func (a *colourAxes) shift(alpha [3]float32) [3]float32 {
	var out [3]float32
	for c := range out {
		var sum float64
		for i, axis := range a.axis {
			sum += float64(float64(alpha[i]) * axis[c])
		}
		out[c] = float32(sum)
	}
	return out
}

// wrongLabels copies labels and replaces a share of them, rounded to whole images, by another
// class. All other classes are equally likely.
func wrongLabels(labels []int32, classes int, share float64, stream random.Stream) []int32 {
	wrong := append([]int32(nil), labels...)
	for i, index := range stream.Perm(0, len(labels))[:int(math.Round(share*float64(len(labels))))] {
		class := int32(stream.Intn(1, uint64(i), classes-1))
		if class >= labels[index] {
			class++
		}
		wrong[index] = class
	}
	return wrong
}
