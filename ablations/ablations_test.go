package ablations

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ablate/arch"
	"ablate/recipe"
	"ablate/strictyaml"
)

// sample has what the catalogue takes away; the defaults have no colour noise and one view.
func sample(t *testing.T, net string) recipe.Recipe {
	t.Helper()
	r := recipe.Defaults()
	n, err := arch.Nets.Load(net)
	if err != nil {
		t.Fatal(err)
	}
	r.Net, r.Data.Name, r.Data.Flip = n, "shapes", true
	r.Data.Crop, r.Data.PCAColour.Std, r.Data.TestCrops = r.Net.Input.Height, 0.1, recipe.TenCrop
	r.Train.Batch, r.Train.Epochs, r.Train.LR, r.Train.WeightDecay = 10, 1, 0.01, 0.0005
	return r
}

func edits(t *testing.T, text string) []Edit {
	t.Helper()
	n, err := strictyaml.Parse("e.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var out []Edit
	if err := n.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// residual are the catalogue's ablations of what the paper's net lacks, with a net that has it.
var residual = map[string]string{
	"no-shortcuts": "resnet-20", "shortcut-pad": "resnet-18", "shortcut-projection": "resnet-20",
	"shortcut-projection-always": "resnet-20", "no-batch-norm": "resnet-20", "no-squeeze-excitation": "se-resnet-20",
}

// mobile are the ablations of MobileNet, and what tables 4 and 6 of Howard et al. 2017 print of them: millions of
// weights and of products. Its 4,866 million are those of one full 3×3 convolution in place of each pair; if only the
// depthwise ones became full, and the 1×1 ones stayed, they would be 4,829 million, of as many weights.
var mobile = map[string][2]float64{
	"mobilenet-width-0.75": {2.6, 325}, "mobilenet-width-0.5": {1.3, 149}, "full-convolutions": {29.3, 4866},
}

func TestMobileNets(t *testing.T) {
	for name, want := range mobile {
		a, err := Catalogue.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Apply(sample(t, "mobilenet-v1"), a.For("mobilenet-v1")...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Net.Cost()
		if err != nil {
			t.Fatal(err)
		}
		params, macs := math.Round(float64(got.Params)/1e5)/10, math.Round(float64(got.MACs)/1e6)
		if name == "full-convolutions" {
			macs = math.Round(float64(got.MACs-1024*1000) / 1e6) // the table leaves the dense layer out of this row
		}
		if params != want[0] || math.Abs(macs-want[1]) > 0.001*want[1] {
			t.Errorf("%s has %v M parameters and %v M products, the paper says %v and %v", name, params, macs, want[0], want[1])
		}
	}
}

// Without dense connections a DenseNet is a chain of thin layers.
func TestNoDenseConnections(t *testing.T) {
	a, err := Catalogue.Get("no-shortcuts")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Apply(sample(t, "densenet-bc-100-12"), a.For("densenet-bc-100-12")...)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := r.Net.Infer()
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range layers {
		if len(l.From) != 1 || l.From[0] != i-1 {
			t.Errorf("%s reads %v", l.Layer.Name, l.From)
		}
	}
}

// What each ablation of the catalogue does to the paper's net, or to one that has what it is about, in the table's
// words.
func TestCatalogue(t *testing.T) {
	want := map[string]string{
		"no-lrn":     "− norm1, norm2",
		"no-dropout": "− drop6, drop7",
		"no-overlapping-pooling": "pool1, pool2, pool5: ceil false→true, kernel 3→2 · conv2: pad.bottom 2→1, pad.left " +
			"2→1, pad.right 2→1, pad.top " +
			"2→1 · conv5: pad.bottom 1→0, pad.left 1→0, pad.right 1→0, pad.top 1→0",
		"no-column-communication": "conv2: filters 256→320 · conv3: within_column false→true · " +
			"fc6: dense → conv {filters 8192, kernel 6} · fc7: dense → conv {filters 4096, kernel 1}",
		"one-gpu": "conv1: filters 96→48 · conv2: filters 256→128 · conv3, conv4: filters 384→192 · " +
			"columns 2→1",
		"tanh":                    "relu1 … relu7 (7): relu → tanh",
		"sigmoid":                 "relu1 … relu7 (7): relu → sigmoid",
		"prelu":                   "relu1 … relu7 (7): relu → prelu",
		"elu":                     "relu1 … relu7 (7): relu → elu",
		"no-units":                "− relu1, relu2, relu3, relu4, relu5, relu6, relu7",
		"average-pooling":         "pool1, pool2, pool5: maxpool → avgpool",
		"max-and-average-pooling": "pool1, pool2, pool5: maxpool → maxavgpool",
		"batch-norm":              "+ bn1, bn2, bn3, bn4, bn5, bn6, bn7",
		"batch-norm-before":       "+ bn1, bn2, bn3, bn4, bn5, bn6, bn7",
		"bias-zero":               "conv2 … fc7 (5): init.bias 1→0",
		"no-weight-decay":         "train.weight_decay 0.0005→0",
		"inverted-dropout":        "drop6, drop7: inverted –→true",
		"no-crops-and-flips":      "data.crop_at –→centre · data.flip true→false",
		"no-flip":                 "data.flip true→false",
		"no-pca-colour":           "data.pca_colour.std 0.1→–",
		"one-view":                "data.test_crops ten→–",
		"drop-conv3":              "− conv3, relu3",
		"drop-conv4":              "− conv4, relu4",
		"drop-conv5":              "− conv5, relu5",
		"drop-fc6":                "− fc6, relu6, drop6",
		"drop-fc7":                "− fc7, relu7, drop7",

		"no-shortcuts":               "block1 … block3 (5): shortcut pad→none",
		"shortcut-pad":               "block2 … block5 (7): shortcut projection→pad",
		"shortcut-projection":        "block1 … block3 (5): shortcut pad→projection",
		"shortcut-projection-always": "block1 … block3 (5): shortcut pad→projection_always",
		"no-squeeze-excitation":      "− se_conv1b, se_conv2b, se_conv2d, se_conv3b, se_conv3d",
		"no-batch-norm":              "− bn1, bn2, bn3, bn4, bn5, bn6, bn7, bn8, bn9, bn10, bn11",
	}
	got := map[string]string{}
	for _, name := range Catalogue.Names() {
		a, err := Catalogue.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := mobile[name]; ok {
			continue
		}
		net := "alexnet"
		if other, ok := residual[name]; ok {
			net = other
		}
		base := sample(t, net)
		r, err := Apply(base, a.For(net)...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got[name] = strings.Join(recipe.Changes(base, r), " · ")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// The ablations put on net 145 make the nets that the authors trained: layer by layer the same.
func TestAblationsMakeTheSourcesNets(t *testing.T) {
	for ablation, want := range map[string]string{
		"one-gpu": "-145-half", "no-overlapping-pooling": "-147", "no-lrn": "-148", "no-column-communication": "-150",
	} {
		a, err := Catalogue.Get(ablation)
		if err != nil {
			t.Fatal(err)
		}
		const net = "alexnet-2012-source"
		r, err := Apply(sample(t, net), a.For(net)...)
		if err != nil {
			t.Errorf("%s: %v", ablation, err)
			continue
		}
		made, err := r.Net.Infer()
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := sample(t, net+want).Net.Infer()
		if err != nil {
			t.Fatal(err)
		}
		// With one column, within_column says nothing; Groups tells what it comes to.
		if d := cmp.Diff(theirs, made, cmpopts.IgnoreFields(arch.Conv{}, "WithinColumn")); d != "" {
			t.Errorf("%s on %s is not net %s (-net +ablation):\n%s", ablation, net, want, d)
		}
	}
}

// The one-GPU ablation is the one-GPU net, and non-overlapping pooling keeps the maps' sizes.
func TestAblationsMeetTheirNets(t *testing.T) {
	one, _ := Catalogue.Get("one-gpu")
	r, err := Apply(sample(t, "alexnet"), one.For("alexnet")...)
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := r.Net.Cost(); c.Params != 59_798_312 || c.MACs != 391_514_384 {
		t.Errorf("%+v", c)
	}
	pools, _ := Catalogue.Get("no-overlapping-pooling")
	for net, want := range map[string][]string{
		"alexnet":            {"28×28×96", "13×13×256", "6×6×256"},
		"alexnet-32":         {"16×16×16", "8×8×32", "4×4×32"},
		"cuda-convnet-18pct": {"16×16×32", "8×8×32", "4×4×64"},
	} {
		r, err := Apply(sample(t, net), pools.For(net)...)
		if err != nil {
			t.Fatal(err)
		}
		placed, err := r.Net.Infer()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range placed {
			if strings.HasPrefix(p.Layer.Name, "pool") {
				got = append(got, p.Out.String())
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", net, d)
		}
	}
}

func TestEdits(t *testing.T) {
	for text, want := range map[string]string{
		"- remove: {select: {kind: maxpool, nth: last}}":      "− pool5",
		"- remove: {select: {kind: [lrn, dropout], nth: 2}}":  "− norm2",
		"- set: {select: {name: conv1}, filters: {times: 2}}": "conv1: filters 16→32",
		"- set: {select: {kind: lrn}, k: 1, size: 3}":         "norm1, norm2: k 2→1, size 5→3",
		"- set: {key: train.lr, value: {times: 0.5}}":         "train.lr 0.01→0.005",
		"- set: {key: train.schedule.kind, value: plateau}": "train.schedule.kind " +
			"constant→plateau",
		"- replace: {select: {name: relu1}, with: {tanh: {a: 1.7}}}":                    "relu1: relu → tanh",
		"- insert: {after: {name: relu3}, layers: [{dropout: {name: d, rate: 0.1}}]}":   "+ d",
		"- insert: {before: {kind: softmax_loss}, layers: [{relu: {name: r}}]}":         "+ r",
		"- remove: {select: {name: norm1}}\n- remove: {select: {name: [norm2, drop6]}}": "− norm1, norm2, drop6",
	} {
		base := sample(t, "alexnet-32")
		r, err := Apply(base, edits(t, text)...)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := strings.Join(recipe.Changes(base, r), " · "); got != want {
			t.Errorf("%s\ngives %s\nwant  %s", text, got, want)
		}
		if c := recipe.Changes(base, sample(t, "alexnet-32")); len(c) > 0 {
			t.Errorf("%s changed the recipe it was put on: %v", text, c)
		}
	}
}

func TestEditsThatFail(t *testing.T) {
	for text, want := range map[string]string{
		"- remove: {select: {kind: lrn, nth: 3}}": "e.yaml:1: nth is 3, but 2 layers are selected; want first, last, " +
			"or 1 to 2",
		"- set: {select: {name: conv1}, filters: {times: 0.03}}": "e.yaml:1: filters is 16; 0.03 times that is not a " +
			"whole number",
		"- set: {select: {name: conv1}, filters: 17}": "e.yaml:1: after this edit, net alexnet-32, layer conv1 after " +
			"the input: 17 filters cannot be split into 2 " +
			"columns: shapes do not fit",
		"- set: {select: {name: norm1}, size: 4}": "e.yaml:1: lrn norm1: size is 4; want an odd number",
		"- set: {key: train.lrr, value: 1}":       "e.yaml:1: unknown key train.lrr; did you mean train.lr?",
		"- set: {key: train.lr, value: 0.01}":     "e.yaml:1: this set on net alexnet-32: changes nothing",
		"- remove: {select: {kind: softmax_loss}}": "e.yaml:1: after this edit, net alexnet-32: the last layer is fc8; " +
			"a net must end with softmax_loss",
		"- insert: {after: {name: relu1}, layers: [{relu: {name: relu1}}]}": "e.yaml:1: after this edit, net " +
			"alexnet-32: two layers are called relu1",
		"- replace: {select: {name: relu1}, with: {conv: {filters: 16, kernel: 99, init: {kind: he}}}}": "e.yaml:1: " +
			"after this edit, net alexnet-32, layer relu1 after conv1: a 99×99 window does not fit 32×32×16: the " +
			"output would be 0×0×16: shapes do not fit",
	} {
		_, err := Apply(sample(t, "alexnet-32"), edits(t, text)...)
		if err == nil || err.Error() != want {
			t.Errorf("%s\ngives %v\nwant  %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"- delete: {select: {kind: lrn}}":  "e.yaml:1: unknown edit delete; known: remove, set, replace, insert",
		"- remove: {}":                     "e.yaml:1: remove needs select",
		"- remove: {select: {kin: lrn}}":   "e.yaml:1: unknown key kin; did you mean kind?",
		"- remove: {select: {kind: lnr}}":  "e.yaml:1: unknown layer kind lnr; did you mean lrn?",
		"- set: {select: {kind: lrn}}":     "e.yaml:1: set needs a key to change beside select",
		"- set: {key: train.lr}":           "e.yaml:1: set needs a value beside its key",
		"- insert: {after: {kind: lrn}}":   "e.yaml:1: insert needs layers",
		"- replace: {select: {kind: lrn}}": "e.yaml:1: replace needs with",
		"- remove: {select: {}}": "e.yaml:1: a selector is a mapping of name, kind or both, as in " +
			"{kind: relu}",
		"- remove: {select: {kind: lrn}, x: 1}": "e.yaml:1: unknown key x; known: select",
	} {
		n, err := strictyaml.Parse("e.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var out []Edit
		if err := n.Decode(&out); err == nil || err.Error() != want {
			t.Errorf("%s\ngives %v\nwant  %s", text, err, want)
		}
	}
}

func TestSentinels(t *testing.T) {
	if _, err := Apply(sample(t, "alexnet-32"), edits(t, "- set: {key: train.lr, value: 0.01}")...); !errors.Is(err,
		ErrNoChange) {
		t.Error(err)
	}
	if _, err := Apply(sample(t, "alexnet-32"), edits(t,
		"- set: {select: {name: pool1}, kernel: 99, ceil: false}")...); !errors.Is(err, arch.ErrShape) {
		t.Error(err)
	}
}

func TestDesigns(t *testing.T) {
	abc := []string{"a", "b", "c"}
	for d, want := range map[Design][][]string{
		LeaveOneOut: {{"a"}, {"b"}, {"c"}},
		Cumulative:  {{"a"}, {"a", "b"}, {"a", "b", "c"}},
		Factorial:   {{"a"}, {"b"}, {"a", "b"}, {"c"}, {"a", "c"}, {"b", "c"}, {"a", "b", "c"}},
	} {
		got, err := d.Combinations(abc)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", d, err, diff)
		}
	}
	if _, err := Factorial.Combinations(strings.Fields("a b c d e f g")); err == nil {
		t.Error("128 variants were let through")
	}
}

// An ablation that removes a layer removes its rates.
func TestRemovedLayersHaveNoRates(t *testing.T) {
	r := sample(t, "alexnet")
	r.Train.LayerRates = []recipe.LayerRate{{Layer: "conv1", From: 2}, {Layer: "conv3", From: 2}}
	drop, _ := Catalogue.Get("drop-conv3")
	got, err := Apply(r, drop.For("alexnet")...)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Validate(); err != nil || len(got.Train.LayerRates) != 1 || got.Train.LayerRates[0].Layer != "conv1" {
		t.Errorf("%+v, %v", got.Train.LayerRates, err)
	}
	if len(r.Train.LayerRates) != 2 || r.Train.LayerRates[1].Layer != "conv3" {
		t.Errorf("the base became %+v", r.Train.LayerRates)
	}
}

// Edits reach layers at any depth: by name and kind, in blocks, branches and repeated parts.
func TestEditsInParts(t *testing.T) {
	for _, c := range []struct{ edits, want string }{
		{"[{set: {select: {name: conv1a}, filters: 24}}, {set: {select: {name: conv1b}, kernel: 1, pad: 0}}]",
			"conv1a: filters 16→24 · conv1b: kernel 3→1, pad.bottom 1→0, pad.left 1→0, pad.right 1→0, pad.top 1→0"},
		{"[{remove: {select: {name: block2}}}]", "− block2"},
		{"[{remove: {select: {name: stage3}}}]", "− stage3"},
		{"[{set: {select: {kind: repeat}, times: {times: 2}}}]",
			"stage1: times 3→6 · stage2, stage3: times 2→4"},
		{"[{set: {select: {kind: residual, nth: first}, shortcut: none}}]", "block1: shortcut pad→none"},
		{"[{insert: {after: {name: bn2}, layers: [{dropout: {name: drop, rate: 0.2}}]}}]", "+ drop"},
		{"[{replace: {select: {kind: relu, nth: 2}, with: {elu: {}}}}]", "relu2: relu → elu"},
	} {
		base := sample(t, "resnet-20")
		r, err := Apply(base, edits(t, c.edits)...)
		if err != nil {
			t.Errorf("%s: %v", c.edits, err)
			continue
		}
		if got := strings.Join(recipe.Changes(base, r), " · "); got != c.want {
			t.Errorf("%s changes %s, want %s", c.edits, got, c.want)
		}
	}
}

// An edit that empties a part, or makes shapes that do not meet, is refused with the part's name and both shapes.
func TestEditsThatBreakParts(t *testing.T) {
	for _, c := range []struct{ edits, want string }{
		{"[{remove: {select: {kind: [conv, batch_norm, relu]}}}]",
			"e.yaml:1: after this edit, net resnet-20: part block1: layers is missing; a residual block adds its input to " +
				"their output"},
		{"[{set: {select: {kind: residual}, shortcut: identity}}]",
			"e.yaml:1: after this edit, nets/resnet-20.yaml:25: net resnet-20, part down2: its layers turn " +
				"32×32×16 into 16×16×32, " +
				"but shortcut identity needs equal shapes; pad and projection fit others: shapes do not fit"},
		{"[{set: {select: {kind: repeat}, times: 4096}}]",
			"e.yaml:1: after this edit, net resnet-20: more than 4096 layers, counting each copy of repeated ones"},
		{"[{set: {select: {kind: repeat}, times: 0}}]", "e.yaml:1: repeat stage1: times is 0; want at " +
			"least 1"},
		{"[{insert: {before: {name: relu1}, layers: [{softmax_loss: {}}]}}]",
			"e.yaml:1: after this edit, net resnet-20: layer loss2: softmax_loss must end a net, but relu comes after it"},
		{"[{insert: {before: {name: conv2b}, layers: [{softmax_loss: {}}]}}]",
			"e.yaml:1: after this edit, net resnet-20: a softmax_loss is inside a part; it must end the net"},
	} {
		_, err := Apply(sample(t, "resnet-20"), edits(t, c.edits)...)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s:\n%v, want\n%s", c.edits, err, c.want)
		}
	}
}

// Without its shortcuts a residual net is the plain net: the same layers of the same shapes and costs.
func TestNoShortcutsIsThePlainNet(t *testing.T) {
	a, err := Catalogue.Get("no-shortcuts")
	if err != nil {
		t.Fatal(err)
	}
	for _, depth := range []string{"20", "32", "44", "56"} {
		r, err := Apply(sample(t, "resnet-"+depth), a.For("resnet-"+depth)...)
		if err != nil {
			t.Fatal(err)
		}
		made, err := r.Net.Infer()
		if err != nil {
			t.Fatal(err)
		}
		plain, err := sample(t, "plain-"+depth).Net.Infer()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(plain, made, cmpopts.IgnoreFields(arch.LayerInfo{}, "Depth"), cmpopts.IgnoreFields(arch.Layer{},
			"Name")); d != "" {
			t.Errorf("resnet-%s without shortcuts is not plain-%s (-plain +ablation):\n%s", depth, depth, d)
		}
	}
}
