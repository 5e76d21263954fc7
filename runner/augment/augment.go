// Package augment describes batches of images as bytes, each image with the transform that turns
// it into a net's input. It serves devices that crop, mirror and shift colours themselves: they
// receive a quarter of the bytes of a finished input.
package augment

import "ablate/arch"

// Images are a batch. Each value of a net's input is
//
//	(pixel − mean [+ shift of its channel])·scale
//
// for the pixel that the transform points to, and 0 outside the image.
type Images struct {
	Shape      arch.Shape  // a stored image: [height, width, channels] bytes
	Pixels     []byte      // all images, one after the other
	Transforms []Transform // one per image
	// Mean has a value for each byte of an image. It is the same slice for all
	// batches of a pipeline, so that a device may keep its copy.
	Mean []float32
	// MeanAt is the row and column at which the mean is cut. If it is nil, the mean is cut where the
	// image is.
	MeanAt *[2]int
}

// A Transform says how an image is shown. CUDA kernels read it in this memory layout.
type Transform struct {
	Top, Left int32      // row and column of the image at which it is cut; below 0 in its border
	Flip      bool       // the cut is mirrored, left to right
	Shifted   bool       // Shift is added, to images of three channels
	Scale     float32    // multiplies the difference
	Shift     [3]float32 // added to red, green and blue, in grey levels
}

// TransformLen is the size of a Transform in bytes.
const TransformLen = 28

// Part returns n images from number first on.
func (i Images) Part(first, n int) Images {
	size := i.Shape.Len()
	i.Pixels, i.Transforms = i.Pixels[first*size:][:n*size], i.Transforms[first:][:n]
	return i
}
