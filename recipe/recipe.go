// Package recipe holds everything that determines a training run except its seed: the net, the data
// and the training. It checks recipes and describes how two of them differ.
package recipe

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"ablate/arch"
	"ablate/strictyaml"
)

// A Recipe is everything that determines a training run except the seed: a net with its data and
// its training, or a user's program with its params. A run that was imported has only params.
type Recipe struct {
	Net     *arch.Net `yaml:"net" json:"net,omitempty"`
	Data    Data      `yaml:"data" json:"data,omitzero"`
	Train   Train     `yaml:"train" json:"train,omitzero"`
	Trainer *Trainer  `yaml:"trainer" json:"trainer,omitempty"`
	Params  Params    `yaml:"params" json:"params,omitzero"`
}

// Data selects the images that a run sees, and says how they are prepared.
type Data struct {
	// the data set; `ablate data list` names them
	Name string `yaml:"name" json:"name" required:"true" example:"cifar10"`
	// the folder or archive that holds it; its place does not change the result
	Root string `yaml:"root" json:"root" example:"${ABLATE_DATA}/cifar-10-batches-bin"`
	// the classes to use, by name, numbered in this order; by default all
	Classes []string `yaml:"classes" json:"classes,omitempty" items:"100000" example:"[cat, dog]"`
	// how many training images to use, from the first on; 0 means all. For shapes: how many to draw
	Train int `yaml:"train" json:"train" min:"0" max:"1e9" unit:"images" example:"50000"`
	// how many test images to use, from the first on; 0 means all. For shapes: how many to draw
	Test int `yaml:"test" json:"test" min:"0" max:"1e9" unit:"images" example:"10000"`
	// for image files that are not packed: the shorter side is resized to this length and the
	// centre is cut out. 0 with size 0 means 256
	ShortSide int `yaml:"short_side" json:"short_side,omitempty" min:"0" max:"16384" unit:"pixels" example:"256"`
	// for image files that are not packed: the whole image is stretched to this height and width
	Size int `yaml:"size" json:"size,omitempty" min:"0" max:"16384" unit:"pixels" example:"64"`
	// how many files without a usable image may be left out
	MaxSkipped int `yaml:"max_skipped" alias:"max_bad" json:"max_skipped,omitempty" min:"0" max:"1e9" unit:"files" example:"3"`
	// how many training images to hold out, from the end. The schedule then uses the error on them,
	// which is logged as validation_top1_error, instead of the test error
	Validation int `yaml:"validation" json:"validation,omitempty" min:"0" max:"1e9" unit:"images" example:"5000"`
	// which training images are held out: fixed, the last ones under every seed; or resampled,
	// drawn anew for each seed, and the same for every variant. The choice of these images is often
	// the largest part of the variation between runs
	Split HeldOut `yaml:"split" json:"split,omitempty" oneof:"fixed resampled" example:"resampled"`
	// the share of training images that get a wrong label, drawn from the seed
	LabelNoise float64 `yaml:"label_noise" json:"label_noise,omitempty" min:"0" max:"1" example:"0.1"`
	// the meaning of a pixel's numbers
	ColourSpace ColourSpace `yaml:"colour_space" json:"colour_space,omitempty" oneof:"rgb grey hsv ycbcr" example:"grey"`
	// what is subtracted: image (the mean of the training images, pixel by pixel), image_centre
	// (the centre of that image, wherever the crop is, as in the 2012 source), channel (one number
	// for each channel), none
	Mean string `yaml:"mean" json:"mean" oneof:"image image_centre channel none" example:"channel"`
	// multiplies pixels after the mean is subtracted; 1 keeps the range of 0 to 255, as in 2012
	Scale float64 `yaml:"scale" json:"scale" above:"0" max:"1e6" example:"0.0039"`
	// zero border added before a crop
	Pad int `yaml:"pad" json:"pad" min:"0" max:"16384" unit:"pixels" example:"4"`
	// side of the square crop; crop_at places it in training, test_crops at test. 0 means no crop
	Crop int `yaml:"crop" json:"crop" min:"0" max:"16384" unit:"pixels" example:"224"`
	// where crops are placed in training
	CropAt CropAt `yaml:"crop_at" json:"crop_at,omitempty" oneof:"random centre" example:"centre"`
	// how many images in a row share one crop and reflection (32 in the 2012 source); 0 means that
	// each has its own
	CropChunk int `yaml:"crop_chunk" json:"crop_chunk,omitempty" min:"0" max:"1e9" unit:"images" example:"32"`
	// mirror random training images left to right
	Flip bool `yaml:"flip" json:"flip" example:"true"`
	// shifts of the training images' colours
	PCAColour PCAColour `yaml:"pca_colour" json:"pca_colour,omitzero" example:"{std: 0.1}"`
	// training images show a random part of the stored image, resized to data.crop
	ResizedCrop ResizedCrop `yaml:"resized_crop" json:"resized_crop,omitzero" example:"{min_area: 0.08}"`
	// training images are cut out of the stored image after resizing it by a random factor
	MultiScale MultiScale `yaml:"multi_scale" json:"multi_scale,omitzero" example:"{from: 256, to: 512}"`
	// the largest angle by which training images are turned, in either direction, about their
	// centre
	Rotate float64 `yaml:"rotate" json:"rotate,omitempty" min:"0" max:"180" unit:"degrees" example:"15"`
	// random changes of the brightness, contrast and saturation of training images
	ColourJitter ColourJitter `yaml:"colour_jitter" json:"colour_jitter,omitzero" example:"{brightness: 0.4}"`
	// erases random rectangles of training images
	Erase Erase `yaml:"erase" json:"erase,omitzero" example:"{probability: 0.25}"`
	// side of a square that is erased from every training image, centred on a random pixel (DeVries
	// and Taylor 2017)
	Cutout int `yaml:"cutout" json:"cutout,omitempty" min:"0" max:"16384" unit:"pixels" example:"16"`
	// mixes training images in pairs, λ·x + (1 − λ)·x′, and their labels likewise; λ is drawn from
	// Beta(mixup, mixup) for each batch (Zhang et al. 2018). 0 turns it off
	Mixup float64 `yaml:"mixup" json:"mixup,omitempty" min:"0" max:"8" example:"0.2"`
	// replaces a rectangle of each training image by that of another, and the same share of its
	// label. The share that remains is drawn from Beta(cutmix, cutmix) for each batch (Yun et al.
	// 2019). 0 turns it off. With mixup, each batch gets one of the two
	CutMix float64 `yaml:"cutmix" json:"cutmix,omitempty" min:"0" max:"8" example:"1"`
	// the epochs at which kinds of augmentation end
	AugmentUntil AugmentUntil `yaml:"augment_until" alias:"noise_off" json:"augment_until,omitzero" example:"{flip: 60}"`
	// the crops of a test image: centre, or ten (the four corners, the centre and their
	// reflections, whose softmax outputs are averaged; the paper, section 4.1). Ten crops are used
	// after the last epoch; earlier epochs are tested on the centre
	TestCrops TestCrops `yaml:"test_crops" alias:"views" json:"test_crops,omitempty" oneof:"centre ten" example:"ten"`
}

