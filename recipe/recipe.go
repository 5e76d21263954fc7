// Package recipe holds all that determines a training run but its seed: the
// net, the data and the training, what is valid, and what differs between two.
package recipe

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"ablate/arch"
	"ablate/strictyaml"
)

// A Recipe is all that determines a training run but the seed.
type Recipe struct {
	Net   *arch.Net `yaml:"net" json:"net"`
	Data  Data      `yaml:"data" json:"data"`
	Train Train     `yaml:"train" json:"train"`
}

// Data says which images a run sees and how they are prepared.
type Data struct {
	Name  string `yaml:"name" json:"name"`   // ablate data list names them
	Root  string `yaml:"root" json:"root"`   // folder or archive; where it lies does not change the result
	Train int    `yaml:"train" json:"train"` // training images to use, 0 means all (for shapes: how many are drawn)
	Test  int    `yaml:"test" json:"test"`   // likewise
	// How image files become squares, where they are trained on without packing them. One of the two; both 0 means short_side: 256.
	ShortSide int `yaml:"short_side" json:"short_side,omitempty"` // the shorter side gets this length, the centre is cut out
	Size      int `yaml:"size" json:"size,omitempty"`             // the whole image is stretched to this height and width
	MaxBad    int `yaml:"max_bad" json:"max_bad,omitempty"`       // files without a usable image that may be left out
	// Validation holds out so many of the training images, the last ones. The schedule then looks at the
	// error on them, which is logged as validation_top1_error, instead of the test error.
	Validation  int         `yaml:"validation" json:"validation,omitempty"`
	LabelNoise  float64     `yaml:"label_noise" json:"label_noise,omitempty"`   // share of the training images that carry a wrong label, drawn from the seed
	ColourSpace ColourSpace `yaml:"colour_space" json:"colour_space,omitempty"` // rgb (default), grey, hsv, ycbcr
	// Mean is what is subtracted: image (the per-pixel mean of the training set; default), image_centre
	// (the middle of that, wherever the crop lies, as in the 2012 source), channel, none.
	Mean         string       `yaml:"mean" json:"mean"`
	Scale        float64      `yaml:"scale" json:"scale"`                     // multiplies after the mean is subtracted; default 1 (pixels 0..255, as in 2012)
	Pad          int          `yaml:"pad" json:"pad"`                         // zero border added before a crop
	Crop         int          `yaml:"crop" json:"crop"`                       // square crop, 0 means none; in training where CropAt says, at test where TestCrops says
	CropAt       CropAt       `yaml:"crop_at" json:"crop_at,omitempty"`       // random (default), centre
	CropChunk    int          `yaml:"crop_chunk" json:"crop_chunk,omitempty"` // so many images in a row share one crop and flip (32 in the 2012 source); 0 means each has its own
	Flip         bool         `yaml:"flip" json:"flip"`                       // horizontal reflections in training
	PCAColour    PCAColour    `yaml:"pca_colour" json:"pca_colour,omitzero"`
	AugmentUntil AugmentUntil `yaml:"augment_until" alias:"noise_off" json:"augment_until,omitzero"`
	// TestCrops is what of a test image is shown: centre (default), or ten: the four corners, the centre and their
	// reflections, whose softmax outputs are averaged (paper, section 4.1). Ten are shown after the last epoch;
	// the epochs before are tested on the centre.
	TestCrops TestCrops `yaml:"test_crops" alias:"views" json:"test_crops,omitempty"`
}

// PCAColour shifts the colours of each training image along the principal
// components p_i of the training set's RGB values, anew at every use (paper, section 4.1):
//
//	x + [p1 p2 p3]·[α1·s1 α2·s2 α3·s3]ᵀ   α_i ~ N(0, Std)
//
// The 2012 source takes s_i = √λ_i, the standard deviations, in grey levels. The
// text says s_i = λ_i, the eigenvalues; that makes sense for pixels from 0 to 1
// alone, so it is λ_i/255 grey levels here, 2 to 13 times less on ImageNet.
type PCAColour struct {
	Std    float64     `yaml:"std" json:"std"`                 // of α; 0.1 in the paper, 0 means no shift
	Scale  ColourScale `yaml:"scale" json:"scale,omitempty"`   // sqrt_eigenvalue (default), eigenvalue
	Shrink bool        `yaml:"shrink" json:"shrink,omitempty"` // divide the training image by 1 + Std afterwards, as the 2012 source does
}

// AugmentUntil says from which epoch on, counted from 0, each kind of noise is left
// out; 0 means never. The runs of 2012 trained their last 25 epochs without
// colour noise (layer-params-145.cfg).
type AugmentUntil struct {
	Crop      int `yaml:"crop" json:"crop,omitempty"` // the centre from then on
	Flip      int `yaml:"flip" json:"flip,omitempty"`
	PCAColour int `yaml:"pca_colour" json:"pca_colour,omitempty"`
}

// Train is how the weights are learned (paper, section 5).
type Train struct {
	Batch       int      `yaml:"batch" json:"batch"`
	Epochs      int      `yaml:"epochs" json:"epochs"`
	LR          float64  `yaml:"lr" json:"lr"`
	Momentum    float64  `yaml:"momentum" json:"momentum"`
	WeightDecay float64  `yaml:"weight_decay" json:"weight_decay"`
	Schedule    Schedule `yaml:"schedule" json:"schedule"`
	Bias        Bias     `yaml:"bias" json:"bias,omitzero"`
	// LayerRates changes the learning rate of single layers from an epoch on.
	LayerRates []LayerRate `yaml:"layer_rates" json:"layer_rates,omitempty"`
	// Chunks cuts every batch into so many equal parts, a power of 2, whose mean
	// gradients are added in pairs: several devices can share them, and the result
	// depends on the number of chunks but not of devices. 0 leaves batches whole.
	// A batch norm's statistics are a chunk's.
	MicroBatches int       `yaml:"micro_batches" alias:"chunks" json:"micro_batches,omitempty"`
	DropoutUntil int       `yaml:"dropout_until" alias:"dropout_off" json:"dropout_until,omitempty"` // from this epoch on, counted from 0, dropout layers act as in evaluation; 0 means never
	Precision    Precision `yaml:"precision" json:"precision,omitempty"`                             // of products: float32 (default), tf32 or bf16, which a GPU forms faster
}

