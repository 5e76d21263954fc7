package engine

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"

	"ablate/runner/input"
)

// ImageMemory is memory of a device that turns stored images into a net's input itself.
type ImageMemory interface {
	Memory
	// WriteImages writes what the net sees of the images to a tensor in this memory,
	// of shape [images, height, width, channels]. When it returns the images are
	// taken, though the tensor may not have its values before the device's next kernel or Read.
	WriteImages(to Tensor, images input.Images) error
}

// TakesImages tells whether WriteImages serves for an input: whether all devices
// that hold a part of it turn images into input.
func (p *Program) TakesImages(n *gorgonia.Node) bool {
	t, err := p.tensor(n)
	if err != nil {
		return false
	}
	for _, part := range t.parts {
		if _, ok := part.Mem.(ImageMemory); !ok {
			return false
		}
	}
	return true
}

// WriteImages gives an input of images, [batch, height, width, channels], its value.
func (p *Program) WriteImages(n *gorgonia.Node, images input.Images) error {
	t, err := p.tensor(n)
	if err != nil {
		return err
	}
	image := Tensor{Shape: t.shape[1:]}.Len()
	if len(t.shape) != 4 || len(images.Views)*image != t.len() || len(images.Pixels) != len(images.Views)*images.Shape.Len() {
		return fmt.Errorf("%s: %d images for an input of %d values", n.Name(), len(images.Views), t.len())
	}
	write := func(t Tensor, images input.Images) error {
		memory, ok := t.Mem.(ImageMemory)
		if !ok {
			return fmt.Errorf("%s: its device takes no images", n.Name())
		}
		return memory.WriteImages(t, images)
	}
	shape := func(n int) []int { return append([]int{n}, t.shape[1:]...) }
	if t.cut.Whole() { // every device has all images
		for _, part := range t.parts {
			if err := write(Tensor{part.Mem, part.Off, shape(len(images.Views))}, images); err != nil {
				return err
			}
		}
		return nil
	}
	return t.each(0, t.len(), func(part Tensor, off, at, n int) error {
		if at%image+n%image != 0 {
			return errors.New("an image is cut between devices")
		}
		return write(Tensor{part.Mem, part.Off + off, shape(n / image)}, images.Part(at/image, n/image))
	})
}
