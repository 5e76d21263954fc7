package arch

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"ablate/strictyaml"
)

// LRN regions.
const (
	AcrossMaps = "across_maps"
	WithinMap  = "within_map"
)

// Init kinds.
const (
	Gaussian = "gaussian"
	He       = "he"
	Uniform  = "uniform"
)

// A kind is one word of the YAML form: how a layer of it starts and what an unnamed one is called.
type kind struct {
	word string
	name string // relu1, norm2, pool5 …
	make func() Spec
}

var one = Factor{1, 1}

var kinds = []kind{
	{"conv", "conv", func() Spec {
		return &Conv{Stride: 1, Groups: 1, Init: Init{Kind: Gaussian}, LR: one, Decay: Factor{1, 0}}
	}},
	{"local", "local", func() Spec {
		return &Local{Stride: 1, Groups: 1, Init: Init{Kind: Gaussian}, LR: one, Decay: Factor{1, 0}}
	}},
	{"dense", "fc", func() Spec { return &Dense{Init: Init{Kind: Gaussian}, LR: one, Decay: Factor{1, 0}} }},
	{"relu", "relu", func() Spec { return &ReLU{} }},
	{"tanh", "tanh", func() Spec { return &Tanh{A: 1, B: 1} }},
	{"sigmoid", "sigmoid", func() Spec { return &Sigmoid{} }},
	{"leaky_relu", "relu", func() Spec { return &LeakyReLU{Slope: 0.01} }},
	{"rrelu", "relu", func() Spec { return &RReLU{Lower: 1. / 8, Upper: 1. / 3} }},
	{"prelu", "relu", func() Spec { return &PReLU{Slope: 0.25} }},
	{"elu", "elu", func() Spec { return &ELU{Alpha: 1} }},
	{"selu", "selu", func() Spec { return &SELU{} }},
	{"softplus", "softplus", func() Spec { return &Softplus{} }},
	{"arcsinh", "arcsinh", func() Spec { return &Arcsinh{} }},
	{"maxout", "maxout", func() Spec { return &Maxout{Pieces: 2} }},
	{"batch_norm", "bn", func() Spec { return &BatchNorm{Epsilon: 1e-5, Momentum: 0.1, Affine: true} }},
	{"lrn", "norm", func() Spec { return &LRN{Region: AcrossMaps} }},
	{"maxpool", "pool", func() Spec { return &MaxPool{Stride: 1} }},
	{"avgpool", "pool", func() Spec { return &AvgPool{Stride: 1} }},
	{"maxavgpool", "pool", func() Spec { return &MaxAvgPool{Stride: 1} }},
	{"spatialpyramid", "pool", func() Spec { return &SpatialPyramid{Levels: []int{1, 2, 4}} }},
	{"stochasticpool", "pool", func() Spec { return &StochasticPool{Stride: 1} }},
	{"dropout", "drop", func() Spec { return &Dropout{} }},
	{"softmax_loss", "loss", func() Spec { return &SoftmaxLoss{} }},
}

// Kinds are the words for layers, as the YAML form uses them.
func Kinds() []string {
	var words []string
	for _, k := range kinds {
		words = append(words, k.word)
	}
	return words
}

func kindOf(word string) (kind, bool) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.word == word })
	if i < 0 {
		return kind{}, false
	}
	return kinds[i], true
}

// Parse reads a net file.
func Parse(file string, text []byte) (*Net, error) {
	node, err := strictyaml.Parse(file, text)
	if err != nil {
		return nil, err
	}
	n := new(Net)
	return n, node.Decode(n)
}

// UnmarshalStrict reads the mapping form of a net: name, input, columns and layers.
func (n *Net) UnmarshalStrict(node *strictyaml.Node) error {
	type plain Net
	p := plain{Columns: 1}
	if err := node.Decode(&p); err != nil {
		return err
	}
	*n = Net(p)
	if n.Name == "" {
		return node.Errorf("the net has no name: write net: NAME")
	}
	if err := n.Complete(); err != nil {
		return node.Errorf("net %s: %w", n.Name, err)
	}
	return nil
}

