package recipe

import "fmt"

// Init says where a net's weights begin, in place of what the seed draws. From is a
// file of weights or the folder of a run, as `data.root` relative to where ablate is started.
//
// A safetensors file without ablate's own metadata is read as a PyTorch state dict
// whose modules have the names of the net's layers, as `ablate export torch` writes
// them: convolutions are [out, in, kernel, kernel], dense layers [out, in] with the
// inputs in the order channel, row, column, batch norms have running_mean and
// running_var, a PReLU's weight is its slope; num_batches_tracked is left out.
type Init struct {
	// a file of weights, or the folder of a run
	From string `yaml:"from" json:"from" example:"runs/quickstart/baseline/seed-1"`
	// layers that begin as without it, whether the file has them or not
	Except []string `yaml:"except" json:"except,omitempty" items:"4096" example:"[fc8]"`
	// leave out tensors of the file that the net has no place for, as of layers that an ablation took away
	IgnoreExtra bool `yaml:"ignore_extra" json:"ignore_extra,omitempty" example:"true"`
}

// rules refuse an init that cannot be.
func (i Init) rules(t Train) []rule {
	return []rule{
		{i.From == "" && (len(i.Except) > 0 || i.IgnoreExtra), "train.init",
			"needs from: a file of weights, or the folder of a run"},
		{t.Epochs == -1, "train.epochs", "is missing: say how often the training images are shown"},
		{t.Epochs < -1, "train.epochs", fmt.Sprintf("is %d; it must not be negative", t.Epochs)},
		{t.Epochs == 0 && i.From == "", "train.epochs", "is 0, which evaluates weights as they are; set train.init.from"},
		{t.Epochs == 0 && t.EMA > 0, "train.ema", "averages the weights of steps, and train.epochs is 0"},
	}
}
