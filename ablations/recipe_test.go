package ablations

import (
	"encoding/json"
	"strings"
	"testing"

	"ablate/strictyaml"
)

// decoded reads a recipe's data and train sections on top of the test's recipe.
func decoded(t *testing.T, text string) (Recipe, error) {
	t.Helper()
	n, err := strictyaml.Parse("r.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r := recipe(t, "alexnet")
	return r, n.Decode(&r)
}

// A default that is written out is the recipe that does not write it, and keys
// that are not used are not in what identifies a run.
func TestDefaultsAreOneRecipe(t *testing.T) {
	plain := recipe(t, "alexnet")
	plain.Data.PCAColour, plain.Data.Views = PCAColour{}, CentreView
	written := plain.Clone()
	n, err := strictyaml.Parse("r.yaml", []byte(`
data: {colour_space: rgb, crop_at: random, views: centre, pca_colour: {std: 0, scale: sqrt_eigenvalue}}
train: {layer_rates: []}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Decode(&written); err != nil {
		t.Fatal(err)
	}
	a, _ := plain.Identity()
	b, _ := written.Identity()
	if a != b {
		t.Error("a recipe that writes the defaults out has another identity")
	}
	text, err := json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"validation", "label_noise", "colour_space", "crop_at", "crop_chunk", "pca_colour", "noise_off", "views", "bias\":{\"lr", "layer_rates", "dropout_off", "power", "inverted"} {
		if strings.Contains(string(text), key) {
			t.Errorf("%s is part of a recipe that does not use it", key)
		}
	}
}

// Every key of the recipe is part of a run's identity.
func TestIdentityHoldsTheRecipe(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{
		"{}", "data: {validation: 5}", "data: {label_noise: 0.1}", "data: {colour_space: hsv}", "data: {mean: image_centre}",
		"data: {crop_at: centre}", "data: {crop_chunk: 32}", "data: {pca_colour: {std: 0.2}}", "data: {pca_colour: {scale: eigenvalue}}",
		"data: {pca_colour: {shrink: true}}", "data: {noise_off: {crop: 3}}", "data: {noise_off: {flip: 3}}", "data: {noise_off: {pca_colour: 3}}",
		"data: {views: centre}", "train: {bias: {lr: 0.02}}", "train: {bias: {schedule: {kind: linear}}}", "train: {layer_rates: [{layer: conv1, from: 3, factor: 0}]}",
		"train: {dropout_off: 3}", "train: {schedule: {kind: poly, power: 2}}", "train: {schedule: {kind: exp, target: 2}}",
	} {
		r, err := decoded(t, text)
		if err != nil {
			t.Fatal(err)
		}
		id, err := r.Identity()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[id]; ok {
			t.Errorf("%s has the identity of %s", text, other)
		}
		seen[id] = text
	}
}

func TestRecipesThatFail(t *testing.T) {
	for text, says := range map[string]string{
		"data: {colour_space: hvs}":                                "r.yaml:1: unknown colour space hvs; did you mean hsv?",
		"data: {crop_at: center}":                                  "r.yaml:1: unknown place of crops center; did you mean centre?",
		"data: {views: 10}":                                        "unknown kind of views 10; known: centre, ten",
		"data: {pca_colour: {scale: lambda}}":                      "unknown scale of colours lambda; known: sqrt_eigenvalue, eigenvalue",
		"data: {pca_color: {std: 0.1}}":                            "unknown key pca_color; did you mean pca_colour?",
		"data: {label_noise: 1.5}":                                 "data.label_noise is 1.5",
		"data: {validation: -1}":                                   "data.validation is -1",
		"data: {train: 10, validation: 10}":                        "data.validation is 10",
		"data: {mean: centre}":                                     `data.mean is "centre"; known: image, image_centre, channel, none`,
		"data: {mean: image_centre, pad: 4}":                       "data.mean is image_centre",
		"data: {crop: 0, crop_at: centre}":                         "data.crop_at says where crops lie",
		"data: {crop_chunk: -1}":                                   "data.crop_chunk is -1",
		"data: {pca_colour: {std: -1}}":                            "data.pca_colour.std is -1",
		"data: {colour_space: grey}":                               "data.pca_colour shifts RGB colours; data.colour_space is grey",
		"data: {crop: 0}":                                          "data.views is ten",
		"data: {noise_off: {flip: -2}}":                            "data.noise_off",
		"train: {bias: {lr: -1}}":                                  "train.bias.lr is -1",
		"train: {bias: {schedule: {kind: plateau}}}":               "train.bias.schedule.kind is plateau",
		"train: {bias: {schedule: {kind: linaer}}}":                `train.bias.schedule.kind is "linaer"`,
		"train: {bias: {schedule: {kind: exp}}}":                   "train.bias.schedule.target",
		"train: {schedule: {kind: poly}}":                          "train.schedule.power",
		"train: {schedule: {kind: linear, power: 2}}":              "train.schedule.power is for kind poly",
		"train: {dropout_off: -1}":                                 "train.dropout_off is -1",
		"train: {layer_rates: [{layer: conv9, factor: 0}]}":        `train.layer_rates names "conv9"; the layers that learn are conv1`,
		"train: {layer_rates: [{layer: relu1, factor: 0}]}":        `train.layer_rates names "relu1"`,
		"train: {layer_rates: [{layer: conv1, factor: -1}]}":       "train.layer_rates of conv1: from and factor must not be negative",
		"train: {layer_rates: [{layer: conv1}, {layer: conv1}]}":   "train.layer_rates of conv1 must come in the order",
		"train: {layer_rates: [{layer: conv1, until: 3}]}":         "unknown key until",
		"train: {layer_rates: [{layer: conv1, from: 3, lr: 0.1}]}": "unknown key lr",
	} {
		r, err := decoded(t, text)
		if err == nil {
			err = r.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", text, err, says)
		}
	}
}

// A bias schedule that says only its kind has a schedule's defaults.
func TestBiasSchedule(t *testing.T) {
	r, err := decoded(t, "train: {bias: {lr: 0.02, schedule: {kind: step, at: [3]}}}")
	if err != nil {
		t.Fatal(err)
	}
	if b := r.Train.Bias; b.LR != 0.02 || b.Schedule.Factor != 0.1 || r.Validate() != nil {
		t.Errorf("%+v, %v", b, r.Validate())
	}
}

// An ablation that removes a layer removes its rates.
func TestRemovedLayersHaveNoRates(t *testing.T) {
	r, err := decoded(t, "train: {layer_rates: [{layer: conv1, from: 2, factor: 0}, {layer: conv3, from: 2, factor: 0}]}")
	if err != nil {
		t.Fatal(err)
	}
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
