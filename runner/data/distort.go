package data

import (
	"fmt"
	"math"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/augment"
	"ablate/runner/random"
)

// distortions are the augmentations that only the host makes. A device that makes inputs from
// stored images knows nothing of them.
type distortions struct {
	area, angle, colour, cutout, erase, place, mix random.Stream
}

func newDistortions(seed uint64) distortions {
	stream := func(name string) random.Stream { return random.New(seed, "data/"+name) }
	return distortions{
		area: stream("area"), angle: stream("rotate"), colour: stream("colour-jitter"), cutout: stream("cutout"),
		erase: stream("erase"), place: stream("erase-place"), mix: stream("mix"),
	}
}

// distorts reports whether a training image needs more than a cut, a reflection and a shift of
// colours.
func distorts(d recipe.Data) bool {
	return warps(d) || d.ColourJitter != recipe.ColourJitter{} || d.Erase.Probability > 0 || d.Cutout > 0 || d.Mixes()
}

// warps reports whether training images are turned or resized.
func warps(d recipe.Data) bool {
	return d.Rotate > 0 || d.ResizedCrop.MinArea > 0 || d.MultiScale.To > 0
}

// A rectangle is a part of an image; its sides need not lie on pixel borders.
type rectangle struct{ top, left, height, width float64 }

// distorted writes training image index into the batch as its image j: cut as v says, unless it is
// resized.
func (p *Pipeline) distorted(b *Batch, j, epoch int, index int32, v augment.Transform, buf []byte) error {
	image, err := p.train.Image(int(index), p.ds.Shape.Len(), buf)
	if err != nil {
		return fmt.Errorf("data %s: %w", p.ds.Name, err)
	}
	d, step, at := &p.distort, uint64(epoch), uint64(index)
	if j := p.cfg.ColourJitter; j != (recipe.ColourJitter{}) {
		image = jittered(image, j, d.colour, step, 4*at)
	}
	to := b.X[j*p.shape.Len():][:p.shape.Len()]
	if warps(p.cfg) {
		turned := 0.0
		if r := p.cfg.Rotate; r > 0 {
			turned = float64(r*(2*d.angle.Float64(step, at)-1)) * math.Pi / 180
		}
		p.sample(to, image, p.area(step, at, v), turned, v)
	} else {
		p.show(to, image, v)
	}
	p.erased(to, step, at)
	b.Indices[j], b.Y[j] = index, float32(p.train.Labels[index])
	return nil
}

// area returns the part of a stored image that is shown: a part that is resized to the net's
// input, or the cut unchanged.
func (p *Pipeline) area(step, at uint64, v augment.Transform) rectangle {
	whole, draw := p.ds.Shape, p.distort.area
	place := func(height, width float64, index uint64) rectangle {
		return rectangle{top: (float64(whole.Height) - height) * draw.Float64(step, index),
			left: (float64(whole.Width) - width) * draw.Float64(step, index+1), height: height, width: width}
	}
	switch r, m := p.cfg.ResizedCrop, p.cfg.MultiScale; {
	case m.To > 0: // the shorter side gets this length, and the crop is a part of the result
		side := float64(m.From) + math.Floor(float64(m.To-m.From+1)*draw.Float64(step, 64*at))
		shrink := float64(min(whole.Height, whole.Width)) / side
		return place(shrink*float64(p.shape.Height), shrink*float64(p.shape.Width), 64*at+1)
	case r.MinArea > 0:
		for try := range uint64(10) { // as in torchvision's RandomResizedCrop
			index := 64*at + 4*try
			area := float64(whole.Height*whole.Width) * (r.MinArea + float64((1-r.MinArea)*draw.Float64(step, index)))
			ratio := draw.LogUniform(step, index+1, 1/r.Ratio(), r.Ratio())
			height, width := math.Round(math.Sqrt(area/ratio)), math.Round(math.Sqrt(area*ratio))
			if height >= 1 && width >= 1 && height <= float64(whole.Height) && width <= float64(whole.Width) {
				return place(height, width, index+2)
			}
		}
		side := float64(min(whole.Height, whole.Width))
		return rectangle{top: (float64(whole.Height) - side) / 2, left: (float64(whole.Width) - side) / 2, height: side,
			width: side}
	}
	return rectangle{top: float64(v.Top), left: float64(v.Left), height: float64(p.shape.Height),
		width: float64(p.shape.Width)}
}

