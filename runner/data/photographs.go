package data

import (
	"fmt"
	"os"

	"ablate/recipe"
	"ablate/runner/data/imaging"
)

// maxPhotograph is the size, in bytes, of the largest image file that is read.
const maxPhotograph = 1 << 28

// Photographs makes a data set of image files in the same way as a run does: each becomes a square
// of the size that the net was trained on.
func Photographs(paths []string, in Input, classes []string, mean []float32) (*Dataset, error) {
	fit := imaging.Fit{ShortSide: in.Image.Height}
	if in.Fit != nil {
		fit = *in.Fit
	}
	if in.Image.Height != in.Image.Width || fit.Side() != in.Image.Height {
		return nil, fmt.Errorf("the net was trained on images of %v, of which image files are not made", in.Image)
	}
	space := recipe.ColourSpace(in.ColourSpace)
	if in.ColourSpace == "rgb" {
		space = recipe.RGB
	}
	if in.Image.Channels == 1 {
		space = recipe.Grey
	}
	reader, size := imaging.NewReader(fit), in.Image.Len()
	s := Split{Images: make([]byte, len(paths)*size), Labels: make([]int32, len(paths))}
	rgb := make([]byte, fit.Len())
	for i, path := range paths {
		text, err := readPhotograph(path)
		if err == nil {
			err = reader.Read(text, rgb)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		to := s.Images[i*size:][:size]
		if space == recipe.RGB {
			copy(to, rgb)
		} else {
			convertPixels(to, rgb, space)
		}
	}
	return &Dataset{Name: "photographs", Classes: classes, Shape: in.Image, Train: s, Test: s, Mean: mean}, nil
}

// readPhotograph reads a regular file that is not too large.
func readPhotograph(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("not a file: %w", imaging.ErrBad)
	case info.Size() > maxPhotograph:
		return nil, fmt.Errorf("%d MiB, at most %d are read: %w", info.Size()>>20, maxPhotograph>>20, imaging.ErrBad)
	}
	return os.ReadFile(path)
}
