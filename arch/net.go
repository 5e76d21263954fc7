// Package arch describes networks as data: layer kinds, their YAML form, a
// registry of named nets, shapes, and what a net costs (parameters,
// multiply-accumulates, bytes). It knows nothing of training.
//
// A kind of layer is one type, in one file: its keys, their defaults and bounds,
// what is checked, the shape of its output, its cost and its words; the file
// registers it with kind.
package arch

import (
	"fmt"
	"reflect"
	"unicode"

	"ablate/strictyaml"
)

// A Net is a network as its YAML file states it.
type Net struct {
	// the name that tables and ablations call it by
	Name string `yaml:"net" required:"true" example:"my-net"`
	// one line for listings
	Title string `yaml:"title" example:"LeNet-5 with ReLU"`
	// where the numbers come from
	Source string `yaml:"source" example:"LeCun et al. 1998, section II"`
	// the size of one image
	Input Shape `yaml:"input" example:"{height: 32, width: 32, channels: 3}"`
	// towers that the channels are split into, as over the paper's two GPUs
	Columns int `yaml:"columns" min:"1" max:"1024" example:"2"`
	// the layers in order, parts that hold layers among them; the last is softmax_loss
	Layers []Layer `yaml:"layers" required:"true" items:"4096" example:"[{dense: {outputs: 10}}, {softmax_loss: {}}]"`
}

// A Shape is the size of one image's activations, stored height × width × channels (NHWC without N).
type Shape struct {
	// rows of pixels
	Height int `yaml:"height" json:"height" min:"1" max:"16384" unit:"pixels" example:"224"`
	// columns of pixels
	Width int `yaml:"width" json:"width" min:"1" max:"16384" unit:"pixels" example:"224"`
	// 3 for colour images, 1 for grey ones
	Channels int `yaml:"channels" json:"channels" min:"1" max:"65536" example:"3"`
}

// A Layer is one entry of a net's layers list: a kind and what is said of it.
// In YAML it is a mapping of one key, `- conv: {name: conv1, filters: 96, …}`.
// A part (residual, branches, repeat) is a layer that holds layers.
type Layer struct {
	Name string // unique in the net; filled in (relu1, pool2 …) where the YAML leaves it out
	Spec Spec   // a pointer to one of the kinds
}

// A Spec holds what a net file says of one layer: its hyperparameters.
type Spec interface {
	// Kind is the word that the YAML form uses: conv, relu, lrn …
	Kind() string
	// Words describe the layer where its shapes are known: "conv 5×5/1 pad 2, 2 groups".
	Words(p LayerInfo) string

	// stem is what a layer without a name is called before its number: relu1, norm2, pool5 …
	stem() string
	// defaults sets the keys that a net need not write.
	defaults()
	// check refuses what no net can have, beyond the bounds in the fields' tags.
	check() error
	// place sets the output, groups and costs of a layer whose input is known.
	place(p *LayerInfo, columns int) error
}

// Elementwise is embedded by kinds that keep their input's shape and learn nothing.
type Elementwise struct{}

func (Elementwise) defaults()                   {}
func (Elementwise) check() error                { return nil }
func (Elementwise) place(*LayerInfo, int) error { return nil }

// Complete names the layers that have no name and checks what can be checked
// without shapes: names are unique, a net ends with its loss.
func (n *Net) Complete() error {
	if err := n.checkParts(); err != nil {
		return err
	}
	taken := map[string]bool{}
	for l := range n.All() {
		if err := checkName(l.Name); err != nil {
			return fmt.Errorf("a layer's name %w", err)
		}
		if l.Name != "" && taken[l.Name] {
			return fmt.Errorf("two layers are called %s", l.Name)
		}
		taken[l.Name] = true
	}
	count := map[string]int{}
	for l := range n.All() {
		stem := l.Spec.stem()
		for count[stem]++; l.Name == ""; count[stem]++ {
			if name := fmt.Sprint(stem, count[stem]); !taken[name] {
				l.Name, taken[name] = name, true
				break
			}
		}
	}
	for i := range n.Layers {
		l := &n.Layers[i]
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
	return strictyaml.CheckBounds(n, "")
}

// maxName bounds the names of nets and layers, which stand in messages, tables and files.
const maxName = 100

// checkName refuses the name of a net or a layer that would break a line or a table.
func checkName(name string) error {
	for _, r := range name {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return fmt.Errorf("%s has letters that cannot be printed", strictyaml.Quote(name))
		}
	}
	if len(name) > maxName {
		return fmt.Errorf("%s is longer than %d bytes", strictyaml.Quote(name), maxName)
	}
	return nil
}

// Clone is a deep copy.
func (n *Net) Clone() *Net {
	c := *n
	c.Layers = cloned(n.Layers)
	return &c
}

func cloned(list []Layer) []Layer {
	c := make([]Layer, len(list))
	for i, l := range list {
		c[i] = l.Clone()
	}
	return c
}

// Clone is a deep copy.
func (l Layer) Clone() Layer {
	p := reflect.New(reflect.TypeOf(l.Spec).Elem())
	p.Elem().Set(reflect.ValueOf(l.Spec).Elem())
	for _, v := range strictyaml.Fields(p.Elem()) {
		switch {
		case v.Kind() == reflect.Pointer && !v.IsNil():
			c := reflect.New(v.Type().Elem())
			c.Elem().Set(v.Elem())
			v.Set(c)
		case v.Kind() == reflect.Slice && !v.IsNil():
			v.Set(reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v))
		}
	}
	c := Layer{Name: l.Name, Spec: p.Interface().(Spec)}
	for _, list := range c.Lists() {
		*list = cloned(*list)
	}
	return c
}
