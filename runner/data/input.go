package data

import (
	"cmp"
	"fmt"
	"strings"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/data/imaging"
)

// An Input says how an image becomes a net's input. A program that shows other images to a trained
// net must do the same.
type Input struct {
	// Fit says how image files became squares, nil if the data set has images of one size.
	Fit *imaging.Fit `json:"fit,omitempty"`
	// Image is the shape of an image in the data set: bytes of Height × Width × Channels.
	Image       arch.Shape `json:"image"`
	ColourSpace string     `json:"colour_space"`
	Mean        string     `json:"mean"`  // image, image_centre, channel or none
	Scale       float64    `json:"scale"` // the factor after the mean is subtracted
	Pad         int        `json:"pad,omitempty"`
	Net         arch.Shape `json:"net"`                   // the crop that the net sees; the centre at test
	MeanImages  int        `json:"mean_images,omitempty"` // number of training images that the mean is over
}

// Input returns how the pipeline makes inputs.
func (p *Pipeline) Input() Input {
	in := Input{
		Fit: p.ds.Fit, Image: p.ds.Shape, ColourSpace: cmp.Or(string(p.cfg.ColourSpace), "rgb"), Mean: p.cfg.Mean,
		Scale: p.cfg.Scale, Pad: p.cfg.Pad, Net: p.shape,
	}
	if in.Mean != "none" {
		in.MeanImages = p.ds.Train.Len()
	}
	return in
}

// Mean returns what is subtracted from an image: one value for each value of Input.Image.
func (p *Pipeline) Mean() []float32 { return p.mean }

// ColourAxes returns the shifts of red, green and blue, in grey levels, for draws of 1 along each
// principal component. It returns nil if colours are not shifted.
func (p *Pipeline) ColourAxes() []float32 {
	if p.cfg.PCAColour.Std == 0 {
		return nil
	}
	var flat []float32
	for _, axis := range p.axes.axis {
		for _, v := range axis {
			flat = append(flat, float32(v))
		}
	}
	return flat
}

// Classes returns the names of the classes, in the order of their numbers.
func (p *Pipeline) Classes() []string { return p.ds.Classes }

// Words describes, step by step, how a training image becomes an input.
func (p *Pipeline) Words() string {
	in := p.Input()
	size := fmt.Sprintf("%d×%d", in.Image.Height, in.Image.Width)
	steps := []string{size + " images"}
	if in.Fit != nil {
		steps[0] = fmt.Sprintf("%s (%s)", steps[0], in.Fit)
	}
	if p.ds.Files != nil {
		steps[0] = p.ds.Files.String() + " → " + steps[0]
	}
	if in.ColourSpace != "rgb" {
		steps = append(steps, in.ColourSpace)
	}
	switch in.Mean {
	case "none":
	case "channel":
		steps = append(steps, fmt.Sprintf("− mean of each channel over %d training images", in.MeanImages))
	case "image_centre":
		steps = append(steps, fmt.Sprintf("− centre of the mean of %d training images", in.MeanImages))
	default:
		steps = append(steps, fmt.Sprintf("− mean of %d training images", in.MeanImages))
	}
	if in.Scale != 1 {
		steps = append(steps, fmt.Sprintf("× %g", in.Scale))
	}
	if in.Pad > 0 {
		steps = append(steps, fmt.Sprintf("border of %d", in.Pad))
	}
	if p.cfg.Crop > 0 {
		steps = append(steps, p.cropWords())
	}
	if p.cfg.Flip {
		steps = append(steps, "mirrored at random")
	}
	if p.cfg.PCAColour.Std > 0 {
		steps = append(steps, "colours shifted")
	}
	steps = append(steps, p.distortWords()...)
	return strings.Join(steps, " → ")
}

func (p *Pipeline) cropWords() string {
	where, test := "at random places", "the centre"
	if p.cfg.CropAt == recipe.CropCentre {
		where = "at the centre"
	}
	if p.cfg.TestCrops == recipe.TenCrop {
		test = "ten crops"
	}
	return fmt.Sprintf("crop %d×%d %s (%s at test)", p.cfg.Crop, p.cfg.Crop, where, test)
}

// LeftOver returns the number of training images that every epoch leaves out, since they do not
// fill a batch.
func (p *Pipeline) LeftOver() int { return p.train.Len() - p.Batches()*p.batch }