// sample writes a part of an image, turned about its middle and resized to the net's input by
// bilinear interpolation. Pixels outside the image become zero, the colour of the mean.
func (p *Pipeline) sample(to []float32, image []byte, from rectangle, turned float64, v augment.Transform) {
	in, out := p.ds.Shape, p.shape
	sin, cos := math.Sin(turned), math.Cos(turned)
	for y := range out.Height {
		dy := ((float64(y)+0.5)/float64(out.Height) - 0.5) * from.height
		for x := range out.Width {
			dx := ((float64(x)+0.5)/float64(out.Width) - 0.5) * from.width
			if v.Flip {
				dx = -dx
			}
			sy := from.top + from.height/2 + float64(cos*dy) + float64(sin*dx) - 0.5
			sx := from.left + from.width/2 + float64(cos*dx) - float64(sin*dy) - 0.5
			p.pixel(to[(y*out.Width+x)*out.Channels:][:out.Channels], image, in, sy, sx, v)
		}
	}
}

// pixel interpolates between four pixels of an image, after subtracting the mean from each.
func (p *Pipeline) pixel(to []float32, image []byte, in arch.Shape, y, x float64, v augment.Transform) {
	if y < -0.5 || x < -0.5 || y > float64(in.Height)-0.5 || x > float64(in.Width)-0.5 {
		clear(to)
		return
	}
	top, left := math.Floor(y), math.Floor(x)
	down, right := float32(y-top), float32(x-left)
	offset := func(row, column float64) int {
		r, c := min(max(int(row), 0), in.Height-1), min(max(int(column), 0), in.Width-1)
		return (r*in.Width + c) * in.Channels
	}
	a, b, c, d := offset(top, left), offset(top, left+1), offset(top+1, left), offset(top+1, left+1)
	at := func(i int) float32 { return float32(image[i]) - p.mean[i] }
	for k := range to {
		above := at(a+k) + float32(right*(at(b+k)-at(a+k)))
		below := at(c+k) + float32(right*(at(d+k)-at(c+k)))
		value := above + float32(down*(below-above))
		if v.Shifted {
			value += v.Shift[k]
		}
		to[k] = value * v.Scale
	}
}

// jittered returns an RGB image with its brightness, contrast and saturation changed, in this
// order. Each changes by a factor of 1 ± at most the recipe's limit.
func jittered(image []byte, j recipe.ColourJitter, draw random.Stream, step, index uint64) []byte {
	factor := func(most float64, n uint64) float32 {
		low := max(0, 1-most)
		return float32(low + float64((1+most-low)*draw.Float64(step, index+n)))
	}
	brightness, contrast, saturation := factor(j.Brightness, 0), factor(j.Contrast, 1), factor(j.Saturation, 2)
	lit := make([]float32, len(image))
	var grey float64
	for i := 0; i+2 < len(image); i += 3 {
		for c := range 3 {
			lit[i+c] = level(float32(image[i+c]) * brightness)
		}
		grey += float64(luma(lit[i:]))
	}
	middle := float32(grey / float64(len(image)/3))
	out := make([]byte, len(image))
	for i := 0; i+2 < len(image); i += 3 {
		for c := range 3 {
			lit[i+c] = level(middle + float32(contrast*(lit[i+c]-middle)))
		}
		own := luma(lit[i:])
		for c := range 3 {
			out[i+c] = byte(level(own+float32(saturation*(lit[i+c]-own))) + 0.5)
		}
	}
	return out
}

func level(x float32) float32 { return min(max(x, 0), 255) }

// luma returns the grey level of a pixel, with torchvision's weights of the colours.
func luma(rgb []float32) float32 {
	return float32(0.2989*rgb[0]) + float32(0.587*rgb[1]) + float32(0.114*rgb[2])
}

