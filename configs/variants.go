package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"ablate/ablations"
	"ablate/arch"
	"ablate/recipe"
	"ablate/strictyaml"
)

// variant is what a study says about one variant.
type variant struct {
	at   *strictyaml.Node
	name string
	// ablations of the catalogue, applied one after the other
	Ablate []string `yaml:"ablate" items:"100" example:"[no-lrn]"`
	// further changes, made after the ablations
	Edits []ablations.Edit `yaml:"edits" items:"1000" example:"[{set: {key: train.weight_decay, value: 0}}]"`
	// where this variant is trained, instead of on the study's device
	Device string `yaml:"device" example:"cuda:0,cuda:1"`

	also []component // from a design, applied before the edits
}

// A component is something that a design takes away: a name, with the ablations and edits that
// define it.
type component struct {
	name string
	at   *strictyaml.Node
	// ablations of the catalogue, applied one after the other
	Ablate []string `yaml:"ablate" items:"100" example:"[no-lrn]"`
	// further changes, made after the ablations
	Edits []ablations.Edit `yaml:"edits" items:"1000" example:"[{set: {select: {kind: conv}, stride: 1}}]"`
}

// components are written as a list of ablations, or as a mapping that defines them.
type components []component

// UnmarshalStrict reads either form.
func (c *components) UnmarshalStrict(n *strictyaml.Node) error {
	*c = nil
	if n.Kind == strictyaml.List {
		var names []string
		if err := n.Decode(&names); err != nil {
			return err
		}
		for _, name := range names {
			*c = append(*c, component{name: name, at: n, Ablate: []string{name}})
		}
		return nil
	}
	if n.Kind != strictyaml.Mapping {
		return n.Errorf("components is a list of ablations, or a mapping of names to {ablate: […], edits: […]}")
	}
	for _, name := range n.Keys() {
		one := component{name: name, at: n.Get(name)}
		if err := checkName(name); err != nil {
			return one.at.Errorf("component %s: %w", strictyaml.Quote(name), err)
		}
		if err := one.at.Decode(&one); err != nil {
			return err
		}
		if len(one.Ablate)+len(one.Edits) == 0 {
			one.Ablate = []string{name} // `no-lrn:` means the ablation with this name
		}
		*c = append(*c, one)
	}
	return nil
}

// maxVariants limits a study, whose plan and table have a row for each variant.
const maxVariants = 10_000

// variants lists a study's variants, the baseline first.
func variants(node *strictyaml.Node, f file, base recipe.Recipe) ([]variant, error) {
	list, err := compared(node, f)
	if err != nil {
		return nil, err
	}
	var swept []variant
	for _, s := range []struct {
		sweep
		settings func() ([][]*strictyaml.Node, error)
	}{{f.Grid, f.Grid.combinations}, {f.Zip, f.Zip.rows}} {
		if s.at == nil {
			continue
		}
		settings, err := s.settings()
		if err != nil {
			return nil, err
		}
		more, err := s.variants(settings, base)
		if err != nil {
			return nil, err
		}
		swept = append(swept, more...)
	}
	for _, v := range swept {
		if slices.ContainsFunc(list, func(w variant) bool { return v.name == w.name }) {
			return nil, v.at.Errorf("variant %s is given twice", v.name)
		}
		list = append(list, v)
	}
	return list, nil
}

// compared returns the variants that are written and those that the design makes.
func compared(node *strictyaml.Node, f file) ([]variant, error) {
	if !slices.Contains(ablations.Designs, f.Design) {
		return nil, strictyaml.Unknown(node.At("design"), "design", string(f.Design), words(ablations.Designs))
	}
	if f.Design == ablations.Each {
		if f.Components != nil {
			return nil, node.At("components").Errorf("components need design: leave-one-out, cumulative or factorial; " +
				"this is each")
		}
		none := f.Variants == nil || f.Variants.Kind != strictyaml.Mapping || len(f.Variants.Keys()) == 0
		if swept := f.Grid.at != nil || f.Zip.at != nil; none && (f.Variants != nil || !swept) {
			return nil, node.At("variants").Errorf("no variants: write at least variants: {baseline: {}}")
		}
	}
	list, err := written(node, f.Variants)
	if err != nil || f.Design == ablations.Each {
		return list, err
	}
	made, err := designed(node, f)
	if err != nil {
		return nil, err
	}
	for _, v := range made {
		if slices.ContainsFunc(list, func(w variant) bool { return v.name == w.name }) {
			return nil, node.At("components").Errorf("variant %s is given twice", v.name)
		}
		list = append(list, v)
	}
	return list, nil
}

func words[T ~string](list []T) []string {
	var out []string
	for _, w := range list {
		out = append(out, string(w))
	}
	return out
}

