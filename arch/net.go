// Package arch describes networks as data: layer kinds, their YAML form, a registry of named nets,
// shapes, and the cost of a net (parameters, multiply-accumulates, bytes). It knows nothing about
// training.
//
// Each kind of layer is one type in one file, with its keys, their defaults and ranges, its checks,
// the shape of its output, its cost and its wording. The file registers it with kind.
package arch

import (
	"fmt"
	"reflect"
	"unicode"

	"ablate/strictyaml"
)

// A Net is a network as its YAML file states it.
type Net struct {
	// the name of the net in tables and ablations
	Name string `yaml:"net" required:"true" example:"my-net"`
	// one line for listings
	Title string `yaml:"title" example:"LeNet-5 with ReLU"`
	// where the numbers come from
	Source string `yaml:"source" example:"LeCun et al. 1998, section II"`
	// the size of one image
	Input Shape `yaml:"input" example:"{height: 32, width: 32, channels: 3}"`
	// the number of towers into which the channels are split, like the two of the paper's GPUs
	Columns int `yaml:"columns" min:"1" max:"1024" example:"2"`
	// the layers in order, including parts that hold layers; the last is softmax_loss
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

// A Layer is one entry of a net's layers: a kind with its hyperparameters. In YAML it is a mapping
// with one key, `- conv: {name: conv1, filters: 96, …}`. A part (residual, branches, repeat) is a
// layer that holds layers.
type Layer struct {
	Name string // unique in the net; generated (relu1, pool2 …) if the YAML has none
	Spec Spec   // a pointer to one of the kinds
}

// A Spec holds the hyperparameters of one layer in a net file.
type Spec interface {
	// Kind returns the word of the YAML form: conv, relu, lrn …
	Kind() string
	// Words describes a layer whose shapes are known: "conv 5×5/1 pad 2, 2 groups".
	Words(p LayerInfo) string

	// stem returns the first part of generated names: relu1, norm2, pool5 …
	stem() string
	// defaults sets the optional keys.
	defaults()
	// check refuses values that no net can have, beyond the ranges in the fields' tags.
	check() error
	// place sets the output, groups and costs of a layer whose input is known.
	place(p *LayerInfo, columns int) error
}

// Elementwise is embedded in kinds that keep the shape of their input and have no weights.
type Elementwise struct{}

func (Elementwise) defaults()                   {}
func (Elementwise) check() error                { return nil }
func (Elementwise) place(*LayerInfo, int) error { return nil }

// Complete gives names to the layers without one and checks everything that does not need shapes:
// names are unique, and a net ends with its loss.
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
				return fmt.Errorf("layer %s: softmax_loss must end a net, but %s comes after it", l.Name, n.Layers[i+1].Spec.Kind())
			}
			return fmt.Errorf("the last layer is %s; a net must end with softmax_loss", l.Name)
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

// maxName limits the names of nets and layers, which appear in messages, tables and files.
const maxName = 100

// checkName refuses a name of a net or a layer that would break a line or a table.
func checkName(name string) error {
	for _, r := range name {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return fmt.Errorf("%s has characters that cannot be printed", strictyaml.Quote(name))
		}
	}
	if len(name) > maxName {
		return fmt.Errorf("%s is longer than %d bytes", strictyaml.Quote(name), maxName)
	}
	return nil
}

// Clone returns a deep copy.
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

// Clone returns a deep copy.
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
