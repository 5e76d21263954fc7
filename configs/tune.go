package configs

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"ablate/ablations"
	"ablate/recipe"
	"ablate/strictyaml"
)

// A tune is the key of a study that lets every variant find its own values for some keys.
type tune struct {
	sweep
	on     string
	seeds  seeds
	trials int
}

// heldOut is the word for the images that data.validation holds out, and heldOutMetric the metric
// measured on them.
const (
	heldOut       = "validation"
	heldOutMetric = "validation_top1_error"
)

// firstTuningSeed is the first seed of tuning runs unless the study names seeds. Studies do not
// normally use it, and --aa does not derive it.
const firstTuningSeed = 2_000_001

// UnmarshalStrict reads {train.lr: [0.1, 0.01], on: validation, seeds: 2}.
func (t *tune) UnmarshalStrict(n *strictyaml.Node) error {
	if n.Kind != strictyaml.Mapping {
		return n.Errorf("write keys with lists of values, as in {train.lr: [0.1, 0.03, 0.01], on: validation}")
	}
	*t = tune{on: heldOut, seeds: seeds{firstTuningSeed}}
	words := []string{"on", "seeds", "trials"}
	for word, target := range map[string]any{"on": &t.on, "seeds": &t.seeds, "trials": &t.trials} {
		if at := n.Get(word); at != nil {
			if err := at.Decode(target); err != nil {
				return err
			}
		}
	}
	if at := n.Get("seeds"); at != nil && at.Kind != strictyaml.List {
		for i := range t.seeds {
			t.seeds[i] = firstTuningSeed + uint64(i)
		}
	}
	if at := n.Get("trials"); at != nil && t.trials < 1 {
		return at.Errorf("tune.trials is %d; want the number of settings that every variant tries", t.trials)
	}
	return t.sweep.UnmarshalStrict(n.Without(words...))
}

// Describe returns the schema of a mapping from keys to lists, with three more keys.
func (tune) Describe(c strictyaml.Comments) *strictyaml.Schema {
	s := sweep{}.Describe(c)
	s.Properties = strictyaml.Properties{
		{Key: "on", Schema: &strictyaml.Schema{Type: strictyaml.Types{"string"}, Default: heldOut,
			Description: "what the settings are chosen by: validation means the error on the images of data.validation; a " +
				"study with a trainer names a metric that the program logs for held-out data", Examples: []any{heldOut}}},
		{Key: "seeds", Schema: seeds{}.Describe(c)},
		{Key: "trials", Schema: &strictyaml.Schema{Type: strictyaml.Types{"integer"}, Minimum: new(1.0),
			Description: "the largest number of settings that every variant tries, spread evenly over them; all by default",
			Examples:    []any{10}}},
	}
	s.Properties.Get("seeds").Description = "how many seeds each setting is tried under, or a list of seeds; none may " +
		"be one of the study's. The default is 1"
	return s
}

// A Tune says how every variant finds its own values for some keys, before variants are compared.
// It tries the same settings as all others, under seeds that the comparison does not use, and keeps
// the best one on held-out data. A variant is then not worse merely because of a learning rate that
// suits the baseline.
type Tune struct {
	Keys     []string
	Settings []Setting
	On       string // the metric by which settings are chosen
	Better   string // which values of it are better: lower, higher
	Seeds    []uint64
}

// A Setting has a value for each key that a study tunes.
type Setting struct {
	Name   string   // lr-0.03
	Values []string // of each key, as written
	edits  []ablations.Edit
}

// TuningName returns the name of the study that records a study's tuning runs.
func TuningName(study string) string { return study + ".tuning" }

// tune returns what a study tunes, and nil for nothing.
func (f *file) tune(node *strictyaml.Node, base recipe.Recipe) (*Tune, error) {
	if f.Tune.at == nil {
		return nil, nil
	}
	at := node.At("tune")
	for _, key := range f.Tune.keys {
		if slices.Contains(whichImages, key) {
			return nil, at.Errorf("tune: %s decides which images there are, and settings must be chosen on the same images", key)
		}
	}
	for _, seed := range f.Tune.seeds {
		if slices.Contains(f.Seeds, seed) {
			return nil, at.Errorf("tune.seeds: %d is also a seed of the study; want seeds that the study does not use",
				seed)
		}
	}
	t := &Tune{Keys: f.Tune.keys, Seeds: f.Tune.seeds}
	if err := f.tunedOn(t, at, base); err != nil {
		return nil, err
	}
	combinations, err := f.Tune.combinations()
	if err != nil {
		return nil, err
	}
	for _, values := range evenly(combinations, f.Tune.trials) {
		s := Setting{}
		var names []string
		for k, value := range values {
			s.edits = append(s.edits, ablations.SetKey(f.Tune.at, t.Keys[k], value))
			s.Values = append(s.Values, short(value))
			names = append(names, settingName(t.Keys[k], value))
		}
		s.Name = strings.Join(names, "+")
		if slices.ContainsFunc(t.Settings, func(o Setting) bool { return o.Name == s.Name }) {
			return nil, at.Errorf("tune: %s appears twice", s.Name)
		}
		t.Settings = append(t.Settings, s)
	}
	if len(t.Settings) < 2 {
		return nil, at.Errorf("tune: there is only one setting; list several values for a key")
	}
	return t, nil
}

// whichImages lists the keys that decide on which images a setting is chosen.
var whichImages = []string{"data.name", "data.root", "data.classes", "data.train", "data.validation", "data.split"}

