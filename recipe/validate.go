package recipe

import (
	"fmt"
	"slices"
	"strings"

	"ablate/arch"
	"ablate/strictyaml"
)

// A rule is a condition that must not hold, with the message about its key; the message begins with
// the name of the key.
type rule struct {
	bad bool
	key string
	msg string
}

// Validate refuses what cannot be trained. An error about a key is a strictyaml.Error that names
// the key.
func (r Recipe) Validate() error {
	if r.IsProgram() {
		return r.validateProgram()
	}
	rules := append(append(r.Data.rules(), r.Data.augmentRules()...), r.Train.rules()...)
	rules = append(rules, r.Train.Init.rules(r.Train)...)
	rules = append(rules, rule{r.Train.EarlyStopping > 0 && r.Data.Validation == 0, "train.early_stopping",
		"looks at held-out images; set data.validation"})
	rules = append(rules, r.Train.Schedule.rules("train.schedule")...)
	rules = append(rules, r.Train.Optimizer.rules("train.optimizer")...)
	if b := r.Train.Bias; b.Schedule.Kind != "" {
		rules = append(rules, b.Schedule.rules("train.bias.schedule")...)
	}
	for _, rule := range rules {
		if rule.bad {
			return keyError(rule.key, "%s", rule.msg)
		}
	}
	if err := strictyaml.CheckBounds(r.Data, "data"); err != nil {
		return err
	}
	if err := r.Train.layersExist(r.Net); err != nil {
		return err
	}
	if err := strictyaml.CheckBounds(r.Train, "train"); err != nil {
		return err
	}
	_, err := r.Net.Infer()
	return err
}

func (d Data) rules() []rule {
	return []rule{
		{d.Name == "", "data.name", "is missing; ablate data list lists the data sets"},
		{d.Train > 0 && d.Validation >= d.Train, "data.validation",
			fmt.Sprintf("is %d; want the number of training images to hold out", d.Validation)},
		{d.Split == ResampledSplit && d.Validation == 0, "data.split",
			"is resampled, which says which training images are held out; set data.validation"},
		{d.LabelNoise < 0 || d.LabelNoise > 1, "data.label_noise",
			fmt.Sprintf("is %v; want a share of the training images, 0 to 1", d.LabelNoise)},
		{d.Mean == "image_centre" && d.Pad > 0, "data.mean",
			"is image_centre, which has no values for the border of data.pad; use image"},
		{d.ShortSide > 0 && d.Size > 0, "data.short_side", "and data.size exclude each other"},
		{d.CropAt != CropRandom && d.Crop == 0, "data.crop_at", "says where crops lie; set data.crop"},
		{d.PCAColour.Std > 0 && d.ColourSpace != RGB, "data.pca_colour",
			fmt.Sprintf("shifts RGB colours; data.colour_space is %s", d.ColourSpace)},
		{d.TestCrops == TenCrop && d.Crop == 0, "data.test_crops", "is ten, which needs data.crop"},
	}
}

func (t Train) rules() []rule {
	return []rule{
		{t.MicroBatches < 0 || t.MicroBatches == 1 || t.MicroBatches&(t.MicroBatches-1) != 0, "train.micro_batches",
			fmt.Sprintf("is %d; want 2, 4, 8 … parts, or 0 for none", t.MicroBatches)},
		{t.MicroBatches > 0 && t.Batch%t.MicroBatches != 0, "train.micro_batches",
			fmt.Sprintf("is %d, which does not divide train.batch %d", t.MicroBatches, t.Batch)},
		{t.Schedule.Warmup >= float64(t.Epochs) && t.Schedule.Warmup > 0, "train.schedule.warmup",
			fmt.Sprintf("is %v, but training ends after %d epochs", t.Schedule.Warmup, t.Epochs)},
		{t.Bias.Schedule.Kind == "plateau", "train.bias.schedule.kind",
			"is plateau; without a schedule the biases' rate falls with the weights'"},
	}
}

func (s Schedule) rules(key string) []rule {
	exponential := s.Kind == "discrete_exp" || s.Kind == "exp"
	return []rule{
		{s.Kind == "step" && (len(s.At) == 0 || !slices.IsSorted(s.At) || s.At[0] < 0), key + ".at",
			"must list epochs in rising order"},
		{s.Kind != "step" && len(s.At) > 0, key + ".at", "is for kind step, not " + s.Kind},
		{exponential && s.Target <= 1, key + ".target", "is the quotient of the first and the last rate; it must be above 1"},
		{s.Kind == "poly" && s.Power <= 0, key + ".power", "is the exponent of poly; it must be above 0"},
		{s.Kind != "cosine" && s.Floor != 0, key + ".floor", "is for kind cosine, not " + s.Kind},
		{s.Kind != "poly" && s.Power != 0, key + ".power", "is for kind poly, not " + s.Kind},
	}
}

// layersExist checks that every entry of layer_rates names a layer with weights, at most once for
// an epoch.
func (t Train) layersExist(net *arch.Net) error {
	if len(t.LayerRates) == 0 {
		return nil
	}
	layers, err := net.Infer()
	if err != nil {
		return err
	}
	var learn []string
	for _, p := range layers {
		if p.Params > 0 {
			learn = append(learn, p.Layer.Name)
		}
	}
	const key = "train.layer_rates"
	last := map[string]int{}
	for _, l := range t.LayerRates {
		before, again := last[l.Layer]
		last[l.Layer] = l.From
		switch {
		case !slices.Contains(learn, l.Layer):
			known := strings.Join(learn, ", ")
			return keyError(key, "names %s; the layers with weights are %s", strictyaml.Quote(l.Layer), known)
		case l.From < 0 || l.Factor < 0:
			return keyError(key, "for %s: from and factor must not be negative", l.Layer)
		case again && before >= l.From:
			return keyError(key, "for %s must be in the order of their epochs", l.Layer)
		}
	}
	return nil
}

// keyError returns an error about a key, whose name begins the message.
func keyError(key, format string, args ...any) error {
	return &strictyaml.Error{Key: key, Msg: key + " " + fmt.Sprintf(format, args...)}
}
