package train

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"ablate/arch"
	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/graph"
)

// ErrInit reports initial weights that do not fit the net.
var ErrInit = errors.New("cannot begin with these weights")

// WeightsFile returns the file that an init names: from itself, or the weights file in it if from
// is a run's folder.
func WeightsFile(from string) string {
	if info, err := os.Stat(from); err == nil && info.IsDir() {
		return experiments.WeightsPath(from)
	}
	return from
}

// CheckInit reports whether the initial weights of a recipe exist and fit its net.
func CheckInit(r recipe.Recipe) error {
	if r.Train.Init.From == "" {
		return nil
	}
	g, err := graph.Build(r.Net, 1, false)
	if err != nil {
		return err
	}
	_, err = initialWeights(r, g.Params)
	return err
}

// initialWeights returns the values that an init has for a net's parameters, by name.
func initialWeights(r recipe.Recipe, params []graph.Param) (map[string][]float32, error) {
	init := r.Train.Init
	file := WeightsFile(init.From)
	stored, err := experiments.ReadWeightsFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInit, err)
	}
	foreign := stored.About["format"] != experiments.WeightsFormat && file == init.From
	inputs, err := inputsOf(r.Net)
	if err != nil {
		return nil, err
	}
	held := map[string]experiments.Tensor{}
	for _, t := range stored.Params {
		if foreign {
			t.Name = renamed(t.Name, params)
		}
		held[t.Name] = t
	}
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s %s", ErrInit, file, fmt.Sprintf(format, args...))
	}
	values := map[string][]float32{}
	for _, p := range params {
		t, ok := held[p.Name]
		delete(held, p.Name)
		if slices.Contains(init.Except, p.Layer) {
			continue
		}
		want := p.Shape
		if foreign {
			want = shapeThere(p, inputs[p.Layer])
		}
		switch {
		case !ok:
			return nil, refuse("holds no %s, which the net has as %v; except: [%s] begins that layer anew", p.Name, want,
				p.Layer)
		case !slices.Equal(t.Shape, want):
			return nil, refuse("holds %s as %v, the net has %v; except: [%s] begins that layer anew", p.Name, t.Shape, want,
				p.Layer)
		}
		if values[p.Name] = t.Data; foreign {
			values[p.Name] = turned(t.Data, p, inputs[p.Layer])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(held)) {
		layer := name[:max(strings.LastIndexByte(name, '.'), 0)]
		if !init.IgnoreExtra && !slices.Contains(init.Except, layer) {
			return nil, refuse("holds %s as %v, which the net has not; except: [%s] or ignore_extra: true leaves it out",
				name, held[name].Shape, layer)
		}
	}
	return values, nil
}

// load sets the parameters for which an init has values.
func load(params *engine.Params, values map[string][]float32) error {
	for _, name := range params.Names() {
		if v, ok := values[name]; ok {
			if err := params.SetWeights(name, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// inputsOf returns the input shapes of a net's layers, by name.
func inputsOf(net *arch.Net) (map[string]arch.Shape, error) {
	layers, err := net.Infer()
	if err != nil {
		return nil, err
	}
	inputs := map[string]arch.Shape{}
	for _, l := range layers {
		inputs[l.Layer.Name] = l.In
	}
	return inputs, nil
}

// renamed returns our name of a tensor in a PyTorch state dict.
func renamed(name string, params []graph.Param) string {
	at := strings.LastIndexByte(name, '.')
	if at < 0 {
		return name
	}
	layer, what := name[:at], name[at+1:]
	switch what {
	case "running_mean":
		what = "mean"
	case "running_var":
		what = "variance"
	case "weight":
		slope := layer + ".slope"
		if slices.ContainsFunc(params, func(p graph.Param) bool { return p.Name == slope }) {
			return slope
		}
	}
	return layer + "." + what
}

// shapeThere returns a parameter's shape in PyTorch.
func shapeThere(p graph.Param, in arch.Shape) []int {
	switch s := p.Shape; len(s) {
	case 2:
		return []int{s[1], in.Len()}
	case 4:
		return []int{s[3], s[2], s[0], s[1]}
	}
	return p.Shape
}

// turned converts a parameter's values from PyTorch's order to ours: [out, in, row, column] to
// [row, column, in, out], and [out, channel·row·column] to [row·column·channel, out].
func turned(from []float32, p graph.Param, in arch.Shape) []float32 {
	s := p.Shape
	inner, outer, channels := 0, 0, 0
	switch len(s) {
	case 2:
		inner, channels, outer = in.Height*in.Width, in.Channels, s[1]
	case 4:
		inner, channels, outer = s[0]*s[1], s[2], s[3]
	default:
		return from
	}
	to := make([]float32, len(from))
	for pixel := range inner {
		for c := range channels {
			for o := range outer {
				to[(pixel*channels+c)*outer+o] = from[(o*channels+c)*inner+pixel]
			}
		}
	}
	return to
}
