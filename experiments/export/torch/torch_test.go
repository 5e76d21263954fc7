package torch

import (
	"slices"
	"testing"

	"ablate/arch"
)

// A variant of torchvision's alexnet is a different net. model.py once built torchvision's and loaded the variant's
// weights into it: with other sizes that failed, and with another unit it computed something else.
func TestVariantsOfTorchvision(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*arch.Net)
		same bool
	}{
		"none":           {func(*arch.Net) {}, true},
		"other classes":  {func(n *arch.Net) { n.Layers[19].Spec.(*arch.Dense).Outputs = 10 }, true},
		"no dropout":     {func(n *arch.Net) { n.Layers = slices.Delete(n.Layers, 13, 14) }, true},
		"a layer's size": {func(n *arch.Net) { n.Layers[17].Spec.(*arch.Dense).Outputs = 9 }, false},
		"the input":      {func(n *arch.Net) { n.Input.Height, n.Input.Width = 199, 199 }, false},
		"a unit":         {func(n *arch.Net) { n.Layers[1].Spec = &arch.ELU{Alpha: 1} }, false},
		"a window":       {func(n *arch.Net) { n.Layers[2].Spec.(*arch.MaxPool).Ceil = true }, false},
		"a bias":         {func(n *arch.Net) { n.Layers[3].Spec.(*arch.Conv).Bias = false }, false},
		"no unit":        {func(n *arch.Net) { n.Layers = slices.Delete(n.Layers, 1, 2) }, false},
		"another net":    {func(n *arch.Net) { n.Name = "mine" }, false},
	} {
		net, err := arch.Nets.Load("alexnet-torchvision")
		if err != nil {
			t.Fatal(err)
		}
		c.edit(net)
		infos, err := net.Infer()
		if err != nil {
			t.Fatal(name, err)
		}
		names, err := torchvisionNames(net.Name, infos)
		if err != nil || (names != nil) != c.same {
			t.Errorf("%s: %v, %v", name, names, err)
		}
	}
}
