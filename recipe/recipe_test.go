package recipe

import (
	"encoding/json"
	"strings"
	"testing"

	"ablate/arch"
	"ablate/strictyaml"
)

// sample uses keys whose defaults are to use nothing: colour noise, ten views.
func sample(t *testing.T, net string) Recipe {
	t.Helper()
	r := Defaults()
	n, err := arch.Nets.Load(net)
	if err != nil {
		t.Fatal(err)
	}
	r.Net, r.Data.Name, r.Data.Flip = n, "shapes", true
	r.Data.Crop, r.Data.PCAColour.Std, r.Data.TestCrops = r.Net.Input.Height, 0.1, TenCrop
	r.Train.Batch, r.Train.Epochs, r.Train.LR, r.Train.WeightDecay = 10, 1, 0.01, 0.0005
	return r
}

// decoded reads a recipe's data and train sections on top of the test's recipe.
func decoded(t *testing.T, text string) (Recipe, error) {
	t.Helper()
	n, err := strictyaml.Parse("r.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r := sample(t, "alexnet")
	return r, n.Decode(&r)
}

// A default that is written out is the recipe that does not write it, and keys
// that are not used are not in what identifies a run.
func TestDefaultsAreOneRecipe(t *testing.T) {
	plain := sample(t, "alexnet")
	plain.Data.PCAColour, plain.Data.TestCrops = PCAColour{}, CentreCrop
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
	for _, key := range []string{"validation", "label_noise", "colour_space", "crop_at", "crop_chunk", "pca_colour",
		"augment_until", "test_crops", "bias\":{\"lr", "layer_rates", "dropout_until", "power", "inverted"} {
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
		"data: {crop_at: centre}", "data: {crop_chunk: 32}", "data: {pca_colour: {std: 0.2}}",
		"data: {pca_colour: {scale: eigenvalue}}",
		"data: {pca_colour: {shrink: true}}", "data: {augment_until: {crop: 3}}", "data: {augment_until: {flip: 3}}",
		"data: {augment_until: {pca_colour: 3}}",
		"data: {test_crops: centre}", "train: {bias: {lr: 0.02}}", "train: {bias: {schedule: {kind: linear}}}",
		"train: {layer_rates: [{layer: conv1, from: 3, factor: 0}]}",
		"train: {dropout_until: 3}", "train: {schedule: {kind: poly, power: 2}}", "train: {schedule: {kind: exp, target: 2}}",
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
		"data: {colour_space: hvs}":                   "r.yaml:1: unknown colour space hvs; did you mean hsv?",
		"data: {crop_at: center}":                     "r.yaml:1: unknown place of crops center; did you mean centre?",
		"data: {test_crops: 10}":                      "unknown kind of test crops 10; known: centre, ten",
		"data: {pca_colour: {scale: lambda}}":         "unknown scale of colours lambda; known: sqrt_eigenvalue, eigenvalue",
		"data: {pca_color: {std: 0.1}}":               "unknown key pca_color; did you mean pca_colour?",
		"data: {label_noise: 1.5}":                    "data.label_noise is 1.5",
		"data: {validation: -1}":                      "data.validation is -1",
		"data: {train: 10, validation: 10}":           "data.validation is 10",
		"data: {mean: centre}":                        `data.mean is "centre"; known: image, image_centre, channel, none`,
		"data: {mean: image_centre, pad: 4}":          "data.mean is image_centre",
		"data: {crop: 0, crop_at: centre}":            "data.crop_at says where crops lie",
		"data: {crop_chunk: -1}":                      "data.crop_chunk is -1",
		"data: {pca_colour: {std: -1}}":               "data.pca_colour.std is -1",
		"data: {colour_space: grey}":                  "data.pca_colour shifts RGB colours; data.colour_space is grey",
		"data: {crop: 0}":                             "data.test_crops is ten",
		"data: {augment_until: {flip: -2}}":           "data.augment_until",
		"train: {bias: {lr: -1}}":                     "train.bias.lr is -1",
		"train: {bias: {schedule: {kind: plateau}}}":  "train.bias.schedule.kind is plateau",
		"train: {bias: {schedule: {kind: linaer}}}":   `train.bias.schedule.kind is "linaer"`,
		"train: {bias: {schedule: {kind: exp}}}":      "train.bias.schedule.target",
		"train: {schedule: {kind: poly}}":             "train.schedule.power",
		"train: {schedule: {kind: linear, power: 2}}": "train.schedule.power is for kind poly",
		"train: {dropout_until: -1}":                  "train.dropout_until is -1",
		"train: {layer_rates: [{layer: conv9, factor: 0}]}": `train.layer_rates names "conv9"; the layers with weights ` +
			`are conv1`,
		"train: {layer_rates: [{layer: relu1, factor: 0}]}": `train.layer_rates names "relu1"`,
		"train: {layer_rates: [{layer: conv1, factor: -1}]}": "train.layer_rates for conv1: from and factor must not be " +
			"negative",
		"train: {layer_rates: [{layer: conv1}, {layer: conv1}]}":   "train.layer_rates for conv1 must be in the order",
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

// Where the data lies is no part of a recipe's identity; everything that changes the result is.
func TestIdentity(t *testing.T) {
	id := func(change func(*Recipe)) string {
		r := sample(t, "alexnet-32")
		change(&r)
		s, err := r.Identity()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	base := id(func(*Recipe) {})
	for name, change := range map[string]func(*Recipe){
		"root": func(r *Recipe) { r.Data.Root = "/elsewhere" }, "title": func(r *Recipe) { r.Net.Title = "x" },
	} {
		if id(change) != base {
			t.Errorf("%s changes the identity", name)
		}
	}
	for name, change := range map[string]func(*Recipe){
		"lr":   func(r *Recipe) { r.Train.LR = 1 },
		"net":  func(r *Recipe) { r.Net.Columns = 1 },
		"data": func(r *Recipe) { r.Data.Flip = false },
	} {
		if id(change) == base {
			t.Errorf("%s does not change the identity", name)
		}
	}
}

// A key that was renamed is read under its old name, in a study and in a record, and is the same recipe.
func TestOldNames(t *testing.T) {
	old, err := decoded(t, "data: {views: ten, noise_off: {flip: 3}}\ntrain: {batch: 8, chunks: 2, dropout_off: 4}")
	if err != nil {
		t.Fatal(err)
	}
	now, err := decoded(t,
		"data: {test_crops: ten, augment_until: {flip: 3}}\ntrain: {batch: 8, micro_batches: 2, dropout_until: 4}")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(now)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*strings.Replacer{
		strings.NewReplacer(),
		strings.NewReplacer("test_crops", "views", "augment_until", "noise_off", "micro_batches", "chunks", "dropout_until",
			"dropout_off"),
	} {
		stored, err := Decode([]byte(r.Replace(string(text))))
		if err != nil {
			t.Fatal(err)
		}
		want, _ := now.Identity()
		for _, got := range []Recipe{old, stored} {
			if id, _ := got.Identity(); id != want {
				t.Errorf("%s is not the same recipe", r.Replace(string(text)))
			}
		}
	}
	for _, text := range []string{"", "[]", "{}", `{"net": null}`, `{"data": 1}`, `{"net": 1}`} {
		if _, err := Decode([]byte(text)); err == nil {
			t.Errorf("%q was read as a recipe", text)
		}
	}
	if _, err := decoded(t, "train: {chunks: 2, micro_batches: 2}"); err == nil ||
		!strings.Contains(err.Error(), "two names") {
		t.Errorf("both names: %v", err)
	}
	if _, err := decoded(t, "train: {dropout_of: 4}"); err == nil || strings.Contains(err.Error(), "dropout_off") {
		t.Errorf("%v suggests an old name", err)
	}
}

// A layer's key that was renamed is read under its old name too: batch norm's
// momentum was called average, and a record of then is the recipe of now.
func TestOldNamesOfLayers(t *testing.T) {
	r := sample(t, "alexnet-bn")
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	old := strings.ReplaceAll(string(text), `"affine":true,"epsilon":0.00001,"momentum":`,
		`"affine":true,"epsilon":0.00001,"average":`)
	if old == string(text) {
		t.Fatalf("no momentum in %s", text)
	}
	stored, err := Decode([]byte(old))
	if err != nil {
		t.Fatal(err)
	}
	was, errWas := stored.Identity()
	is, errIs := r.Identity()
	if errWas != nil || errIs != nil || was != is {
		t.Errorf("a record that says average is not the recipe that says momentum: %v, %v", errWas, errIs)
	}
	stored.Net.Layers[0].Spec.(*arch.Conv).Filters++
	if was, err = stored.Identity(); err != nil || was == is {
		t.Errorf("one filter more is the same recipe: %v", err)
	}
}

// A record's recipe is untrusted too: whatever it says, it is refused or can be checked, compared and told apart.
func FuzzDecode(f *testing.F) {
	n, err := arch.Nets.Load("alexnet-32")
	if err != nil {
		f.Fatal(err)
	}
	whole := Defaults()
	whole.Net, whole.Data.Name = n, "shapes"
	text, err := json.Marshal(whole)
	if err != nil {
		f.Fatal(err)
	}
	for _, change := range []*strings.Replacer{
		strings.NewReplacer(), strings.NewReplacer(`"train":0`, `"train":-4`), strings.NewReplacer(`"test":0`, `"test":-1`),
		strings.NewReplacer(`"train":0`, `"train":10,"validation":99`),
		strings.NewReplacer(`"train":0`, `"train":10,"label_noise":5`),
		strings.NewReplacer(`"momentum":0.9`, `"momentum":1e308`),
		strings.NewReplacer(`"patience":5`, `"patience":9223372036854775807`),
	} {
		f.Add(change.Replace(string(text)))
	}
	f.Add(`{"net": null, "data": {}, "train": {}}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Decode([]byte(text))
		if err != nil {
			return
		}
		_ = Changes(whole, r)
		if _, err := r.Effective().Identity(); err != nil {
			t.Error(err)
		}
		if r.Validate() != nil {
			return
		}
		if d := r.Data; d.Train < 0 || d.Test < 0 || d.Validation < 0 || d.LabelNoise < 0 || d.LabelNoise > 1 ||
			d.Train > 0 && d.Validation >= d.Train {
			t.Errorf("%+v is valid", d)
		}
	})
}

// A word is an optimiser with its kind's values, and a mapping changes some of them.
// The paper's is the same recipe whether it is written or not.
func TestOptimizer(t *testing.T) {
	for text, want := range map[string]Optimizer{
		"adam": {Kind: Adam, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8}, "sgd": {}, "{kind: sgd}": {}, "{}": {},
		"{kind: adamw, beta2: 0.95}": {Kind: AdamW, Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-8},
		"adagrad":                    {Kind: AdaGrad, Epsilon: 1e-10}, "lars": {Kind: LARS, Trust: 0.001, Epsilon: 1e-8},
	} {
		r, err := decoded(t, "train: {optimizer: "+text+"}")
		if err == nil {
			err = r.Validate()
		}
		if err != nil || r.Train.Optimizer != want {
			t.Errorf("%s is %+v, %v; want %+v", text, r.Train.Optimizer, err, want)
		}
	}
}

// refused wants every recipe refused with its message.
func refused(t *testing.T, messages map[string]string) {
	t.Helper()
	for text, says := range messages {
		r, err := decoded(t, text)
		if err == nil {
			err = r.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", text, err, says)
		}
	}
}

func TestRecipesThatAreRefused(t *testing.T) {
	refused(t, map[string]string{
		"train: {optimizer: adma}":                        "unknown optimizer adma; did you mean adam?",
		"train: {optimizer: {kind: adam, beta2: 1}}":      "train.optimizer.beta2 is 1",
		"train: {optimizer: {kind: rmsprop, beta1: 0.5}}": "train.optimizer.beta1 is for adam, adamw, not rmsprop",
		"train: {optimizer: {kind: adam, epsilon: 0}}":    "train.optimizer.epsilon is 0; adam needs a value above 0",
		"train: {optimizer: {beta1: 0.8}}":                "train.optimizer.beta1 is for adam, adamw, not sgd",
		"train: {clip_norm: -1}":                          "train.clip_norm is -1",
		"train: {early_stopping: 3}":                      "train.early_stopping looks at held-out images",
		"data: {resized_crop: {min_area: 0.1}, pad: 2}":   "data.pad adds a border, which data.resized_crop never shows",
		"data: {multi_scale: {from: 64, to: 32}}":         "data.multi_scale is from 64 to 32",
		"data: {erase: {probability: 1, min_area: 0.5}}":  "data.erase.min_area is 0.5, above the largest area 0.33",
		"data: {mixup: 9}":                                "data.mixup is 9; it must be",
		"train: {label_smoothing: 1}":                     "train.label_smoothing is 1; it must be",
		"train: {ema: 1}":                                 "train.ema is 1; it must be",
		"train: {schedule: {floor: 0.1}}":                 "train.schedule.floor is for kind cosine",
		"train: {epochs: 3, schedule: {warmup: 3}}":       "train.schedule.warmup is 3, but training ends after 3 epochs",
	})
}

// What the optimiser never reads makes no other recipe, and a comparison says so.
func TestMomentumIsUnread(t *testing.T) {
	a, b := sample(t, "alexnet-32"), sample(t, "alexnet-32")
	a.Train.Optimizer, b.Train.Optimizer = Adam.standard(), Adam.standard()
	b.Train.Momentum = 0.5
	if key, why := Unread(a, b); key != "train.momentum" || why != "train.optimizer is adam" {
		t.Errorf("unread is %s: %s", key, why)
	}
	first, err := a.Effective().Identity()
	if err != nil {
		t.Fatal(err)
	}
	if second, _ := b.Effective().Identity(); first != second {
		t.Error("adam reads train.momentum")
	}
}
