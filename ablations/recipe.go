// Package ablations holds what a study changes and how: the recipe of a
// training run, edits on it, the catalogue of named ablations, and the designs
// that turn a list of components into variants.
package ablations

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ablate/arch"
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
	ShortSide int     `yaml:"short_side" json:"short_side,omitempty"` // the shorter side gets this length, the centre is cut out
	Size      int     `yaml:"size" json:"size,omitempty"`             // the whole image is stretched to this height and width
	MaxBad    int     `yaml:"max_bad" json:"max_bad,omitempty"`       // files without a usable image that may be left out
	Mean      string  `yaml:"mean" json:"mean"`                       // subtracted: image (the per-pixel mean of the training set; default), channel, none
	Scale     float64 `yaml:"scale" json:"scale"`                     // multiplies after the mean is subtracted; default 1 (pixels 0..255, as in 2012)
	Pad       int     `yaml:"pad" json:"pad"`                         // zero border added before a random crop
	Crop      int     `yaml:"crop" json:"crop"`                       // random square crop in training, centre crop at test; 0 means none
	Flip      bool    `yaml:"flip" json:"flip"`                       // horizontal reflections in training
}

// Train is how the weights are learned (paper, section 5).
type Train struct {
	Batch       int      `yaml:"batch" json:"batch"`
	Epochs      int      `yaml:"epochs" json:"epochs"`
	LR          float64  `yaml:"lr" json:"lr"`
	Momentum    float64  `yaml:"momentum" json:"momentum"`
	WeightDecay float64  `yaml:"weight_decay" json:"weight_decay"`
	Schedule    Schedule `yaml:"schedule" json:"schedule"`
}

// Schedule is how the learning rate changes. Kinds:
//
//	constant
//	step         multiply by Factor at the start of each epoch in At (counted from 0)
//	plateau      multiply by Factor when the test error has not fallen for Patience epochs, at most Drops times
//	discrete_exp cuda-convnet's dexp: divide by Target^(1/(Steps-1)) at each 1/Steps of training, so that it ends at lr/Target
type Schedule struct {
	Kind     string  `yaml:"kind" json:"kind"`
	At       []int   `yaml:"at" json:"at,omitempty"`
	Factor   float64 `yaml:"factor" json:"factor,omitempty"`     // default 0.1
	Patience int     `yaml:"patience" json:"patience,omitempty"` // default 5
	Drops    int     `yaml:"drops" json:"drops,omitempty"`       // default 3 (paper, section 5: "reduced three times")
	Target   float64 `yaml:"target" json:"target,omitempty"`
	Steps    int     `yaml:"steps" json:"steps,omitempty"` // default 4
}

// Defaults are what a study need not write.
func Defaults() Recipe {
	return Recipe{
		Data:  Data{Mean: "image", Scale: 1},
		Train: Train{Momentum: 0.9, Schedule: Schedule{Kind: "constant", Factor: 0.1, Patience: 5, Drops: 3, Steps: 4}},
	}
}

// Clone is a deep copy.
func (r Recipe) Clone() Recipe {
	if r.Net != nil {
		r.Net = r.Net.Clone()
	}
	r.Train.Schedule.At = slices.Clone(r.Train.Schedule.At)
	return r
}

// Validate refuses what cannot be trained. Messages name the key.
func (r Recipe) Validate() error {
	t, s, d := r.Train, r.Train.Schedule, r.Data
	for _, c := range []struct {
		bad bool
		msg string
	}{
		{d.Name == "", "data.name is missing: say which data set; ablate data list names them"},
		{d.Train < 0 || d.Test < 0, "data.train and data.test must not be negative"},
		{!slices.Contains([]string{"image", "channel", "none"}, d.Mean), fmt.Sprintf("data.mean is %q; known: image, channel, none", d.Mean)},
		{d.Scale <= 0, fmt.Sprintf("data.scale is %v; it must be above 0", d.Scale)},
		{d.ShortSide < 0 || d.Size < 0 || d.ShortSide > 0 && d.Size > 0, "data.short_side and data.size must not be negative, and exclude each other"},
		{d.MaxBad < 0, "data.max_bad must not be negative"},
		{d.Pad < 0 || d.Crop < 0, "data.pad and data.crop must not be negative"},
		{t.Batch < 1, fmt.Sprintf("train.batch is %d; at least 1 is needed", t.Batch)},
		{t.Epochs < 1, fmt.Sprintf("train.epochs is %d; at least 1 is needed", t.Epochs)},
		{t.LR <= 0, fmt.Sprintf("train.lr is %v; it must be above 0", t.LR)},
		{t.Momentum < 0 || t.Momentum >= 1, fmt.Sprintf("train.momentum is %v; it lies from 0 to below 1", t.Momentum)},
		{t.WeightDecay < 0, fmt.Sprintf("train.weight_decay is %v; it must not be negative", t.WeightDecay)},
		{!slices.Contains(schedules, s.Kind), fmt.Sprintf("train.schedule.kind is %q; known: %s", s.Kind, strings.Join(schedules, ", "))},
		{s.Kind == "step" && (len(s.At) == 0 || !slices.IsSorted(s.At) || s.At[0] < 0), "train.schedule.at must list epochs in rising order"},
		{s.Kind != "step" && len(s.At) > 0, fmt.Sprintf("train.schedule.at is for kind step, not %s", s.Kind)},
		{s.Factor <= 0 || s.Factor >= 1, fmt.Sprintf("train.schedule.factor is %v; it lies between 0 and 1", s.Factor)},
		{s.Kind == "discrete_exp" && s.Target <= 1, "train.schedule.target says by how much the rate falls in all; it must be above 1"},
		{s.Steps < 2, fmt.Sprintf("train.schedule.steps is %d; at least 2 are needed", s.Steps)},
		{s.Patience < 1 || s.Drops < 0, "train.schedule.patience must be positive and drops not negative"},
	} {
		if c.bad {
			return errors.New(c.msg)
		}
	}
	_, err := r.Net.Infer()
	return err
}

var schedules = []string{"constant", "step", "plateau", "discrete_exp"}

// Identity is the SHA-256 of the recipe's JSON without what cannot change the result: where the data lies, the net's title.
func (r Recipe) Identity() (string, error) {
	r.Data.Root = ""
	text, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("identity of a recipe: %w", err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text)), nil
}