// Bias is the biases' own learning rate, where they have one (epsB of the 2012
// source). A layer's lr_factor multiplies it.
type Bias struct {
	LR       float64  `yaml:"lr" json:"lr"`                      // 0 means the weights'
	Schedule Schedule `yaml:"schedule" json:"schedule,omitzero"` // none means that it falls as the weights' does; not plateau
}

// UnmarshalStrict reads a bias rate on top of the defaults of a schedule.
func (b *Bias) UnmarshalStrict(n *strictyaml.Node) error {
	if n.Get("schedule") != nil {
		b.Schedule = Defaults().Train.Schedule
	}
	type plain Bias
	return n.Decode((*plain)(b))
}

// A LayerRate multiplies a layer's learning rate by Factor from epoch From on,
// counted from 0, until the layer's next entry. A factor of 0 freezes the layer:
// weights, biases and momentum stay as they are.
type LayerRate struct {
	Layer  string  `yaml:"layer" json:"layer"`
	From   int     `yaml:"from" json:"from"`
	Factor float64 `yaml:"factor" json:"factor"`
}

// Schedule is how the learning rate changes. Kinds:
//
//	constant
//	step         multiply by Factor at the start of each epoch in At (counted from 0)
//	plateau      multiply by Factor when the error has not fallen for Patience epochs, at most Drops times
//	             (the error on the validation images if there are any, on the test images otherwise)
//	discrete_exp cuda-convnet's dexp: divide by Target^(1/(Steps-1)) at each 1/Steps of training, rounded up to whole epochs, so that it ends at lr/Target
//
// and, changing at every step, p being the share of training that is done:
//
//	linear       lr·(1 − p)
//	poly         lr·(1 − p)^Power
//	exp          lr·Target^−p
type Schedule struct {
	Kind     string  `yaml:"kind" json:"kind"`
	At       []int   `yaml:"at" json:"at,omitempty"`
	Factor   float64 `yaml:"factor" json:"factor,omitempty"`     // default 0.1
	Patience int     `yaml:"patience" json:"patience,omitempty"` // default 5
	Drops    int     `yaml:"drops" json:"drops,omitempty"`       // default 3 (paper, section 5: "reduced three times")
	Target   float64 `yaml:"target" json:"target,omitempty"`
	Power    float64 `yaml:"power" json:"power,omitempty"`
	Steps    int     `yaml:"steps" json:"steps,omitempty"` // default 4
}

// Defaults are what a study need not write.
func Defaults() Recipe {
	return Recipe{
		Data:  Data{Mean: "image", Scale: 1},
		Train: Train{Momentum: 0.9, Schedule: Schedule{Kind: "constant", Factor: 0.1, Patience: 5, Drops: 3, Steps: 4}},
	}
}

// Decode reads the JSON of a recipe as a run's record stores it, and knows the
// names that keys had in records of format 1.
func Decode(text []byte) (Recipe, error) {
	var r Recipe
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(text, &sections); err != nil {
		return r, fmt.Errorf("recipe: %w", err)
	}
	for section, t := range map[string]reflect.Type{"data": reflect.TypeFor[Data](), "train": reflect.TypeFor[Train]()} {
		var keys map[string]json.RawMessage
		if json.Unmarshal(sections[section], &keys) != nil {
			continue // the error is told below
		}
		for i := range t.NumField() {
			tag := t.Field(i).Tag
			old, isOld := keys[tag.Get("alias")]
			if !isOld {
				continue
			}
			delete(keys, tag.Get("alias"))
			keys[tag.Get("yaml")] = old
		}
		renamed, err := json.Marshal(keys)
		if err != nil {
			return r, fmt.Errorf("recipe: %w", err)
		}
		sections[section] = renamed
	}
	renamed, err := json.Marshal(sections)
	if err == nil {
		err = json.Unmarshal(renamed, &r)
	}
	if err != nil {
		return r, fmt.Errorf("recipe: %w", err)
	}
	return r, nil
}

// Clone is a deep copy.
func (r Recipe) Clone() Recipe {
	if r.Net != nil {
		r.Net = r.Net.Clone()
	}
	r.Train.Schedule.At = slices.Clone(r.Train.Schedule.At)
	r.Train.Bias.Schedule.At = slices.Clone(r.Train.Bias.Schedule.At)
	r.Train.LayerRates = slices.Clone(r.Train.LayerRates)
	return r
}

// Identity is the SHA-256 of the recipe's JSON without what cannot change the result: where the data lies, the net's title.
func (r Recipe) Identity() (string, error) {
	r.Data.Root = ""
	text, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("identity of a recipe: %w", err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text)), nil
}

// SameAs says whether a stored recipe, the JSON in a run's record, is this one:
// whether both have the same identity once the names that keys had when it was
// recorded are read as today's.
func SameAs(stored []byte, r Recipe) (bool, error) {
	old, err := Decode(stored)
	if err != nil {
		return false, err
	}
	was, err := old.Identity()
	if err != nil {
		return false, err
	}
	is, err := r.Identity()
	return was == is, err
}