// PCAColour shifts the colours of each training image along the principal components p_i of the
// training set's RGB values, with a new draw at every use (the paper, section 4.1):
//
//	x + [p1 p2 p3]·[α1·s1 α2·s2 α3·s3]ᵀ   α_i ~ N(0, std)
//
// The 2012 source uses s_i = √λ_i, the standard deviations, in grey levels. The paper says s_i =
// λ_i, the eigenvalues. That makes sense only for pixels from 0 to 1, so here it is λ_i/255 grey
// levels, which is 2 to 13 times less on ImageNet.
type PCAColour struct {
	// standard deviation of α; 0.1 in the paper, 0 means no shift
	Std float64 `yaml:"std" json:"std" min:"0" max:"1e6" example:"0.1"`
	// the factor of α: the square roots of the eigenvalues, as in the 2012 source, or the
	// eigenvalues
	Scale ColourScale `yaml:"scale" json:"scale,omitempty" oneof:"sqrt_eigenvalue eigenvalue" example:"eigenvalue"`
	// afterwards divide the training image by 1 + std, as the 2012 source does
	Shrink bool `yaml:"shrink" json:"shrink,omitempty" example:"true"`
}

// AugmentUntil says from which epoch, counted from 0, each kind of augmentation is left out; 0
// means never. The runs of 2012 trained their last 25 epochs without colour shifts
// (layer-params-145.cfg).
type AugmentUntil struct {
	// from this epoch on, crops are the centre
	Crop int `yaml:"crop" json:"crop,omitempty" min:"0" max:"1e9" unit:"epochs" example:"65"`
	// from this epoch on, no reflections
	Flip int `yaml:"flip" json:"flip,omitempty" min:"0" max:"1e9" unit:"epochs" example:"65"`
	// from this epoch on, no colour shifts
	PCAColour int `yaml:"pca_colour" json:"pca_colour,omitempty" min:"0" max:"1e9" unit:"epochs" example:"65"`
	// from this epoch on, crops are cut out of the stored image without resizing
	ResizedCrop int `yaml:"resized_crop" json:"resized_crop,omitempty" min:"0" max:"1e9" unit:"epochs" example:"80"`
	// from this epoch on, crops are cut out of the stored image at its own scale
	MultiScale int `yaml:"multi_scale" json:"multi_scale,omitempty" min:"0" max:"1e9" unit:"epochs" example:"80"`
	// from this epoch on, images are upright
	Rotate int `yaml:"rotate" json:"rotate,omitempty" min:"0" max:"1e9" unit:"epochs" example:"80"`
	// from this epoch on, no changes of brightness, contrast and saturation
	ColourJitter int `yaml:"colour_jitter" json:"colour_jitter,omitempty" min:"0" max:"1e9" unit:"epochs" example:"80"`
	// from this epoch on, nothing is erased
	Erase int `yaml:"erase" json:"erase,omitempty" min:"0" max:"1e9" unit:"epochs" example:"80"`
	// from this epoch on, nothing is cut out
	Cutout int `yaml:"cutout" json:"cutout,omitempty" min:"0" max:"1e9" unit:"epochs" example:"80"`
	// from this epoch on, no mixup
	Mixup int `yaml:"mixup" json:"mixup,omitempty" min:"0" max:"1e9" unit:"epochs" example:"80"`
	// from this epoch on, no cutmix
	CutMix int `yaml:"cutmix" json:"cutmix,omitempty" min:"0" max:"1e9" unit:"epochs" example:"80"`
}