// written returns the variants under the key variants. The baseline comes first, whether it is
// written or not.
func written(node, v *strictyaml.Node) ([]variant, error) {
	list := []variant{{name: Baseline, at: node}}
	if v == nil {
		return list, nil
	}
	if n := len(v.Keys()); n > maxVariants {
		return nil, v.Errorf("%d variants; a study has at most %d", n, maxVariants)
	}
	for _, name := range v.Keys() {
		one := variant{at: v.Get(name), name: name}
		if err := checkName(name); err != nil {
			return nil, one.at.Errorf("variant %s: %w", strictyaml.Quote(name), err)
		}
		if err := one.at.Decode(&one); err != nil {
			return nil, err
		}
		if name == Baseline {
			list[0] = one
			continue
		}
		list = append(list, one)
	}
	return list, nil
}

// designed returns the variants that a design makes from the components.
func designed(node *strictyaml.Node, f file) ([]variant, error) {
	var names []string
	byName := map[string]component{}
	for _, c := range f.Components {
		if _, twice := byName[c.name]; twice {
			return nil, c.at.Errorf("component %s is given twice", strictyaml.Plain(c.name))
		}
		names = append(names, c.name)
		byName[c.name] = c
	}
	combinations, err := f.Design.Combinations(names)
	if err != nil {
		return nil, node.At("design").Errorf("%w", err)
	}
	var list []variant
	for _, c := range combinations {
		v := variant{at: node.At("components"), name: ablations.CombinationName(c)}
		if err := checkCombination(v.name); err != nil {
			return nil, v.at.Errorf("variant %s: %w", strictyaml.Quote(v.name), err)
		}
		for _, name := range c {
			v.also = append(v.also, byName[name])
		}
		list = append(list, v)
	}
	return list, nil
}

// resolve applies a variant's ablations and edits, and checks the result.
func (v variant) resolve(base recipe.Recipe, initAt string) (Variant, error) {
	out := Variant{Name: v.name, Device: v.Device}
	fail := func(err error) (Variant, error) { return out, v.at.Errorf("variant %s: %w", v.name, err) }
	var edits []ablations.Edit
	for _, step := range append([]component{{Ablate: v.Ablate}}, append(v.also, component{Edits: v.Edits})...) {
		for _, name := range step.Ablate {
			a, own, err := findAblation(name, v.at.File)
			if err != nil {
				return fail(err)
			}
			net := ""
			if base.Net != nil {
				net = base.Net.Name
			}
			edits = append(edits, a.For(net)...)
			out.Ablations = append(out.Ablations, strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)))
			out.Edited = out.Edited || own // what was published about the catalogue's ablation does not apply
		}
		edits = append(edits, step.Edits...)
		out.Edited = out.Edited || len(step.Edits) > 0
	}
	for _, e := range edits {
		if key := e.Key(); key != "" {
			out.sets = append(out.sets, key)
		}
	}
	if v.name != Baseline && len(edits) == 0 && v.Device == "" {
		return fail(fmt.Errorf("%w: add ablate, edits or a device", ablations.ErrNoChange))
	}
	var err error
	if out.Recipe, err = ablations.Apply(base, edits...); err != nil {
		return fail(err)
	}
	if err := out.Recipe.Validate(); err != nil {
		return fail(err)
	}
	if out.InitAt = initAt; !reflect.DeepEqual(out.Recipe.Train.Init, base.Train.Init) {
		out.InitAt = v.at.Pos()
	}
	return out, nil
}

// findAblation returns an ablation of the user's own, or else one of the catalogue. The user's
// ablations are files: a path relative to the study's file, or the NAME of ablations/NAME.yaml
// beside it.
func findAblation(name, study string) (a ablations.Ablation, own bool, err error) {
	path := filepath.Join(filepath.Dir(study), "ablations", name+".yaml")
	if arch.IsPath(name) {
		if path = name; !filepath.IsAbs(name) {
			path = filepath.Join(filepath.Dir(study), name)
		}
	} else if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		a, err = ablations.Catalogue.Get(name)
		return a, false, err
	}
	text, err := strictyaml.ReadFile(path)
	if err != nil {
		return a, true, fmt.Errorf("read ablation: %w", err)
	}
	a, err = ablations.Parse(path, text)
	return a, true, err
}

// seeds is a list of seeds; a number k in YAML means 1 … k.
type seeds []uint64

const maxSeeds = 10_000

// UnmarshalStrict reads either form.
func (s *seeds) UnmarshalStrict(n *strictyaml.Node) error {
	if n.Kind == strictyaml.List {
		var list []uint64
		if err := n.Decode(&list); err != nil {
			return err
		}
		if len(list) > maxSeeds {
			return n.Errorf("%d seeds; want at most %d", len(list), maxSeeds)
		}
		seen := map[uint64]bool{}
		for _, v := range list {
			if seen[v] {
				return n.Errorf("seed %d is given twice", v)
			}
			seen[v] = true
		}
		*s = list
		return nil
	}
	var k uint64
	if err := n.Decode(&k); err != nil {
		return err
	}
	if k < 1 || k > maxSeeds {
		return n.Errorf("seeds is %d; want 1 to %d", k, maxSeeds)
	}
	*s = nil
	for i := range k {
		*s = append(*s, i+1)
	}
	return nil
}