// Complete names the layers that have no name and checks what can be checked
// without shapes: names are unique, a net ends with its loss.
func (n *Net) Complete() error {
	taken := map[string]bool{}
	for _, l := range n.Layers {
		if l.Name != "" && taken[l.Name] {
			return fmt.Errorf("two layers are called %s", l.Name)
		}
		taken[l.Name] = true
	}
	count := map[string]int{}
	for i := range n.Layers {
		l := &n.Layers[i]
		k, _ := kindOf(l.Spec.Kind())
		for count[k.name]++; l.Name == ""; count[k.name]++ {
			if name := fmt.Sprint(k.name, count[k.name]); !taken[name] {
				l.Name, taken[name] = name, true
				break
			}
		}
		if _, last := l.Spec.(*SoftmaxLoss); last != (i == len(n.Layers)-1) {
			if last {
				return fmt.Errorf("layer %s: softmax_loss ends a net, %s comes after it", l.Name, n.Layers[i+1].Spec.Kind())
			}
			return fmt.Errorf("the last layer is %s; a net ends with softmax_loss", l.Name)
		}
	}
	if len(n.Layers) == 0 {
		return fmt.Errorf("no layers")
	}
	if n.Input.Height < 1 || n.Input.Width < 1 || n.Input.Channels < 1 {
		return fmt.Errorf("input is %v: height, width and channels must be positive", n.Input)
	}
	if n.Columns < 1 {
		return fmt.Errorf("columns is %d, at least 1 is needed", n.Columns)
	}
	return nil
}

// UnmarshalStrict reads the form `conv: {name: conv1, …}`.
func (l *Layer) UnmarshalStrict(node *strictyaml.Node) error {
	word, body, err := node.One("a layer")
	if err != nil {
		return err
	}
	k, ok := kindOf(word)
	if !ok {
		return strictyaml.Unknown(node, "layer kind", word, Kinds())
	}
	l.Spec = k.make()
	if name := body.Get("name"); name != nil {
		if err := name.Decode(&l.Name); err != nil {
			return err
		}
		body = body.Without("name")
	}
	if err := body.Decode(l.Spec); err != nil {
		return err
	}
	return l.check(body)
}

// Set changes one parameter of the layer, as an edit does.
func (l *Layer) Set(key string, v *strictyaml.Node) error {
	if err := strictyaml.SetField(l.Spec, key, v); err != nil {
		return fmt.Errorf("%w (layer %s is a %s)", err, l.Name, l.Spec.Kind())
	}
	return l.check(v)
}

// check refuses values that no net can have; shapes are Infer's business.
func (l *Layer) check(at *strictyaml.Node) error {
	bad := func(format string, args ...any) error {
		name := l.Spec.Kind()
		if l.Name != "" {
			name += " " + l.Name
		}
		return at.Errorf("%s: %s", name, fmt.Sprintf(format, args...))
	}
	switch p := l.Spec.(type) {
	case *Conv:
		return p.check(bad)
	case *Local:
		return (*Conv)(p).check(bad)
	case *Dense:
		if p.Outputs < 1 {
			return bad("outputs must be positive")
		}
		return p.Init.check(bad)
	case *LRN:
		switch {
		case p.Size < 1 || p.Size%2 == 0:
			return bad("size is %d; a window around each activation is odd", p.Size)
		case p.AlphaOverSize == nil:
			return bad("say alpha_over_size: true (Caffe, PyTorch, the 2012 source) or false (the paper's formula, TensorFlow): implementations differ")
		case p.K <= 0 || p.Alpha < 0:
			return bad("k must be positive and alpha not negative")
		case p.Region != AcrossMaps && p.Region != WithinMap:
			return bad("region is %q; known: %s, %s", p.Region, AcrossMaps, WithinMap)
		}
	case *MaxPool:
		return checkPool(p.Kernel, p.Stride, p.Pad, bad)
	case *AvgPool:
		return checkPool(p.Kernel, p.Stride, p.Pad, bad)
	case *MaxAvgPool:
		return checkPool(p.Kernel, p.Stride, p.Pad, bad)
	case *StochasticPool:
		return checkPool(p.Kernel, p.Stride, p.Pad, bad)
	case *SpatialPyramid:
		if len(p.Levels) == 0 || slices.ContainsFunc(p.Levels, func(n int) bool { return n < 1 || n > 1<<10 }) {
			return bad("levels are %v; name the cells along a side of each grid, as in [1, 2, 4]", p.Levels)
		}
	case *RReLU:
		if p.Lower <= 0 || p.Upper < p.Lower {
			return bad("lower is %v and upper %v; slopes are above 0, the lower bound first", p.Lower, p.Upper)
		}
	case *LeakyReLU:
		if p.Slope <= 0 {
			return bad("slope is %v; it must be above 0 (at 0 it is a relu)", p.Slope)
		}
	case *ELU:
		if p.Alpha <= 0 {
			return bad("alpha is %v; it must be above 0", p.Alpha)
		}
	case *Maxout:
		if p.Pieces < 2 {
			return bad("pieces is %d; at least 2 channels compete", p.Pieces)
		}
	case *BatchNorm:
		if p.Epsilon <= 0 || p.Momentum <= 0 || p.Momentum > 1 {
			return bad("epsilon must be above 0 and momentum above 0 and at most 1")
		}
	case *Dropout:
		if p.Rate < 0 || p.Rate >= 1 {
			return bad("rate is %v; it is the share set to zero, from 0 to below 1", p.Rate)
		}
	case *Tanh:
		if p.A == 0 || p.B == 0 {
			return bad("a and b must not be 0")
		}
	}
	return nil
}