// Train says how the weights are learned (the paper, section 5).
type Train struct {
	// the number of images in a step
	Batch int `yaml:"batch" json:"batch" min:"1" max:"1048576" unit:"images" example:"128"`
	// the number of passes over the training images; 0 evaluates the weights of init without
	// training
	Epochs int `yaml:"epochs" json:"epochs" min:"0" max:"1e9" unit:"epochs" example:"90"`
	// initial weights from a file, instead of drawing them from the seed
	Init Init `yaml:"init" json:"init,omitzero" example:"{from: runs/pretrained/baseline/seed-1, except: [fc8]}"`
	// the learning rate of the first epoch
	LR float64 `yaml:"lr" json:"lr" above:"0" example:"0.01"`
	// the share of the last update that the next one keeps
	Momentum float64 `yaml:"momentum" json:"momentum" min:"0" below:"1" example:"0.9"`
	// how gradients become steps: sgd, nesterov, rmsprop, adagrad, adam, adamw or lars
	Optimizer Optimizer `yaml:"optimizer" json:"optimizer,omitzero" example:"adam"`
	// each step reduces a weight by this share, times the learning rate. Biases and norms do not
	// decay unless decay_biases, decay_norms or a layer's decay_factor says so
	WeightDecay float64 `yaml:"weight_decay" json:"weight_decay" min:"0" max:"1e6" example:"0.0005"`
	// an L1 penalty: adds l1·sign(w) to the gradient, wherever weight decay acts
	L1 float64 `yaml:"l1" json:"l1,omitempty" min:"0" max:"1e6" example:"0.0001"`
	// apply weight decay and L1 to biases as well
	DecayBiases bool `yaml:"decay_biases" json:"decay_biases,omitempty" example:"true"`
	// apply weight decay and L1 to the scales and shifts of norms as well
	DecayNorms bool `yaml:"decay_norms" json:"decay_norms,omitempty" example:"true"`
	// the largest norm of all gradients together; longer gradients are scaled down to it. 0 means
	// no limit
	ClipNorm float64 `yaml:"clip_norm" json:"clip_norm,omitempty" min:"0" max:"1e30" example:"1"`
	// the share of every training label that is spread evenly over all classes
	LabelSmoothing float64 `yaml:"label_smoothing" json:"label_smoothing,omitempty" min:"0" below:"1" example:"0.1"`
	// keeps an average of the weights: at every step, ema·average + (1 − ema)·weights, starting
	// from the weights after the first step. The average is what is evaluated and stored; 0 turns
	// it off
	EMA float64 `yaml:"ema" json:"ema,omitempty" min:"0" below:"1" example:"0.999"`
	// stop when the error on the held-out images has not fallen for this many epochs; 0 means
	// never. It needs data.validation
	EarlyStopping int `yaml:"early_stopping" json:"early_stopping,omitempty" min:"0" max:"1e9" unit:"epochs" example:"10"`
	// how the learning rate changes
	Schedule Schedule `yaml:"schedule" json:"schedule" example:"{kind: step, at: [30, 60]}"`
	// the biases' own learning rate
	Bias Bias `yaml:"bias" json:"bias,omitzero" example:"{lr: 0.02}"`
	// factors for the learning rates of single layers, each from an epoch on
	LayerRates []LayerRate `yaml:"layer_rates" json:"layer_rates,omitempty" items:"4096" example:"[{layer: conv1, from: 10}]"`
	// cut each batch into this many equal parts, a power of 2, and add their mean gradients in
	// pairs. This is gradient accumulation: only one part's activations are in memory at a time,
	// and several devices can share the parts. The result depends on the number of parts, but not
	// on the number of devices; batch norms use the statistics of a part. 0 leaves batches whole
	MicroBatches int `yaml:"micro_batches" alias:"chunks" json:"micro_batches,omitempty" min:"0" max:"65536" example:"4"`
	// added to every seed, so that the same recipe trains under other seeds, as in `ablate run
	// --aa`
	SeedOffset int `yaml:"seed_offset" json:"seed_offset,omitempty" min:"0" max:"1e9" example:"1000000"`
	// from this epoch on, counted from 0, dropout layers act as in evaluation; 0 means never
	DropoutUntil int `yaml:"dropout_until" alias:"dropout_off" json:"dropout_until,omitempty" min:"0" max:"1e9" unit:"epochs" example:"80"`
	// the number format of products: float32, or tf32 or bf16, which are faster on a GPU
	Precision Precision `yaml:"precision" json:"precision,omitempty" oneof:"float32 tf32 bf16" example:"bf16"`
}

