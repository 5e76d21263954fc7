package recipe

import (
	"fmt"
	"reflect"
	"slices"

	"ablate/arch"
	"ablate/strictyaml"
)

// An unread key has no effect where it holds that another key says so.
type unread struct {
	key    string
	holds  bool
	reason string // "train.schedule.kind is constant"
}

// sized are the data sets whose images have one size from the start, so that none is fitted or left out.
var sized = []string{"shapes", "cifar10", "cifar100", "mnist", "fashion-mnist", "kmnist"}

// unread lists the keys that nothing reads in this recipe.
func (r Recipe) unread() []unread {
	d, t := r.Data, r.Train
	list := append(t.Schedule.unread("train.schedule"), t.Bias.Schedule.unread("train.bias.schedule")...)
	moves := d.Crop > 0 && d.CropAt == CropRandom
	never := fmt.Sprintf("train.epochs is %d", t.Epochs)
	drops := false
	for l := range r.Net.All() {
		_, is := l.Spec.(*arch.Dropout)
		drops = drops || is
	}
	fixed := slices.Contains(sized, d.Name)
	list = append(list, d.unreadOfAugment(t.Epochs)...)
	return append(list, []unread{
		{"data.split", d.Validation == 0, "data.validation is 0"},
		{"data.short_side", fixed, "data.name is " + d.Name},
		{"data.size", fixed, "data.name is " + d.Name},
		{"data.max_skipped", fixed, "data.name is " + d.Name},
		{"data.crop_at", d.Crop == 0, "data.crop is 0"},
		{"data.crop_chunk", !moves && !d.Flip, "data.flip is false and no crop moves"},
		{"data.pca_colour.scale", d.PCAColour.Std == 0, "data.pca_colour.std is 0"},
		{"data.pca_colour.shrink", d.PCAColour.Std == 0, "data.pca_colour.std is 0"},
		{"train.momentum", !t.Optimizer.Kind.Momentum(), "train.optimizer is " + t.Optimizer.Kind.String()},
		{"train.decay_biases", t.WeightDecay == 0 && t.L1 == 0, "train.weight_decay is 0"},
		{"train.decay_norms", t.WeightDecay == 0 && t.L1 == 0, "train.weight_decay is 0"},
		{"train.dropout_until", !drops, "the net has no dropout"},
		{"train.dropout_until", t.DropoutUntil == 0 || t.DropoutUntil >= t.Epochs, never},
	}...)
}

func (s Schedule) unread(key string) []unread {
	reason := key + ".kind is " + s.Kind
	if s.Kind == "" {
		reason = key + " is left out"
	}
	reads := map[string][]string{
		"step": {"at", "factor"}, "plateau": {"factor", "patience", "drops"}, "discrete_exp": {"target", "steps"},
		"poly": {"power"}, "exp": {"target"}, "cosine": {"floor"},
	}[s.Kind]
	var list []unread
	for _, k := range []string{"at", "factor", "patience", "drops", "target", "power", "steps", "floor"} {
		list = append(list, unread{key + "." + k, !slices.Contains(reads, k), reason})
	}
	return append(list, unread{key + ".warmup_from", s.Warmup == 0, key + ".warmup is 0"})
}

// Effective is the recipe without what it never reads: two recipes that train the
// same bits because they differ in such keys alone are one.
func (r Recipe) Effective() Recipe {
	r = r.Clone()
	if r.Net == nil {
		return r // what a program reads of its params, it alone knows
	}
	for _, u := range r.unread() {
		if !u.holds {
			continue
		}
		f, err := strictyaml.Field(&r, u.key, &strictyaml.Node{})
		if err != nil {
			panic(err) // a test reads every key
		}
		f.Set(reflect.Zero(f.Type()))
	}
	r.Net = r.Net.Effective()
	if d := &r.Data; d.CropChunk == 1 { // a chunk of one image is none
		d.CropChunk = 0
	}
	return r
}

// Unread is a key in which two recipes differ although neither reads it, and why
// not; "" if there is none.
func Unread(a, b Recipe) (key, reason string) {
	if a.Net == nil || b.Net == nil {
		return "", ""
	}
	unread := a.unread()
	for i, u := range b.unread() {
		x, errX := strictyaml.Field(&a, u.key, &strictyaml.Node{})
		y, errY := strictyaml.Field(&b, u.key, &strictyaml.Node{})
		if errX == nil && errY == nil && u.holds && unread[i].holds && !reflect.DeepEqual(x.Interface(), y.Interface()) {
			return u.key, u.reason
		}
	}
	return "", ""
}