// tunedOn checks the metric by which settings are chosen. It must not be what the study reports,
// because a figure that was chosen for being good is biased.
func (f *file) tunedOn(t *Tune, at *strictyaml.Node, base recipe.Recipe) error {
	if !base.IsProgram() {
		if f.Tune.on != heldOut {
			return at.At("on").Errorf("tune.on is %s; want validation, the images that data.validation holds out",
				strictyaml.Quote(f.Tune.on))
		}
		t.On, t.Better = heldOutMetric, "lower"
		return nil
	}
	if t.On = f.Tune.on; t.On == heldOut && f.Metrics[heldOut].Better == "" {
		return at.Errorf("tune.on: name a metric that the program logs for held-out data, as in on: val_loss")
	}
	if t.On == f.Report.Metric {
		return at.Errorf("tune.on is %s, which is what the study reports; choose settings by a figure of other data", t.On)
	}
	if t.Better = f.Metrics[t.On].Better; t.Better == "" {
		return at.Errorf("tune.on: declare which values of %s are better, as in metrics: {%s: {better: lower}}", t.On, t.On)
	}
	return nil
}

// evenly keeps n elements of a list, spread as evenly as possible, with the first and the last
// among them; 0 keeps all.
func evenly[T any](list []T, n int) []T {
	if n == 0 || n >= len(list) {
		return list
	}
	var kept []T
	for i := range n {
		kept = append(kept, list[i*(len(list)-1)/max(n-1, 1)])
	}
	return kept
}

// checkTune refuses variants that cannot be tuned.
func (s *Study) checkTune(at *strictyaml.Node) error {
	for _, v := range s.Variants {
		if !v.Recipe.IsProgram() && v.Recipe.Data.Validation == 0 {
			return at.Errorf("variant %s: tune needs held-out images; set data.validation", v.Name)
		}
		for _, key := range s.Tune.Keys {
			within := func(k string) bool { return k == key || strings.HasPrefix(k, key+".") || strings.HasPrefix(key, k+".") }
			if i := slices.IndexFunc(v.sets, within); i >= 0 {
				return at.Errorf("tune: variant %s sets %s itself, but all variants must try the same values of %s", v.Name,
					v.sets[i], key)
			}
		}
	}
	if len(s.Variants)*len(s.Tune.Settings) > maxVariants {
		return at.Errorf("tune: more than %d settings of variants, which is the limit for a study", maxVariants)
	}
	tuning, err := s.Tuning()
	if err != nil {
		return at.Errorf("%w", err)
	}
	return tuning.distinct(at)
}

// Tuning returns the study whose runs tune this one: every setting of every variant, compared on
// held-out data.
func (s *Study) Tuning() (*Study, error) {
	t := *s
	t.Name, t.Title = TuningName(s.Name), "each variant's own "+strings.Join(s.Tune.Keys, ", ")
	t.Tune, t.Variants, t.Design = nil, nil, ablations.Each
	t.Seeds, t.Report = s.Tune.Seeds, Report{Metric: s.Tune.On, At: "last"}
	if err := checkName(t.Name); err != nil {
		return nil, fmt.Errorf("tune: study %s: %w", strictyaml.Quote(t.Name), err)
	}
	for _, v := range s.Variants {
		if s.Again(v) {
			continue
		}
		for _, setting := range s.Tune.Settings {
			tried, err := v.set(setting)
			if err != nil {
				return nil, err
			}
			if tried.Name = TuningVariant(v.Name, setting.Name); len(tried.Name) > maxName {
				return nil, fmt.Errorf("tune: the name %s is too long for a folder; shorten the variant's",
					strictyaml.Plain(tried.Name))
			}
			t.Variants = append(t.Variants, tried)
		}
	}
	t.change()
	return &t, nil
}

// TuningVariant returns the name of a variant that tries a setting.
func TuningVariant(variant, setting string) string { return variant + "+" + setting }

// Again reports whether a variant is the baseline under other seeds (--aa), which uses the
// baseline's setting.
func (s *Study) Again(v Variant) bool {
	base, r := s.Variants[0].Recipe.Clone(), v.Recipe.Clone()
	for _, r := range []*recipe.Recipe{&base, &r} {
		if r.Train.SeedOffset = 0; r.IsProgram() {
			r.Trainer.SeedOffset = 0
		}
	}
	return v.Name != s.Variants[0].Name && v.Device == s.Variants[0].Device && reflect.DeepEqual(base, r)
}

// Tuned returns the study in which each variant has its chosen setting, by name. Variants without
// one are unchanged.
func (s *Study) Tuned(chosen map[string]Setting) (*Study, error) {
	t := *s
	t.Variants = nil
	for _, v := range s.Variants {
		setting, ok := chosen[v.Name]
		if s.Again(v) {
			setting, ok = chosen[s.Variants[0].Name]
		}
		if ok {
			var err error
			if v, err = v.set(setting); err != nil {
				return nil, err
			}
		}
		t.Variants = append(t.Variants, v)
	}
	t.change()
	return &t, nil
}

// set returns a variant with the values of a setting.
func (v Variant) set(s Setting) (Variant, error) {
	for _, e := range s.edits {
		r, err := ablations.Apply(v.Recipe, e)
		if err != nil && !errors.Is(err, ablations.ErrNoChange) {
			return v, fmt.Errorf("variant %s: %w", v.Name, err)
		}
		if err == nil {
			v.Recipe = r
		}
	}
	if err := v.Recipe.Validate(); err != nil {
		return v, fmt.Errorf("variant %s: tune: %s: %w", v.Name, s.Name, err)
	}
	return v, nil
}
