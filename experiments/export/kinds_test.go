package export_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ablate/arch"
	"ablate/experiments"
	"ablate/experiments/export"
	"ablate/experiments/export/onnx"
	"ablate/experiments/export/torch"
	"ablate/runner/graph"
)

// layers has one of each kind between a convolution and the dense layer behind
// it. A kind that is new fails here until it is either written or refused by name.
var layers = map[string]string{
	"conv":           "{name: it, filters: 4, kernel: 3, pad: {right: 1}, within_column: true, init: {kind: he}}",
	"local":          "{name: it, filters: 4, kernel: 3, init: {kind: he}}",
	"dense":          "{name: it, outputs: 4, init: {kind: he}}",
	"lrn":            "{name: it, size: 3, alpha: 0.1, alpha_over_size: false, beta: 0.75, k: 2}",
	"maxpool":        "{name: it, kernel: 3, stride: 2}",
	"avgpool":        "{name: it, kernel: 3, stride: 2}",
	"maxavgpool":     "{name: it, kernel: 3, stride: 2}",
	"stochasticpool": "{name: it, kernel: 3, stride: 2}",
	"spatialpyramid": "{name: it, levels: [1, 2]}",
	"dropout":        "{name: it, rate: 0.5}",
	"softmax_loss":   "", // ends every net
}

func TestEveryKindIsWrittenOrRefusedByName(t *testing.T) {
	refused := map[string]bool{"local": true, "stochasticpool": true, "spatialpyramid": true}
	for _, kind := range arch.Kinds() {
		t.Run(kind, func(t *testing.T) {
			layer, listed := layers[kind]
			if !listed {
				layer = "{name: it}"
			}
			text := "net: n\ninput: {height: 8, width: 8, channels: 3}\ncolumns: 2\nlayers:\n" +
				"- conv: {name: conv1, filters: 8, kernel: 3, pad: 1, init: {kind: he}}\n"
			if layer != "" {
				text += fmt.Sprintf("- %s: %s\n", kind, layer)
			}
			net, err := arch.Parse("n.yaml",
				[]byte(text+"- dense: {name: fc, outputs: 2, init: {kind: he}}\n- softmax_loss: {}\n"))
			if err != nil {
				t.Fatal(err)
			}
			weights := weightsOf(t, net)
			_, onnxErr := onnx.Model(net, weights)
			_, torchErr := torch.New(net, weights)
			for _, err := range []error{onnxErr, torchErr} {
				switch isRefused := errors.Is(err, onnx.ErrKind) || errors.Is(err, torch.ErrKind); {
				case refused[kind] && (!isRefused || !strings.Contains(err.Error(), "layer it: a layer of kind "+kind)):
					t.Errorf("%v, want a refusal that names layer and kind", err)
				case !refused[kind] && err != nil:
					t.Error(err)
				}
			}
			delete(weights, "fc.bias")
			if _, err := onnx.Model(net, weights); !refused[kind] && (err == nil || !strings.Contains(err.Error(), "fc.bias")) {
				t.Errorf("weights without fc.bias: %v", err)
			}
		})
	}
}

// weightsOf are a net's parameters, all 1.
func weightsOf(t *testing.T, net *arch.Net) export.Weights {
	t.Helper()
	g, err := graph.Build(net, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	w := export.Weights{}
	for _, p := range g.Params {
		n := 1
		for _, d := range p.Shape {
			n *= d
		}
		w[p.Name] = experiments.Tensor{Name: p.Name, Shape: p.Shape, Data: slices.Repeat([]float32{1}, n)}
	}
	return w
}

// torchvision's alexnet has torchvision's names, and its dropout, which does
// nothing in evaluation, is in the weights.
func TestTorchvisionNames(t *testing.T) {
	net, err := arch.Nets.Load("alexnet-torchvision")
	if err != nil {
		t.Fatal(err)
	}
	net.Input.Height, net.Input.Width = 63, 63
	for _, l := range net.Layers {
		if d, ok := l.Spec.(*arch.Dense); ok {
			d.Outputs = 8
		}
	}
	m, err := torch.New(net, weightsOf(t, net))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float32{}
	for _, tensor := range m.Tensors {
		values[tensor.Name] = tensor.Data[0]
	}
	for name, want := range map[string]float32{
		"features.0.weight": 1, "features.10.bias": 1, "classifier.1.weight": 0.5, "classifier.4.weight": 0.5,
		"classifier.6.weight": 1,
	} {
		if got := values[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if len(m.Tensors) != 16 || !strings.Contains(string(m.Source), "alexnet(weights=None)") {
		t.Errorf("%d tensors\n%s", len(m.Tensors), m.Source)
	}
}
