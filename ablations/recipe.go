// Package ablations holds what a study changes and how: the recipe of a
// training run, edits on it, the catalogue of named ablations, and the designs
// that turn a list of components into variants.
package ablations

import "ablate/arch"

// A Recipe is all that determines a training run but the seed.
type Recipe struct {
	Net   *arch.Net `yaml:"net"`
	Data  Data      `yaml:"data"`
	Train Train     `yaml:"train"`
}

// Data says which images a run sees and how they are prepared.
type Data struct {
	Name  string  `yaml:"name" json:"name"`   // shapes, cifar10, mnist, fashion-mnist …
	Root  string  `yaml:"root" json:"root"`   // folder or archive; where it lies does not change the result
	Train int     `yaml:"train" json:"train"` // training images to use, 0 means all (for shapes: how many are drawn)
	Test  int     `yaml:"test" json:"test"`   // likewise
	Mean  string  `yaml:"mean" json:"mean"`   // subtracted: image (the per-pixel mean of the training set; default), channel, none
	Scale float64 `yaml:"scale" json:"scale"` // multiplies after the mean is subtracted; default 1 (pixels 0..255, as in 2012)
	Pad   int     `yaml:"pad" json:"pad"`     // zero border added before a random crop
	Crop  int     `yaml:"crop" json:"crop"`   // random square crop in training, centre crop at test; 0 means none
	Flip  bool    `yaml:"flip" json:"flip"`   // horizontal reflections in training
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
