package recipe

import "fmt"

// Init sets the initial weights of a net, instead of drawing them from the seed. The
// path in `from` is relative to the folder in which ablate is started, like `data.root`.
//
// A safetensors file without ablate's own metadata is read as a PyTorch state dict whose modules
// have the names of the net's layers, as written by `ablate export torch`. Convolutions are [out,
// in, kernel, kernel]. Dense layers are [out, in], with the inputs in the order channel, row,
// column. Batch norms have running_mean and running_var, and the weight of a PReLU is its slope.
// num_batches_tracked is ignored.
type Init struct {
	// a file of weights, or the folder of a run
	From string `yaml:"from" json:"from" example:"runs/quickstart/baseline/seed-1"`
	// layers whose weights the seed draws, whether or not the file has them
	Except []string `yaml:"except" json:"except,omitempty" items:"4096" example:"[fc8]"`
	// ignore tensors of the file for which the net has no layer, such as those of layers that an
	// ablation removed
	IgnoreExtra bool `yaml:"ignore_extra" json:"ignore_extra,omitempty" example:"true"`
}

// rules refuse an init that cannot work.
func (i Init) rules(t Train) []rule {
	return []rule{
		{i.From == "" && (len(i.Except) > 0 || i.IgnoreExtra), "train.init",
			"needs from: a file of weights, or the folder of a run"},
		{t.Epochs == -1, "train.epochs", "is missing; set the number of passes over the training images"},
		{t.Epochs < -1, "train.epochs", fmt.Sprintf("is %d; it must not be negative", t.Epochs)},
		{t.Epochs == 0 && i.From == "", "train.epochs", "is 0, which evaluates given weights; set train.init.from"},
		{t.Epochs == 0 && t.EMA > 0, "train.ema", "averages weights over steps, but train.epochs is 0"},
	}
}
