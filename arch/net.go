// Package arch describes networks as data: layer kinds, their YAML form, a
// registry of named nets, shapes, and what a net costs (parameters,
// multiply-accumulates, bytes). It knows nothing of training.
package arch

// A Net is a network as its YAML file states it.
type Net struct {
	Name    string  `yaml:"net"`
	Title   string  `yaml:"title"`  // one line for listings
	Source  string  `yaml:"source"` // where the numbers come from
	Input   Shape   `yaml:"input"`
	Columns int     `yaml:"columns"` // towers the channels are split into (the paper's GPUs); 0 means 1
	Layers  []Layer `yaml:"layers"`
}

// A Shape is the size of one image's activations, stored height × width × channels (NHWC without N).
type Shape struct {
	Height   int `yaml:"height" json:"height"`
	Width    int `yaml:"width" json:"width"`
	Channels int `yaml:"channels" json:"channels"`
}

// A Layer is one entry of a net's layers list: a kind and that kind's parameters.
// In YAML it is a mapping of one key, `- conv: {name: conv1, filters: 96, …}`.
type Layer struct {
	Name string // unique in the net; filled in (relu1, pool2 …) where the YAML leaves it out
	Spec Spec   // a pointer to one of the kinds below
}

// A Spec holds what a net file says of one layer: its hyperparameters.
type Spec interface {
	// Kind is the word the YAML form uses: conv, relu, lrn …
	Kind() string
}

// Conv is a convolution. Weights are [kernel, kernel, in/groups, filters].
type Conv struct {
	Filters      int    `yaml:"filters"`
	Kernel       int    `yaml:"kernel"`
	Stride       int    `yaml:"stride"` // default 1
	Pad          Pad    `yaml:"pad"`
	Groups       int    `yaml:"groups"`        // default 1
	WithinColumn bool   `yaml:"within_column"` // each column sees only its own maps: groups = the net's columns
	Init         Init   `yaml:"init"`
	LR           Factor `yaml:"lr_factor"`    // default 1, 1
	Decay        Factor `yaml:"decay_factor"` // default 1, 0: no decay on biases (paper, section 5; source layer.cu)
}

// Pad is zero padding in pixels. In YAML a single number means all four sides.
type Pad struct {
	Top    int `yaml:"top" json:"top"`
	Bottom int `yaml:"bottom" json:"bottom"`
	Left   int `yaml:"left" json:"left"`
	Right  int `yaml:"right" json:"right"`
}

// Init says how a layer's weights and biases start.
type Init struct {
	Kind string  `yaml:"kind"` // gaussian (default; std), he (std = √(2/fan-in)), uniform (± 1/√fan-in for weights and biases, PyTorch's default)
	Std  float64 `yaml:"std"`
	Bias float64 `yaml:"bias"`
}

// Factor multiplies a recipe value (learning rate, weight decay) for one layer's weights and biases.
type Factor struct {
	Weight float64 `yaml:"weight" json:"weight"`
	Bias   float64 `yaml:"bias" json:"bias"`
}

// Dense is a fully connected layer. Weights are [in, outputs], in being height·width·channels flattened in NHWC order.
type Dense struct {
	Outputs int    `yaml:"outputs"`
	Init    Init   `yaml:"init"`
	LR      Factor `yaml:"lr_factor"`
	Decay   Factor `yaml:"decay_factor"`
}

// ReLU is max(0, x).
type ReLU struct{}

// Tanh is a·tanh(b·x); cuda-convnet's form, plain tanh by default (a = b = 1).
type Tanh struct {
	A float64 `yaml:"a"`
	B float64 `yaml:"b"`
}

// Sigmoid is 1/(1+e^-x).
type Sigmoid struct{}

// LeakyReLU is x above 0 and Slope·x below (Maas et al. 2013; "very leaky" with 1/3).
type LeakyReLU struct {
	Slope float64 `yaml:"slope"` // default 0.01
}

// RReLU is a leaky ReLU whose slope is drawn for each value in training,
// uniformly from [Lower, Upper), and is their mean in evaluation (Xu et al. 2015,
// arXiv 1505.00853).
type RReLU struct {
	Lower float64 `yaml:"lower"` // 1/8 if left out
	Upper float64 `yaml:"upper"` // 1/3 if left out
}

// PReLU is a leaky ReLU whose slope is learned, one a channel (He et al. 2015,
// arXiv 1502.01852). The slopes learn at the layers' rate and do not decay.
type PReLU struct {
	Slope float64 `yaml:"slope"` // where they start; default 0.25
}

// ELU is x above 0 and Alpha·(e^x − 1) below (Clevert et al. 2015, arXiv 1511.07289).
type ELU struct {
	Alpha float64 `yaml:"alpha"` // default 1
}

// SELU is the ELU scaled so that mean 0 and variance 1 are a fixed point (Klambauer et al. 2017, arXiv 1706.02515).
type SELU struct{}

// Softplus is log(1 + e^x) − Shift; with a shift of log 2 it goes through 0.
type Softplus struct {
	Shift float64 `yaml:"shift"` // default 0
}

// Arcsinh is log(x + √(x² + 1)): linear about 0, logarithmic far from it.
type Arcsinh struct{}

// Maxout takes the largest of every Pieces adjacent channels (Goodfellow et al. 2013, arXiv 1302.4389).
type Maxout struct {
	Pieces int `yaml:"pieces"` // default 2
}

// BatchNorm brings every channel to mean 0 and variance 1 over the batch and its
// pixels, then scales and shifts it (Ioffe and Szegedy 2015, arXiv 1502.03167).
// In evaluation running averages of mean and variance take the batch's place.
type BatchNorm struct {
	Epsilon  float64 `yaml:"epsilon"`                  // added to the variance; default 1e-5
	Momentum float64 `yaml:"momentum" alias:"average"` // share of the newest batch in the running averages (PyTorch's momentum); default 0.1
	Affine   bool    `yaml:"affine"`                   // learn scale and shift; default true
}

