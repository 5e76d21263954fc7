package ablations

import (
	"slices"

	"ablate/strictyaml"
)

// Words of a recipe. The default of each is the empty string, however it is
// written, so that a recipe which says the default is the same as one that does not.
type (
	// A ColourSpace is what a pixel's numbers mean, each from 0 to 255.
	ColourSpace string
	// CropAt is where training crops lie.
	CropAt string
	// ColourScale is what the draws of PCAColour are multiplied by.
	ColourScale string
	// Views is what of a test image is shown.
	Views string
)

// The words.
const (
	RGB   ColourSpace = ""
	Grey  ColourSpace = "grey"  // one channel, the luma of JPEG (ITU-R BT.601)
	HSV   ColourSpace = "hsv"   // hue with 256 to the full circle, saturation, value
	YCbCr ColourSpace = "ycbcr" // JPEG's: full range, ITU-R BT.601

	CropRandom CropAt = ""
	CropCentre CropAt = "centre"

	SqrtEigenvalue ColourScale = ""
	Eigenvalue     ColourScale = "eigenvalue"

	CentreView Views = ""
	TenViews   Views = "ten"
)

// UnmarshalStrict reads rgb, grey, hsv or ycbcr.
func (c *ColourSpace) UnmarshalStrict(n *strictyaml.Node) error {
	return word(n, c, "colour space", "rgb", string(Grey), string(HSV), string(YCbCr))
}

// UnmarshalStrict reads random or centre.
func (c *CropAt) UnmarshalStrict(n *strictyaml.Node) error {
	return word(n, c, "place of crops", "random", string(CropCentre))
}

// UnmarshalStrict reads sqrt_eigenvalue or eigenvalue.
func (c *ColourScale) UnmarshalStrict(n *strictyaml.Node) error {
	return word(n, c, "scale of colours", "sqrt_eigenvalue", string(Eigenvalue))
}

// UnmarshalStrict reads centre or ten.
func (v *Views) UnmarshalStrict(n *strictyaml.Node) error {
	return word(n, v, "kind of views", "centre", string(TenViews))
}

// word reads one of the known words, of which the first is the default.
func word[T ~string](n *strictyaml.Node, into *T, what string, known ...string) error {
	var text string
	if err := n.Decode(&text); err != nil {
		return err
	}
	if !slices.Contains(known, text) {
		return strictyaml.Unknown(n, what, text, known)
	}
	if *into = T(text); text == known[0] {
		*into = ""
	}
	return nil
}