// Bias is the biases' own learning rate, if they have one (epsB of the 2012 source). A layer's
// lr_factor multiplies it.
type Bias struct {
	// the learning rate of the first epoch; 0 means that of the weights
	LR float64 `yaml:"lr" json:"lr" min:"0" example:"0.02"`
	// how it changes, by any kind but plateau; by default it falls like the weights'
	Schedule Schedule `yaml:"schedule" json:"schedule,omitzero" example:"{kind: step, at: [30]}"`
}

// UnmarshalStrict reads a bias rate, starting from the defaults of a schedule.
func (b *Bias) UnmarshalStrict(n *strictyaml.Node) error {
	if n.Get("schedule") != nil {
		b.Schedule = Defaults().Train.Schedule
	}
	type plain Bias
	return n.Decode((*plain)(b))
}

// A LayerRate multiplies a layer's learning rate by a factor from an epoch on, until the layer's
// next entry. A factor of 0 freezes the layer: its weights, biases and momentum stay as they are.
type LayerRate struct {
	// a layer with weights
	Layer string `yaml:"layer" json:"layer" required:"true" example:"conv1"`
	// the epoch, counted from 0
	From int `yaml:"from" json:"from" min:"0" max:"1e9" unit:"epochs" example:"10"`
	// multiplies the layer's learning rate
	Factor float64 `yaml:"factor" json:"factor" min:"0" max:"1e6" example:"0.1"`
}

