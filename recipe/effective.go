package recipe

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"ablate/arch"
	"ablate/strictyaml"
)

// An unread key has no effect, for a reason that another key decides.
type unread struct {
	key    string
	holds  bool
	reason string // "train.schedule.kind is constant"
}

// sized lists the data sets whose images have one fixed size, so that none is resized or left out.
var sized = []string{"shapes", "cifar10", "cifar100", "mnist", "fashion-mnist", "kmnist"}

// unread lists the keys that nothing reads in this recipe.
func (r Recipe) unread() []unread {
	d, t := r.Data, r.Train
	list := append(t.Schedule.unread("train.schedule", t.Epochs), t.Bias.Schedule.unread("train.bias.schedule",
		t.Epochs)...)
	moves := d.Crop > 0 && d.CropAt == CropRandom
	never := fmt.Sprintf("train.epochs is %d", t.Epochs)
	drops, norms := false, false
	for l := range r.Net.All() {
		_, is := l.Spec.(*arch.Dropout)
		drops = drops || is
		norms = norms || strings.HasSuffix(l.Spec.Kind(), "_norm")
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
		{"train.decay_norms", !norms, "the net has no norm"},
		{"train.early_stopping", t.EarlyStopping == 0 || t.EarlyStopping >= t.Epochs-1, never},
		{"train.dropout_until", !drops, "the net has no dropout"},
		{"train.dropout_until", t.DropoutUntil == 0 || t.DropoutUntil >= t.Epochs, never},
	}...)
}

func (s Schedule) unread(key string, epochs int) []unread {
	kind, reason := s.effective(epochs).Kind, key+".kind is "+s.Kind
	switch {
	case kind != s.Kind:
		reason = fmt.Sprintf("train.epochs is %d, before the rate changes", epochs)
	case s.Kind == "":
		reason = key + " is not set"
	}
	reads := map[string][]string{
		"step": {"at", "factor"}, "plateau": {"factor", "patience", "drops"}, "discrete_exp": {"target", "steps"},
		"poly": {"power"}, "exp": {"target"}, "cosine": {"floor"},
	}[kind]
	var list []unread
	for _, k := range []string{"at", "factor", "patience", "drops", "target", "power", "steps", "floor"} {
		list = append(list, unread{key + "." + k, !slices.Contains(reads, k), reason})
	}
	return append(list, unread{key + ".warmup_from", s.Warmup == 0, key + ".warmup is 0"})
}

// effective returns the schedule without what lies after the last epoch. A schedule whose rate never
// changes is constant.
func (s Schedule) effective(epochs int) Schedule {
	switch {
	case s.Kind == "step":
		s.At = slices.DeleteFunc(slices.Clone(s.At), func(at int) bool { return at >= epochs })
		if len(s.At) == 0 {
			s.Kind = "constant"
		}
	case s.Kind == "plateau" && (s.Drops == 0 || s.Patience >= epochs-1): // the first epoch sets the mark
		s.Kind = "constant"
	}
	return s
}

// effectiveRates returns the layers' rates without those that lie after the last epoch or change nothing.
func (t Train) effectiveRates() []LayerRate {
	factors := map[string]float64{}
	var rates []LayerRate
	for _, l := range t.LayerRates {
		factor, changed := factors[l.Layer]
		if !changed {
			factor = 1
		}
		if l.From < t.Epochs && l.Factor != factor {
			rates, factors[l.Layer] = append(rates, l), l.Factor
		}
	}
	return rates
}

// Effective returns the recipe without the keys that it never reads. Two recipes with the same
// effective recipe train the same bits.
func (r Recipe) Effective() Recipe {
	r = r.Clone()
	if r.Net == nil {
		return r // only the program knows which of its params it reads
	}
	t := &r.Train
	t.Schedule, t.Bias.Schedule = t.Schedule.effective(t.Epochs), t.Bias.Schedule.effective(t.Epochs)
	t.LayerRates = t.effectiveRates()
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
	if d := &r.Data; d.CropChunk == 1 { // a chunk of one image is the same as none
		d.CropChunk = 0
	}
	return r
}

// Unread returns a key in which two recipes differ although neither reads it, with the reason. It
// returns "" if there is none.
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
	x, y := a.Effective(), b.Effective()
	switch never := fmt.Sprintf("train.epochs is %d", b.Train.Epochs); {
	case a.Data.Root != b.Data.Root:
		return "data.root", "runs are compared: where images lie changes no result"
	case !slices.Equal(a.Train.Schedule.At, b.Train.Schedule.At) && slices.Equal(x.Train.Schedule.At, y.Train.Schedule.At):
		return "train.schedule.at of later epochs", never
	case !slices.Equal(a.Train.LayerRates, b.Train.LayerRates) && slices.Equal(x.Train.LayerRates, y.Train.LayerRates):
		return "train.layer_rates of later epochs, or of factor 1,", never
	}
	return "", ""
}

// NeverRead lists the keys that were given a value although none of the recipes reads them, each with the reason.
func NeverRead(all []Recipe) []string {
	if len(all) == 0 || all[0].Net == nil {
		return nil
	}
	unreadBy := map[string]int{}
	for _, r := range all {
		seen := map[string]bool{}
		for _, u := range r.unread() {
			if u.holds && !seen[u.key] {
				seen[u.key] = true
				unreadBy[u.key]++
			}
		}
	}
	defaults, first := Defaults(), all[0].Clone()
	var said []string
	for _, u := range first.unread() {
		is, errIs := strictyaml.Field(&first, u.key, &strictyaml.Node{})
		usual, errUsual := strictyaml.Field(&defaults, u.key, &strictyaml.Node{})
		if errIs != nil || errUsual != nil || is.IsZero() || reflect.DeepEqual(is.Interface(), usual.Interface()) {
			continue
		}
		if u.holds && unreadBy[u.key] == len(all) {
			said = append(said, fmt.Sprintf("%s (%s)", u.key, u.reason))
			unreadBy[u.key] = 0 // once is enough
		}
	}
	return said
}
