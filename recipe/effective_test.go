package recipe

import (
	"strings"
	"testing"
)

// Two recipes that differ in keys which neither reads are one, and the key is named; with the key
// that gives it a meaning they are two.
func TestKeysThatAreNeverRead(t *testing.T) {
	for _, c := range []struct{ base, changed, key, why string }{
		{"", "train: {schedule: {patience: 7}}", "train.schedule.patience", "train.schedule.kind is constant"},
		{"train: {epochs: 9, schedule: {kind: plateau}}", "train: {epochs: 9, schedule: {kind: plateau, patience: 7}}", "",
			""},
		{"", "train: {schedule: {factor: 0.5}}", "train.schedule.factor", "train.schedule.kind is constant"},
		{"", "train: {schedule: {steps: 9}}", "train.schedule.steps", "train.schedule.kind is constant"},
		{"", "train: {schedule: {target: 9}}", "train.schedule.target", "train.schedule.kind is constant"},
		{"train: {bias: {lr: 1, schedule: {kind: linear}}}", "train: {bias: {lr: 1, schedule: {kind: linear, drops: 1}}}",
			"train.bias.schedule.drops", "train.bias.schedule.kind is linear"},
		{"", "data: {short_side: 99}", "data.short_side", "data.name is shapes"},
		{"", "data: {size: 99}", "data.size", "data.name is shapes"},
		{"", "data: {max_skipped: 99}", "data.max_skipped", "data.name is shapes"},
		{"data: {name: imagefolder}", "data: {name: imagefolder, size: 99}", "", ""},
		{"data: {crop: 0, flip: false, test_crops: centre}",
			"data: {crop: 0, flip: false, test_crops: centre, crop_chunk: 9}",
			"data.crop_chunk", "data.flip is false"},
		{"data: {flip: false, crop_at: centre}", "data: {flip: false, crop_at: centre, crop_chunk: 9}", "data.crop_chunk",
			"data.flip is false"},
		{"data: {flip: true}", "data: {flip: true, crop_chunk: 9}", "", ""},
		{"data: {flip: false}", "data: {flip: false, augment_until: {flip: 1}}", "data.augment_until.flip",
			"data.flip is false"},
		{"train: {epochs: 3}\ndata: {cutout: 4}", "train: {epochs: 3}\ndata: {cutout: 4, augment_until: {cutout: 1}}", "",
			""},
		{"data: {cutout: 4}", "data: {cutout: 4, augment_until: {mixup: 1}}", "data.augment_until.mixup", "data.mixup is 0"},
		{"train: {epochs: 3}\ndata: {rotate: 9}", "train: {epochs: 3}\ndata: {rotate: 9, augment_until: {rotate: 3}}",
			"data.augment_until.rotate", "train.epochs is 3"},
		{"train: {epochs: 3}", "train: {epochs: 3, dropout_until: 3}", "train.dropout_until", "train.epochs is 3"},
		{"train: {epochs: 3}", "train: {epochs: 3, dropout_until: 2}", "", ""},
		{"data: {pca_colour: {std: 0}}", "data: {pca_colour: {std: 0, scale: eigenvalue}}", "data.pca_colour.scale",
			"data.pca_colour.std is 0"},
		{"data: {pca_colour: {std: 0}}", "data: {pca_colour: {std: 0, shrink: true}}", "data.pca_colour.shrink",
			"data.pca_colour.std is 0"},
		{"data: {pca_colour: {std: 0}}", "data: {pca_colour: {std: 0}, augment_until: {pca_colour: 1}}",
			"data.augment_until.pca_colour", "data.pca_colour.std is 0"},
		{"train: {epochs: 3, schedule: {kind: step, at: [3]}}", "train: {epochs: 3, schedule: {kind: step, at: [5]}}",
			"train.schedule.at", "train.epochs is 3"},
		{"train: {epochs: 3, schedule: {kind: step, at: [3]}}", "train: {epochs: 3, schedule: {kind: step, at: [2]}}",
			"", ""},
		{"train: {epochs: 3, schedule: {kind: step, at: [1, 3]}}", "train: {epochs: 3, schedule: {kind: step, at: [1]}}",
			"train.schedule.at of later epochs", "train.epochs is 3"},
		{"train: {epochs: 3, schedule: {kind: step, at: [3]}}",
			"train: {epochs: 3, schedule: {kind: step, at: [3], factor: 0.5}}", "train.schedule.factor", "train.epochs is 3"},
		{"train: {epochs: 3, schedule: {kind: plateau, patience: 2}}",
			"train: {epochs: 3, schedule: {kind: plateau, patience: 2, factor: 0.5}}", "train.schedule.factor",
			"train.epochs is 3, before the rate changes"},
		{"train: {epochs: 3, schedule: {kind: plateau, patience: 1}}",
			"train: {epochs: 3, schedule: {kind: plateau, patience: 1, factor: 0.5}}", "", ""},
		{"train: {epochs: 3}", "train: {epochs: 3, early_stopping: 2}", "train.early_stopping", "train.epochs is 3"},
		{"train: {weight_decay: 0.1}", "train: {weight_decay: 0.1, decay_norms: true}", "train.decay_norms",
			"the net has no norm"},
		{"train: {epochs: 3}", "train: {epochs: 3, layer_rates: [{layer: conv1, from: 3, factor: 0}]}",
			"train.layer_rates of later epochs", "train.epochs is 3"},
		{"train: {epochs: 3}", "train: {epochs: 3, layer_rates: [{layer: conv1, from: 0, factor: 1}]}",
			"train.layer_rates of later epochs, or of factor 1", ""},
		{"train: {epochs: 3}", "train: {epochs: 3, layer_rates: [{layer: conv1, from: 2, factor: 0}]}", "", ""},
	} {
		a, err := decoded(t, "train: {momentum: 0.9}\n")
		if err == nil && c.base != "" {
			a, err = decoded(t, c.base)
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := decoded(t, c.changed)
		if err != nil {
			t.Fatal(err)
		}
		idA, errA := a.Effective().Identity()
		idB, errB := b.Effective().Identity()
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if (idA == idB) != (c.key != "") {
			t.Errorf("%s beside %s: the same recipe: %v", c.changed, c.base, idA == idB)
		}
		key, why := Unread(a, b)
		if !strings.HasPrefix(key, c.key) || c.key == "" && key != "" || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q is unread because %q; want %q, %q", c.changed, key, why, c.key, c.why)
		}
		if again, _ := b.Identity(); again == idB && c.key != "" {
			t.Errorf("%s: Effective changed the recipe itself, or its identity ignores the key", c.changed)
		}
	}
}

// A key that a whole study sets and no variant reads is said in the plan, once, with the reason.
func TestNeverRead(t *testing.T) {
	a, err := decoded(t, "train: {schedule: {patience: 7}}\ndata: {short_side: 40}")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(NeverRead([]Recipe{a, a}), ", ")
	want := "train.schedule.patience (train.schedule.kind is constant), data.short_side (data.name is shapes)"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
	b := a.Clone()
	b.Train.Schedule.Kind = "plateau" // one variant reads it
	b.Train.Epochs = 20
	if got := NeverRead([]Recipe{a, b}); len(got) != 1 || !strings.HasPrefix(got[0], "data.short_side") {
		t.Errorf("%q", got)
	}
	if got := NeverRead([]Recipe{Defaults()}); len(got) != 0 {
		t.Errorf("of the defaults: %q", got)
	}
}
