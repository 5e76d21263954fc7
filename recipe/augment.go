package recipe

import (
	"cmp"
	"fmt"
)

// ResizedCrop shows a rectangle of random area, shape and place of each training image, resized to
// data.crop by bilinear interpolation (Szegedy et al. 2015, as in torchvision's RandomResizedCrop).
type ResizedCrop struct {
	// the smallest share of the stored image that is shown; 0 turns resizing off
	MinArea float64 `yaml:"min_area" json:"min_area" min:"0" max:"1" example:"0.08"`
	// the largest ratio of width to height, or of height to width; 0 means 4/3
	MaxRatio float64 `yaml:"max_ratio" json:"max_ratio,omitempty" min:"0" max:"100" example:"1.33"`
}

// Ratio returns the largest ratio of the sides.
func (r ResizedCrop) Ratio() float64 { return cmp.Or(r.MaxRatio, 4.0/3) }

// MultiScale resizes each training image so that its shorter side has a random length, and cuts
// data.crop out of it at a random place (Simonyan and Zisserman 2015, section 3.1).
type MultiScale struct {
	// the shortest length of the shorter side
	From int `yaml:"from" json:"from" min:"0" max:"16384" unit:"pixels" example:"256"`
	// the longest length of the shorter side; 0 turns resizing off
	To int `yaml:"to" json:"to" min:"0" max:"16384" unit:"pixels" example:"512"`
}

// ColourJitter multiplies the brightness, contrast and saturation of each training image, in this
// order, by random factors between 1 − x and 1 + x, where x is the value of the key.
type ColourJitter struct {
	// the largest change of brightness
	Brightness float64 `yaml:"brightness" json:"brightness,omitempty" min:"0" max:"100" example:"0.4"`
	// the largest change of contrast, the distance from the image's mean grey
	Contrast float64 `yaml:"contrast" json:"contrast,omitempty" min:"0" max:"100" example:"0.4"`
	// the largest change of saturation, the distance from each pixel's grey
	Saturation float64 `yaml:"saturation" json:"saturation,omitempty" min:"0" max:"100" example:"0.4"`
}

// Erase fills a rectangle of random area, shape and place with the mean's colour (Zhong et al.
// 2017, as in torchvision's RandomErasing).
type Erase struct {
	// the share of training images that lose a rectangle
	Probability float64 `yaml:"probability" json:"probability" min:"0" max:"1" example:"0.25"`
	// the smallest share of the image that is erased; 0 means 0.02
	MinArea float64 `yaml:"min_area" json:"min_area,omitempty" min:"0" max:"1" example:"0.02"`
	// the largest share of the image that is erased; 0 means 0.33
	MaxArea float64 `yaml:"max_area" json:"max_area,omitempty" min:"0" max:"1" example:"0.33"`
	// the largest ratio of the rectangle's sides; 0 means 3.3
	MaxRatio float64 `yaml:"max_ratio" json:"max_ratio,omitempty" min:"0" max:"100" example:"3.3"`
}

// From returns the smallest share of an image that is erased.
func (e Erase) From() float64 { return cmp.Or(e.MinArea, 0.02) }

// To returns the largest share of an image that is erased.
func (e Erase) To() float64 { return cmp.Or(e.MaxArea, 0.33) }

// Ratio returns the largest ratio of the rectangle's sides.
func (e Erase) Ratio() float64 { return cmp.Or(e.MaxRatio, 3.3) }

// In returns the data of an epoch, counted from 0: without the augmentations that have ended before it.
func (d Data) In(epoch int) Data {
	until := d.AugmentUntil
	for _, a := range []struct {
		until int
		end   func()
	}{
		{until.Crop, func() { d.CropAt = CropCentre }},
		{until.Flip, func() { d.Flip = false }},
		{until.PCAColour, func() { d.PCAColour = PCAColour{} }},
		{until.ResizedCrop, func() { d.ResizedCrop = ResizedCrop{} }},
		{until.MultiScale, func() { d.MultiScale = MultiScale{} }},
		{until.Rotate, func() { d.Rotate = 0 }},
		{until.ColourJitter, func() { d.ColourJitter = ColourJitter{} }},
		{until.Erase, func() { d.Erase = Erase{} }},
		{until.Cutout, func() { d.Cutout = 0 }},
		{until.Mixup, func() { d.Mixup = 0 }},
		{until.CutMix, func() { d.CutMix = 0 }},
	} {
		if a.until > 0 && epoch >= a.until {
			a.end()
		}
	}
	return d
}

