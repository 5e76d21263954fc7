package configs

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"ablate/ablations"
	"ablate/recipe"
	"ablate/strictyaml"
)

// A sweep lists values for keys of the recipe, in the order in which they are written.
type sweep struct {
	at     *strictyaml.Node
	keys   []string
	values [][]*strictyaml.Node // the values of each key
}

// UnmarshalStrict reads {train.lr: [0.1, 0.01]}.
func (s *sweep) UnmarshalStrict(n *strictyaml.Node) error {
	if n.Kind != strictyaml.Mapping || len(n.Keys()) == 0 {
		return n.Errorf("write keys with lists of values, as in {train.lr: [0.1, 0.03, 0.01]}")
	}
	*s = sweep{at: n}
	for _, key := range n.Keys() {
		values := n.Get(key)
		if values.Kind != strictyaml.List || len(values.Items()) == 0 {
			return values.Errorf("%s needs a list of values, as in [0.1, 0.03, 0.01]", strictyaml.Plain(key))
		}
		s.keys, s.values = append(s.keys, key), append(s.values, values.Items())
	}
	return nil
}

// Describe returns the schema of a mapping from keys to lists.
func (sweep) Describe(strictyaml.Comments) *strictyaml.Schema {
	return &strictyaml.Schema{Type: strictyaml.Types{"object"}, MinProperties: 1,
		Additional: &strictyaml.Schema{Type: strictyaml.Types{"array"}, MinItems: 1}}
}

// combinations returns every combination of the values of all keys.
func (s sweep) combinations() ([][]*strictyaml.Node, error) {
	all := [][]*strictyaml.Node{nil}
	for _, values := range s.values {
		if len(all)*len(values) > maxVariants {
			return nil, s.at.Errorf("more than %d variants, which is the limit for a study", maxVariants)
		}
		var longer [][]*strictyaml.Node
		for _, c := range all {
			for _, v := range values {
				longer = append(longer, append(slices.Clone(c), v))
			}
		}
		all = longer
	}
	return all, nil
}

// rows returns the first values of all keys, the second values, and so on.
func (s sweep) rows() ([][]*strictyaml.Node, error) {
	rows := make([][]*strictyaml.Node, len(s.values[0]))
	for k, values := range s.values {
		if len(values) != len(rows) {
			return nil, s.at.Errorf("zip needs lists of one length: %s has %d values, %s has %d", s.keys[0], len(rows),
				s.keys[k], len(values))
		}
		for i, v := range values {
			rows[i] = append(rows[i], v)
		}
	}
	return rows, nil
}

// variants returns a variant for each setting, except for one that equals the unchanged recipe.
func (s sweep) variants(settings [][]*strictyaml.Node, base recipe.Recipe) ([]variant, error) {
	var list []variant
	for _, values := range settings {
		v := variant{at: s.at}
		var names []string
		for k, value := range values {
			edit := ablations.SetKey(s.at, s.keys[k], value)
			_, err := ablations.Apply(base, edit)
			if err != nil && !errors.Is(err, ablations.ErrNoChange) {
				return nil, err
			}
			if err == nil {
				v.Edits = append(v.Edits, edit)
			}
			names = append(names, settingName(s.keys[k], value))
		}
		if len(v.Edits) == 0 {
			continue // the baseline
		}
		v.name = strings.Join(names, "+")
		if err := checkName(v.name); err != nil {
			return nil, s.at.Errorf("variant %s: %w", strictyaml.Quote(v.name), err)
		}
		list = append(list, v)
	}
	return list, nil
}

var notInNames = regexp.MustCompile(`[^a-z0-9.-]+`)

// settingName returns lr-0.03 for train.lr: 0.03, and optimizer-adam for train.optimizer: {kind:
// adam, …}.
func settingName(key string, value *strictyaml.Node) string {
	name := key[strings.LastIndexByte(key, '.')+1:] + "-" + short(value)
	return strings.Trim(notInNames.ReplaceAllString(strings.ToLower(name), "-"), "-")
}

// short formats a value for a name; a mapping with a kind is named by its kind.
func short(value *strictyaml.Node) string {
	var parts []string
	switch value.Kind {
	case strictyaml.List:
		for _, item := range value.Items() {
			parts = append(parts, short(item))
		}
	case strictyaml.Mapping:
		if kind := value.Get("kind"); kind != nil {
			return short(kind)
		}
		for _, key := range value.Keys() {
			parts = append(parts, key, short(value.Get(key)))
		}
	default:
		return value.Text()
	}
	return strings.Join(parts, "-")
}