func (c *Conv) check(bad func(string, ...any) error) error {
	switch {
	case c.Filters < 1 || c.Kernel < 1 || c.Stride < 1 || c.Groups < 1:
		return bad("filters, kernel, stride and groups must be positive")
	case c.WithinColumn && c.Groups > 1:
		return bad("within_column already says groups: leave one out")
	}
	return c.Init.check(bad)
}

func (i Init) check(bad func(string, ...any) error) error {
	switch {
	case !slices.Contains([]string{Gaussian, He, Uniform}, i.Kind):
		return bad("init kind is %q; known: %s, %s, %s", i.Kind, Gaussian, He, Uniform)
	case i.Kind == Gaussian && i.Std <= 0:
		return bad("init needs a std above 0, or kind: he or uniform")
	}
	return nil
}

func checkPool(kernel, stride int, pad Pad, bad func(string, ...any) error) error {
	if kernel < 1 || stride < 1 {
		return bad("kernel and stride must be positive")
	}
	if m := max(pad.Top, pad.Bottom, pad.Left, pad.Right); m >= kernel {
		return bad("pad %d leaves windows of a %d×%d kernel without a pixel", m, kernel, kernel)
	}
	return nil
}

// UnmarshalStrict reads `pad: 2` or `pad: {right: 3, bottom: 3}`.
func (p *Pad) UnmarshalStrict(node *strictyaml.Node) error {
	if node.Kind == strictyaml.Scalar {
		var all int
		if err := node.Decode(&all); err != nil {
			return err
		}
		*p = Pad{all, all, all, all}
	} else {
		type plain Pad
		if err := node.Decode((*plain)(p)); err != nil {
			return err
		}
	}
	if min(p.Top, p.Bottom, p.Left, p.Right) < 0 {
		return node.Errorf("pad must not be negative")
	}
	return nil
}

// Clone is a deep copy.
func (n *Net) Clone() *Net {
	c := *n
	c.Layers = make([]Layer, len(n.Layers))
	for i, l := range n.Layers {
		c.Layers[i] = l.Clone()
	}
	return &c
}

// Clone is a deep copy.
func (l Layer) Clone() Layer {
	p := reflect.New(reflect.TypeOf(l.Spec).Elem())
	p.Elem().Set(reflect.ValueOf(l.Spec).Elem())
	if lrn, ok := p.Interface().(*LRN); ok && lrn.AlphaOverSize != nil {
		over := *lrn.AlphaOverSize
		lrn.AlphaOverSize = &over
	}
	return Layer{l.Name, p.Interface().(Spec)}
}

// MarshalJSON writes the net in the keys of its YAML form, every default
// written out and what does not change a result (title, source) left out.
// JSON is YAML, so Parse reads it back.
func (n *Net) MarshalJSON() ([]byte, error) {
	layers := make([]any, len(n.Layers))
	for i, l := range n.Layers {
		body := plain(reflect.ValueOf(l.Spec)).(map[string]any)
		body["name"] = l.Name
		layers[i] = map[string]any{l.Spec.Kind(): body}
	}
	return json.Marshal(map[string]any{"net": n.Name, "input": n.Input, "columns": n.Columns, "layers": layers})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (n *Net) UnmarshalJSON(text []byte) error {
	p, err := Parse("JSON", text)
	if err == nil {
		*n = *p
	}
	return err
}

// Values gives a layer's parameters by their YAML keys, dotted below the first level: pad.top, init.std.
func (l Layer) Values() map[string]any {
	flat := map[string]any{}
	flatten(flat, "", plain(reflect.ValueOf(l.Spec)).(map[string]any))
	return flat
}

func flatten(to map[string]any, prefix string, from map[string]any) {
	for k, v := range from {
		if m, ok := v.(map[string]any); ok {
			flatten(to, prefix+k+".", m)
			continue
		}
		to[prefix+k] = v
	}
}

// plain turns structs into maps by their yaml tags. Fields that say omitempty
// for JSON are left out where they are zero, so that a key which is new changes
// no net that does not use it, nor the identity of its runs.
func plain(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			tags := v.Type().Field(i).Tag
			if tag := tags.Get("yaml"); tag != "" && !(tags.Get("json") == ",omitempty" && v.Field(i).IsZero()) {
				m[tag] = plain(v.Field(i))
			}
		}
		return m
	default:
		return v.Interface()
	}
}