// erased sets parts of a net's input to zero, the colour of the mean.
func (p *Pipeline) erased(x []float32, step, at uint64) {
	draw, place, height, width := p.distort.erase, p.distort.place, p.shape.Height, p.shape.Width
	if side := p.cfg.Cutout; side > 0 { // centred on any pixel, so that part of it may lie outside
		top := p.distort.cutout.Intn(step, 2*at, height) - side/2
		left := p.distort.cutout.Intn(step, 2*at+1, width) - side/2
		p.blacken(x, top, left, side, side)
	}
	e := p.cfg.Erase
	if e.Probability == 0 || draw.Float64(step, 32*at) >= e.Probability {
		return
	}
	for try := range uint64(10) { // as in torchvision's RandomErasing
		index := 32*at + 2*try + 1
		area := float64(height*width) * (e.From() + float64((e.To()-e.From())*draw.Float64(step, index)))
		ratio := draw.LogUniform(step, index+1, 1/e.Ratio(), e.Ratio())
		h, w := int(math.Round(math.Sqrt(area*ratio))), int(math.Round(math.Sqrt(area/ratio)))
		if h < height && w < width {
			p.blacken(x, place.Intn(step, 2*at, height-h+1), place.Intn(step, 2*at+1, width-w+1), h, w)
			return
		}
	}
}

// blacken sets a part of an input to zero, as far as it lies inside.
func (p *Pipeline) blacken(x []float32, top, left, height, width int) {
	for y := max(top, 0); y < min(top+height, p.shape.Height); y++ {
		from, to := max(left, 0), min(left+width, p.shape.Width)
		if from < to {
			clear(x[(y*p.shape.Width+from)*p.shape.Channels : (y*p.shape.Width+to)*p.shape.Channels])
		}
	}
}

// mixed mixes every image of a batch with the previous one, and the first with the last: it blends
// the two (mixup), or cuts a part of one into the other (cutmix). If the recipe asks for both,
// each batch gets either with equal probability.
func (p *Pipeline) mixed(b *Batch, epoch, number int) {
	draw, step := p.distort.mix, uint64(epoch)
	at := uint64(number)
	cuts := p.cfg.CutMix > 0 && (p.cfg.Mixup == 0 || draw.Uint32(step, 4*at)&1 == 1)
	size, n := p.shape.Len(), b.N
	last := append([]float32(nil), b.X[(n-1)*size:n*size]...)
	alpha := p.cfg.Mixup
	if cuts {
		alpha = p.cfg.CutMix
	}
	share := draw.Beta(step+1<<32, at, alpha)
	top, left, bottom, right := 0, 0, 0, 0
	if cuts {
		top, bottom = between(draw.Intn(step, 4*at+1, p.shape.Height), p.shape.Height, share)
		left, right = between(draw.Intn(step, 4*at+2, p.shape.Width), p.shape.Width, share)
		share = 1 - float64((bottom-top)*(right-left))/float64(p.shape.Height*p.shape.Width)
	}
	b.Share = float32(share)
	for j := n - 1; j >= 0; j-- {
		other := last
		if j > 0 {
			other = b.X[(j-1)*size : j*size]
		}
		own := b.X[j*size : (j+1)*size]
		b.Other[j] = b.Y[(j+n-1)%n]
		if !cuts {
			for i, x := range own {
				own[i] = float32(b.Share*x) + float32((1-b.Share)*other[i])
			}
			continue
		}
		for y := top; y < bottom; y++ {
			from, to := (y*p.shape.Width+left)*p.shape.Channels, (y*p.shape.Width+right)*p.shape.Channels
			copy(own[from:to], other[from:to])
		}
	}
}

// between returns a stretch of length √(1 − share)·side around middle, as far as it lies within
// the side.
func between(middle, side int, share float64) (from, to int) {
	half := int(float64(side)*math.Sqrt(1-share)) / 2
	return max(middle-half, 0), min(middle+half, side)
}

// distortWords describes the distortions of training images in words.
func (p *Pipeline) distortWords() []string {
	var steps []string
	say := func(on bool, format string, args ...any) {
		if on {
			steps = append(steps, fmt.Sprintf(format, args...))
		}
	}
	c := p.cfg
	say(c.ResizedCrop.MinArea > 0, "resized from %g %% of the area or more", 100*c.ResizedCrop.MinArea)
	say(c.MultiScale.To > 0, "scaled to a side of %d to %d", c.MultiScale.From, c.MultiScale.To)
	say(c.Rotate > 0, "turned by up to %g°", c.Rotate)
	say(c.ColourJitter != recipe.ColourJitter{}, "colours jittered")
	say(c.Cutout > 0, "a square of %d cut out", c.Cutout)
	say(c.Erase.Probability > 0, "%g %% partly erased", 100*c.Erase.Probability)
	say(c.Mixup > 0, "mixed in pairs")
	say(c.CutMix > 0, "parts swapped in pairs")
	return steps
}