// Local is a convolution whose weights and biases are not shared: every output
// pixel has its own (cuda-convnet's locally-connected layer with unshared
// biases). Weights are [height, width, kernel, kernel, in/groups, filters] over
// the output's pixels, biases [height·width·filters].
type Local struct {
	Filters      int    `yaml:"filters"`
	Kernel       int    `yaml:"kernel"`
	Stride       int    `yaml:"stride"` // default 1
	Pad          Pad    `yaml:"pad"`
	Groups       int    `yaml:"groups"` // default 1
	WithinColumn bool   `yaml:"within_column"`
	Init         Init   `yaml:"init"`
	LR           Factor `yaml:"lr_factor"`    // default 1, 1
	Decay        Factor `yaml:"decay_factor"` // default 1, 0
}

// LRN is local response normalisation (paper, section 3.3):
//
//	y = x / (k + α·Σx²)^β      α divided by the window's area if AlphaOverSize
//
// Across maps the sum runs over Size adjacent channels of the same column at the same pixel;
// within a map, over Size×Size pixels of the same channel.
type LRN struct {
	Size          int     `yaml:"size"`
	Alpha         float64 `yaml:"alpha"`
	AlphaOverSize *bool   `yaml:"alpha_over_size"` // must be stated: implementations differ
	Beta          float64 `yaml:"beta"`
	K             float64 `yaml:"k"`
	Region        string  `yaml:"region"` // across_maps (default) or within_map
}

// MaxPool takes the maximum of each window. Windows are clipped to the image.
type MaxPool struct {
	Kernel int  `yaml:"kernel"`
	Stride int  `yaml:"stride"`
	Pad    Pad  `yaml:"pad"`
	Ceil   bool `yaml:"ceil"` // round the output size up, as cuda-convnet and Caffe do; the last window must start inside the image
}

// AvgPool takes the mean of each window, over the pixels that lie inside the image.
type AvgPool struct {
	Kernel int  `yaml:"kernel"`
	Stride int  `yaml:"stride"`
	Pad    Pad  `yaml:"pad"`
	Ceil   bool `yaml:"ceil"`
}

// MaxAvgPool is the sum of each window's maximum and mean (Lee et al. 2015, arXiv 1509.08985).
type MaxAvgPool struct {
	Kernel int  `yaml:"kernel"`
	Stride int  `yaml:"stride"`
	Pad    Pad  `yaml:"pad"`
	Ceil   bool `yaml:"ceil"`
}

// StochasticPool takes one of each window's activations, drawn in proportion to
// their size, and in evaluation their mean under the same proportions (Zeiler and
// Fergus 2013, arXiv 1301.3557). Activations below 0 are never taken; a window
// without any above 0 gives 0.
type StochasticPool struct {
	Kernel int  `yaml:"kernel"`
	Stride int  `yaml:"stride"`
	Pad    Pad  `yaml:"pad"`
	Ceil   bool `yaml:"ceil"`
}

// SpatialPyramid takes the maxima over grids that each divide the whole map, of
// Levels cells along a side (He et al. 2014, arXiv 1406.4729). Its output is 1×1,
// whatever the map's size.
type SpatialPyramid struct {
	Levels []int `yaml:"levels"` // 1, 2 and 4 if left out
}

// Out is the shape that a map is pooled to.
func (l SpatialPyramid) Out(in Shape) Shape {
	cells := 0
	for _, n := range l.Levels {
		cells += n * n
	}
	return Shape{1, 1, cells * in.Channels}
}

// Dropout sets each activation to 0 with probability Rate in training and
// multiplies by 1−Rate at test (paper, section 4.2). Inverted, as most later
// programs do it, it multiplies by 1/(1−Rate) in training instead and does
// nothing at test.
type Dropout struct {
	Rate     float64 `yaml:"rate"`
	Inverted bool    `yaml:"inverted" json:",omitempty"`
}

// SoftmaxLoss ends a net: softmax over the classes and the mean cross-entropy to the label.
type SoftmaxLoss struct{}

func (*Conv) Kind() string           { return "conv" }
func (*Dense) Kind() string          { return "dense" }
func (*ReLU) Kind() string           { return "relu" }
func (*Tanh) Kind() string           { return "tanh" }
func (*Sigmoid) Kind() string        { return "sigmoid" }
func (*LRN) Kind() string            { return "lrn" }
func (*MaxPool) Kind() string        { return "maxpool" }
func (*AvgPool) Kind() string        { return "avgpool" }
func (*Dropout) Kind() string        { return "dropout" }
func (*SoftmaxLoss) Kind() string    { return "softmax_loss" }
func (*LeakyReLU) Kind() string      { return "leaky_relu" }
func (*PReLU) Kind() string          { return "prelu" }
func (*RReLU) Kind() string          { return "rrelu" }
func (*SpatialPyramid) Kind() string { return "spatialpyramid" }
func (*ELU) Kind() string            { return "elu" }
func (*SELU) Kind() string           { return "selu" }
func (*Softplus) Kind() string       { return "softplus" }
func (*Arcsinh) Kind() string        { return "arcsinh" }
func (*Maxout) Kind() string         { return "maxout" }
func (*BatchNorm) Kind() string      { return "batch_norm" }
func (*Local) Kind() string          { return "local" }
func (*MaxAvgPool) Kind() string     { return "maxavgpool" }
func (*StochasticPool) Kind() string { return "stochasticpool" }