// Mixes reports whether training images are mixed in pairs.
func (d Data) Mixes() bool { return d.Mixup > 0 || d.CutMix > 0 }

// SoftTargets reports whether a training image may belong to several classes, in shares.
func (r Recipe) SoftTargets() bool { return r.Train.LabelSmoothing > 0 || r.Data.Mixes() }

// augmentRules returns the rules for augmentations.
func (d Data) augmentRules() []rule {
	resized := ""
	switch {
	case d.ResizedCrop.MinArea > 0:
		resized = "data.resized_crop"
	case d.MultiScale.To > 0:
		resized = "data.multi_scale"
	}
	short := func(ratio float64) bool { return ratio != 0 && ratio < 1 }
	m, e := d.MultiScale, d.Erase
	return []rule{
		{d.ResizedCrop.MinArea > 0 && m.To > 0, "data.multi_scale", "and data.resized_crop exclude each other"},
		{resized != "" && d.Crop == 0, resized, "resizes to data.crop; set it"},
		{resized != "" && d.CropAt != CropRandom, "data.crop_at", "says where crops lie; " + resized + " draws that itself"},
		{resized != "" && d.CropChunk > 1, "data.crop_chunk", "shares crops; " + resized + " draws one for each image"},
		{resized != "" && d.Pad > 0, "data.pad", "adds a border, which " + resized + " never shows"},
		{m.To < m.From || m.To > 0 && m.From < d.Crop, "data.multi_scale",
			fmt.Sprintf("is from %d to %d; it must rise, from data.crop %d or more", m.From, m.To, d.Crop)},
		{short(d.ResizedCrop.MaxRatio), "data.resized_crop.max_ratio", "must be 1 or more"},
		{short(e.MaxRatio), "data.erase.max_ratio", "must be 1 or more"},
		{e.From() > e.To(), "data.erase.min_area", fmt.Sprintf("is %v, above the largest area %v", e.From(), e.To())},
		{(resized != "" || d.Rotate > 0) && d.Mean == "image_centre", "data.mean",
			"is image_centre; images that are turned or resized lose the mean of what they show. Use image or channel"},
		{d.ColourJitter != ColourJitter{} && d.ColourSpace != RGB, "data.colour_jitter",
			fmt.Sprintf("changes RGB colours; data.colour_space is %s", d.ColourSpace)},
	}
}

// unreadOfAugment lists the keys of augmentations that are off in a training of this many epochs.
func (d Data) unreadOfAugment(epochs int) []unread {
	erases := d.Erase.Probability > 0
	never := "data.erase.probability is 0"
	list := []unread{
		{"data.resized_crop.max_ratio", d.ResizedCrop.MinArea == 0, "data.resized_crop.min_area is 0"},
		{"data.erase.min_area", !erases, never},
		{"data.erase.max_area", !erases, never},
		{"data.erase.max_ratio", !erases, never},
	}
	until, moves := d.AugmentUntil, d.Crop > 0 && d.CropAt == CropRandom
	for _, a := range []struct {
		kind  string
		until int
		off   bool
		why   string
	}{
		{"crop", until.Crop, !moves, "no crop moves; data.crop and data.crop_at say so"},
		{"flip", until.Flip, !d.Flip, "data.flip is false"},
		{"pca_colour", until.PCAColour, d.PCAColour.Std == 0, "data.pca_colour.std is 0"},
		{"resized_crop", until.ResizedCrop, d.ResizedCrop.MinArea == 0, "data.resized_crop.min_area is 0"},
		{"multi_scale", until.MultiScale, d.MultiScale.To == 0, "data.multi_scale.to is 0"},
		{"rotate", until.Rotate, d.Rotate == 0, "data.rotate is 0"},
		{"colour_jitter", until.ColourJitter, d.ColourJitter == ColourJitter{}, "data.colour_jitter changes nothing"},
		{"erase", until.Erase, !erases, never},
		{"cutout", until.Cutout, d.Cutout == 0, "data.cutout is 0"},
		{"mixup", until.Mixup, d.Mixup == 0, "data.mixup is 0"},
		{"cutmix", until.CutMix, d.CutMix == 0, "data.cutmix is 0"},
	} {
		key := "data.augment_until." + a.kind
		list = append(list, unread{key, a.off, a.why},
			unread{key, a.until == 0 || a.until >= epochs, fmt.Sprintf("train.epochs is %d", epochs)})
	}
	return list
}
