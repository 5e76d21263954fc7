package recipe

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ablate/arch"
)

// A rule is something that must not be, and what to say then. Messages begin with the key.
type rule struct {
	bad bool
	msg string
}

// Validate refuses what cannot be trained. Messages begin with the key.
func (r Recipe) Validate() error {
	rules := append(r.Data.rules(), r.Train.rules()...)
	rules = append(rules, r.Train.Schedule.rules("train.schedule")...)
	if b := r.Train.Bias; b.Schedule.Kind != "" {
		rules = append(rules, b.Schedule.rules("train.bias.schedule")...)
	}
	for _, rule := range rules {
		if rule.bad {
			return errors.New(rule.msg)
		}
	}
	placed, err := r.Net.Infer()
	if err != nil {
		return err
	}
	return r.Train.layersExist(placed)
}

func (d Data) rules() []rule {
	return []rule{
		{d.Name == "", "data.name is missing: say which data set; ablate data list names them"},
		{d.Train < 0 || d.Test < 0, "data.train and data.test must not be negative"},
		{d.Validation < 0 || d.Train > 0 && d.Validation >= d.Train, fmt.Sprintf("data.validation is %d; it is how many of the training images are held out", d.Validation)},
		{d.LabelNoise < 0 || d.LabelNoise > 1, fmt.Sprintf("data.label_noise is %v; it is a share of the training images, 0 to 1", d.LabelNoise)},
		{!slices.Contains(means, d.Mean), fmt.Sprintf("data.mean is %q; known: %s", d.Mean, strings.Join(means, ", "))},
		{d.Mean == "image_centre" && d.Pad > 0, "data.mean is image_centre, which has no values for the border of data.pad; use image"},
		{d.Scale <= 0, fmt.Sprintf("data.scale is %v; it must be above 0", d.Scale)},
		{d.ShortSide < 0 || d.Size < 0 || d.ShortSide > 0 && d.Size > 0, "data.short_side and data.size must not be negative, and exclude each other"},
		{d.MaxBad < 0, "data.max_bad must not be negative"},
		{d.Pad < 0 || d.Crop < 0, "data.pad and data.crop must not be negative"},
		{d.CropAt != CropRandom && d.Crop == 0, "data.crop_at says where crops lie; set data.crop"},
		{d.CropChunk < 0, fmt.Sprintf("data.crop_chunk is %d; it is how many images share a crop and flip", d.CropChunk)},
		{d.PCAColour.Std < 0, fmt.Sprintf("data.pca_colour.std is %v; it must not be negative", d.PCAColour.Std)},
		{d.PCAColour.Std > 0 && d.ColourSpace != RGB, fmt.Sprintf("data.pca_colour shifts RGB colours; data.colour_space is %s", d.ColourSpace)},
		{d.AugmentUntil.Crop < 0 || d.AugmentUntil.Flip < 0 || d.AugmentUntil.PCAColour < 0, "data.augment_until lists epochs, which are not negative"},
		{d.TestCrops == TenCrop && d.Crop == 0, "data.test_crops is ten, which are crops; set data.crop"},
	}
}

var means = []string{"image", "image_centre", "channel", "none"}

func (t Train) rules() []rule {
	return []rule{
		{t.Batch < 1, fmt.Sprintf("train.batch is %d; at least 1 is needed", t.Batch)},
		{t.MicroBatches < 0 || t.MicroBatches == 1 || t.MicroBatches&(t.MicroBatches-1) != 0, fmt.Sprintf("train.micro_batches is %d; a batch is cut into 2, 4, 8 … parts, or 0 for none", t.MicroBatches)},
		{t.MicroBatches > 0 && t.Batch%t.MicroBatches != 0, fmt.Sprintf("train.micro_batches is %d, which does not divide train.batch %d", t.MicroBatches, t.Batch)},
		{t.Epochs < 1, fmt.Sprintf("train.epochs is %d; at least 1 is needed", t.Epochs)},
		{t.LR <= 0, fmt.Sprintf("train.lr is %v; it must be above 0", t.LR)},
		{t.Momentum < 0 || t.Momentum >= 1, fmt.Sprintf("train.momentum is %v; it lies from 0 to below 1", t.Momentum)},
		{t.WeightDecay < 0, fmt.Sprintf("train.weight_decay is %v; it must not be negative", t.WeightDecay)},
		{t.Bias.LR < 0, fmt.Sprintf("train.bias.lr is %v; it must not be negative", t.Bias.LR)},
		{t.Bias.Schedule.Kind == "plateau", "train.bias.schedule.kind is plateau; leave the schedule out, and the biases' rate falls with the weights'"},
		{t.DropoutUntil < 0, fmt.Sprintf("train.dropout_until is %d; it is an epoch, or 0 for never", t.DropoutUntil)},
	}
}

func (s Schedule) rules(key string) []rule {
	return []rule{
		{!slices.Contains(schedules, s.Kind), fmt.Sprintf("%s.kind is %q; known: %s", key, s.Kind, strings.Join(schedules, ", "))},
		{s.Kind == "step" && (len(s.At) == 0 || !slices.IsSorted(s.At) || s.At[0] < 0), key + ".at must list epochs in rising order"},
		{s.Kind != "step" && len(s.At) > 0, fmt.Sprintf("%s.at is for kind step, not %s", key, s.Kind)},
		{s.Factor <= 0 || s.Factor >= 1, fmt.Sprintf("%s.factor is %v; it lies between 0 and 1", key, s.Factor)},
		{(s.Kind == "discrete_exp" || s.Kind == "exp") && s.Target <= 1, key + ".target says by how much the rate falls in all; it must be above 1"},
		{s.Kind == "poly" && s.Power <= 0, key + ".power is the exponent of poly; it must be above 0"},
		{s.Kind != "poly" && s.Power != 0, fmt.Sprintf("%s.power is for kind poly, not %s", key, s.Kind)},
		{s.Steps < 2, fmt.Sprintf("%s.steps is %d; at least 2 are needed", key, s.Steps)},
		{s.Patience < 1 || s.Drops < 0, key + ".patience must be positive and drops not negative"},
	}
}

var schedules = []string{"constant", "step", "plateau", "discrete_exp", "linear", "poly", "exp"}

// layersExist checks that every entry of layer_rates names a layer that learns, once an epoch.
func (t Train) layersExist(placed []arch.LayerInfo) error {
	var learn []string
	for _, p := range placed {
		if p.Params > 0 {
			learn = append(learn, p.Layer.Name)
		}
	}
	for i, l := range t.LayerRates {
		switch {
		case !slices.Contains(learn, l.Layer):
			return fmt.Errorf("train.layer_rates names %q; the layers that learn are %s", l.Layer, strings.Join(learn, ", "))
		case l.From < 0 || l.Factor < 0:
			return fmt.Errorf("train.layer_rates of %s: from and factor must not be negative", l.Layer)
		}
		for _, before := range t.LayerRates[:i] {
			if before.Layer == l.Layer && before.From >= l.From {
				return fmt.Errorf("train.layer_rates of %s must come in the order of their epochs", l.Layer)
			}
		}
	}
	return nil
}