// Schedule says how the learning rate changes. These kinds change it between epochs:
//
//	constant
//	step         multiply by factor at the start of each epoch in at (counted from 0)
//	plateau      multiply by factor when the error has not fallen for patience epochs, at most drops times
//	             (the error on the validation images if there are any, on the test images otherwise)
//	discrete_exp cuda-convnet's dexp: divide by target^(1/(steps−1)) at each 1/steps of training,
//	             rounded up to whole epochs, so that it ends at lr/target
//
// These change it at every step; p is the share of training that is done:
//
//	linear       lr·(1 − p)
//	poly         lr·(1 − p)^power
//	exp          lr·target^−p
//	cosine       floor + (lr − floor)·(1 + cos πp)/2
//
// With a warm-up, the rate first rises evenly from warmup_from·lr to lr, for any kind. The kinds
// that change at every step then run over the rest of training; the other kinds count epochs from
// the start.
type Schedule struct {
	// the kind
	Kind string `yaml:"kind" json:"kind" oneof:"constant step plateau discrete_exp linear poly exp cosine" example:"step"`
	// step: the epochs, in rising order
	At []int `yaml:"at" json:"at,omitempty" min:"0" max:"1e9" items:"10000" unit:"epochs" example:"[30, 60]"`
	// step, plateau: the factor of each fall
	Factor float64 `yaml:"factor" json:"factor,omitempty" above:"0" below:"1" example:"0.1"`
	// plateau: how many epochs without a lower error before the rate falls
	Patience int `yaml:"patience" json:"patience,omitempty" min:"1" max:"1e9" unit:"epochs" example:"5"`
	// plateau: how often the rate may fall (the paper, section 5: "reduced three times")
	Drops int `yaml:"drops" json:"drops,omitempty" min:"0" max:"10000" example:"3"`
	// discrete_exp, exp: the quotient of the first and the last rate; above 1
	Target float64 `yaml:"target" json:"target,omitempty" min:"0" max:"1e30" example:"250"`
	// poly: the exponent; above 0
	Power float64 `yaml:"power" json:"power,omitempty" min:"0" max:"1000" example:"0.5"`
	// discrete_exp: the number of stretches of training with one rate each
	Steps int `yaml:"steps" json:"steps,omitempty" min:"2" max:"10000" example:"4"`
	// cosine: the last rate
	Floor float64 `yaml:"floor" json:"floor,omitempty" min:"0" max:"1e6" example:"0.0001"`
	// how many epochs, or which part of one, the rate rises; 0 means none
	Warmup float64 `yaml:"warmup" json:"warmup,omitempty" min:"0" max:"1e9" unit:"epochs" example:"5"`
	// the share of lr at which a warm-up starts; 0 means 0.01
	WarmupFrom float64 `yaml:"warmup_from" json:"warmup_from,omitempty" min:"0" max:"1" example:"0.1"`
}

// Defaults returns the values that a study need not write.
func Defaults() Recipe {
	return Recipe{
		Data: Data{Mean: "image", Scale: 1},
		Train: Train{
			Epochs: -1, Momentum: 0.9, Schedule: Schedule{Kind: "constant", Factor: 0.1, Patience: 5, Drops: 3, Steps: 4},
		},
	}
}

// Decode reads the JSON of a recipe from a run's record. It also understands the key names of
// format 1.
func Decode(text []byte) (Recipe, error) {
	var r Recipe
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(text, &sections); err != nil {
		return r, fmt.Errorf("recipe: %w", err)
	}
	for section, t := range map[string]reflect.Type{"data": reflect.TypeFor[Data](), "train": reflect.TypeFor[Train]()} {
		var keys map[string]json.RawMessage
		if json.Unmarshal(sections[section], &keys) != nil {
			continue // reported below
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
	if err == nil && r.Net == nil && r.Params == nil {
		err = errors.New("it has neither a net nor params")
	}
	if err != nil {
		return r, fmt.Errorf("recipe: %w", err)
	}
	return r, nil
}

// Clone returns a deep copy.
func (r Recipe) Clone() Recipe {
	if r.Net != nil {
		r.Net = r.Net.Clone()
	}
	r.Data.Classes = slices.Clone(r.Data.Classes)
	r.Train.Schedule.At = slices.Clone(r.Train.Schedule.At)
	r.Train.Bias.Schedule.At = slices.Clone(r.Train.Bias.Schedule.At)
	r.Train.LayerRates = slices.Clone(r.Train.LayerRates)
	r.Train.Init.Except = slices.Clone(r.Train.Init.Except)
	if r.Trainer != nil {
		t := *r.Trainer
		t.Command, t.Setup, t.Env = slices.Clone(t.Command), slices.Clone(t.Setup), maps.Clone(t.Env)
		r.Trainer = &t
	}
	r.Params = r.Params.clone()
	return r
}

// Identity returns the SHA-256 of the recipe's JSON, without what cannot change the result: where
// the data is, the net's title, how long a program may take.
func (r Recipe) Identity() (string, error) {
	r.Data.Root = ""
	if r.Trainer != nil {
		r.Trainer = r.Trainer.programIdentity()
	}
	text, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("identity of a recipe: %w", err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text)), nil
}
