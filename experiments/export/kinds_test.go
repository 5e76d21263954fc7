package export_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"ablate/arch"
	"ablate/arch/archtest"
	"ablate/experiments"
	"ablate/experiments/export"
	"ablate/experiments/export/onnx"
	"ablate/experiments/export/torch"
	"ablate/runner/graph"
)

// refused lists the kinds that PyTorch and ONNX do not have. A new kind may be refused too, by name.
var refused = []string{"local", "stochasticpool", "spatialpyramid"}

// written lists the kinds that must not be refused.
var written = []string{
	"conv", "dense", "relu", "tanh", "sigmoid", "leaky_relu", "rrelu", "prelu", "elu", "selu", "softplus", "arcsinh",
	"maxout", "batch_norm", "lrn", "maxpool", "avgpool", "maxavgpool", "global_avgpool", "dropout", "softmax_loss",
	"residual", "branches", "repeat", "squeeze_excitation", "group_norm", "layer_norm", "gelu", "silu", "hard_swish",
}

func TestEveryKindIsWrittenOrRefusedByName(t *testing.T) {
	for _, kind := range arch.Kinds() {
		t.Run(kind, func(t *testing.T) {
			net := archtest.Net(t, kind)
			weights := weightsOf(t, net)
			_, onnxErr := onnx.Model(net, weights, nil)
			_, torchErr := torch.New(net, weights)
			isRefused := errors.Is(onnxErr, onnx.ErrKind) && errors.Is(torchErr, torch.ErrKind)
			for _, err := range []error{onnxErr, torchErr} {
				switch {
				case isRefused && !strings.Contains(err.Error(), "layer it: a layer of kind "+kind):
					t.Errorf("%v, want a refusal that names layer and kind", err)
				case !isRefused && err != nil:
					t.Error(err)
				}
			}
			if isRefused && slices.Contains(written, kind) || !isRefused && slices.Contains(refused, kind) {
				t.Errorf("refused: %v", isRefused)
			}
			delete(weights, "last.bias")
			_, err := onnx.Model(net, weights, nil)
			if !isRefused && (err == nil || !strings.Contains(err.Error(), "last.bias")) {
				t.Errorf("weights without last.bias: %v", err)
			}
		})
	}
}

// weightsOf returns a net's parameters, all 1.
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

// torchvision's alexnet gets torchvision's names. Its dropout, which does nothing in evaluation, is folded into the
// weights.
func TestTorchvisionNames(t *testing.T) {
	net, err := arch.Nets.Load("alexnet-torchvision")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range net.Layers {
		if d, ok := l.Spec.(*arch.Dense); ok && l.Name == "fc8" {
			d.Outputs = 10 // as for other data
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
	if len(m.Tensors) != 16 || !strings.Contains(string(m.Source), "alexnet(weights=None, num_classes=10)") {
		t.Errorf("%d tensors\n%s", len(m.Tensors), m.Source)
	}
}
