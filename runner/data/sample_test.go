package data

import (
	"bytes"
	"testing"

	"ablate/arch"
)

// Thumbnails of small images are the images; those of large ones are means of squares. Grey becomes RGB.
func TestThumbnail(t *testing.T) {
	t.Parallel()
	grey := &Dataset{Shape: arch.Shape{Height: 4, Width: 4, Channels: 1}, Test: Split{Labels: []int32{0},
		Images: []byte{0, 2, 9, 9, 4, 6, 9, 9, 1, 1, 8, 8, 1, 1, 8, 8}}}
	rgb, w, h, err := grey.Thumbnail(0, 2)
	if want := []byte{3, 3, 3, 9, 9, 9, 1, 1, 1, 8, 8, 8}; err != nil || w != 2 || h != 2 || !bytes.Equal(rgb, want) {
		t.Errorf("%v of %d × %d, %v; want %v", rgb, w, h, err, want)
	}
	colour := &Dataset{Shape: arch.Shape{Height: 1, Width: 2, Channels: 3}, Test: Split{Labels: []int32{0},
		Images: []byte{1, 2, 3, 4, 5, 6}}}
	rgb, w, h, err = colour.Thumbnail(0, 64)
	if err != nil || w != 2 || h != 1 || !bytes.Equal(rgb, colour.Test.Images) {
		t.Errorf("%v of %d × %d, %v", rgb, w, h, err)
	}
}
