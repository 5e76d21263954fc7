package recipe

import (
	"fmt"
	"slices"

	"ablate/strictyaml"
)

// Enumerations of a recipe. The default of each is stored as the empty string, so that a recipe
// that writes the default equals one that does not.
type (
	// A ColourSpace defines the meaning of a pixel's numbers, each from 0 to 255.
	ColourSpace string
	// A HeldOut selects the training images for validation.
	HeldOut string
	// CropAt is the place of training crops.
	CropAt string
	// ColourScale selects the factor for the draws of PCAColour.
	ColourScale string
	// TestCrops selects the crops of a test image.
	TestCrops string
	// A Precision is the number format of the operands in products of convolutions and dense
	// layers. Sums, weights and everything else are float32.
	Precision string
)

// The words of the enumerations.
const (
	RGB   ColourSpace = ""
	Grey  ColourSpace = "grey"  // one channel, the luma of JPEG (ITU-R BT.601)
	HSV   ColourSpace = "hsv"   // hue, where 256 is the full circle, saturation, value
	YCbCr ColourSpace = "ycbcr" // JPEG's: full range, ITU-R BT.601

	FixedSplit     HeldOut = ""
	ResampledSplit HeldOut = "resampled"

	CropRandom CropAt = ""
	CropCentre CropAt = "centre"

	SqrtEigenvalue ColourScale = ""
	Eigenvalue     ColourScale = "eigenvalue"

	CentreCrop TestCrops = ""
	TenCrop    TestCrops = "ten"

	Float32 Precision = ""
	TF32    Precision = "tf32" // 10 bits of mantissa
	BF16    Precision = "bf16" // 7 bits of mantissa; activations are also stored like this
)

// String returns the word that a user writes.
func (p Precision) String() string {
	if p == Float32 {
		return "float32"
	}
	return string(p)
}

// UnmarshalStrict reads rgb, grey, hsv or ycbcr.
func (c *ColourSpace) UnmarshalStrict(n *strictyaml.Node) error {
	return word(n, c, "colour space", "rgb", string(Grey), string(HSV), string(YCbCr))
}

// UnmarshalStrict reads fixed or resampled.
func (h *HeldOut) UnmarshalStrict(n *strictyaml.Node) error {
	return word(n, h, "split", "fixed", string(ResampledSplit))
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
func (v *TestCrops) UnmarshalStrict(n *strictyaml.Node) error {
	return word(n, v, "kind of test crops", "centre", string(TenCrop))
}

// UnmarshalStrict reads float32, tf32 or bf16.
func (p *Precision) UnmarshalStrict(n *strictyaml.Node) error {
	return word(n, p, "precision", Float32.String(), string(TF32), string(BF16))
}

// ParsePrecision reads a precision from a command line.
func ParsePrecision(text string) (Precision, error) {
	for _, p := range []Precision{Float32, TF32, BF16} {
		if text == p.String() {
			return p, nil
		}
	}
	return "", fmt.Errorf("unknown precision %q; want float32, tf32 or bf16", text)
}

// word reads one of the known words; the first is the default.
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
