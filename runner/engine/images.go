package engine

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"ablate/runner/augment"
)

// ImageMemory is the memory of a device that itself turns stored images into a net's input.
type ImageMemory interface {
	Memory
	// WriteImages writes the input that the net gets from the images to a tensor in this memory, of
	// shape [images, height, width, channels]. The caller may reuse the images when it returns, but
	// the tensor may not have its values before the device's next kernel or Read.
	WriteImages(to Tensor, images augment.Images) error
}

// TakesImages reports whether WriteImages can write an input: whether all devices that hold a part of
// it turn images into input.
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

// WriteImages writes the value of an input of images, of shape [batch, height, width, channels]. Each
// device gets the images of its chunks, or all images.
func (p *Program) WriteImages(n *gorgonia.Node, images augment.Images) error {
	t, err := p.tensor(n)
	if err != nil {
		return err
	}
	if err := t.fit(images); err != nil {
		return fmt.Errorf("%s: %w", n.Name(), err)
	}
	for i, part := range t.parts {
		memory, ok := part.Mem.(ImageMemory)
		if !ok {
			return fmt.Errorf("%s: its device takes no images", n.Name())
		}
		share := images
		if !t.sharding.Whole() {
			share = images.Part(i*part.Shape[0], part.Shape[0])
		}
		if err := memory.WriteImages(part, share); err != nil {
			return err
		}
	}
	return nil
}

// fit returns an error for images with which a device would read or write out of bounds.
func (s sharded) fit(m augment.Images) error {
	if len(s.shape) != 4 || s.shape[3] != m.Shape.Channels {
		return fmt.Errorf("images of %v for an input of shape %v", m.Shape, s.shape)
	}
	height, width, size := s.shape[1], s.shape[2], m.Shape.Len()
	if n := s.len() / (height * width * m.Shape.Channels); len(m.Transforms) != n || len(m.Pixels) != n*size {
		return fmt.Errorf("%d views and %d bytes for %d images of %v", len(m.Transforms), len(m.Pixels), n, m.Shape)
	}
	if len(m.Mean) != size {
		return fmt.Errorf("a mean of %d values for images of %v", len(m.Mean), m.Shape)
	}
	if at := m.MeanAt; at != nil && (at[0] < 0 || at[1] < 0 || at[0]+height > m.Shape.Height ||
		at[1]+width > m.Shape.Width) {
		return fmt.Errorf("the mean of images of %v has no cut of %d×%d at row %d, column %d", m.Shape, height, width,
			at[0], at[1])
	}
	return nil
}
