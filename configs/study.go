// Package configs reads studies: YAML files that ship with ablate or that users
// write, with inheritance, ${ENVIRONMENT} and --set, strictly checked. And the
// program's own settings.
//
// Studies are read as YAML nodes by strictyaml. viper, which reads the
// settings, cannot serve here: it lower-cases keys silently, drops empty
// mappings (`baseline: {}`) and nulls, and forgets the order and lines.
package configs

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ablate/ablations"
	"ablate/arch"
	"ablate/recipe"
	"ablate/strictyaml"
)

// A Study is one question: variants of a recipe under the same seeds.
type Study struct {
	Name   string
	Title  string
	Seeds  []uint64
	Device string
	// Checkpoint is how often an unfinished run is saved.
	Checkpoint Interval
	Variants   []Variant // the first is the baseline
}

// A Variant is the base recipe plus edits, under a name.
type Variant struct {
	Name      string
	Ablations []string // of the catalogue, that made it
	Edited    bool     // the study's own edits came on top
	Device    string   // where it trains; "" is where the study does
	Recipe    recipe.Recipe
	Changes   []string // what differs from the baseline, in few words
}

// Baseline is the name of the variant all others are compared with.
const Baseline = "baseline"

//go:embed *.yaml
var embedded embed.FS

// Names are the studies that ship with ablate.
func Names() []string {
	files, err := fs.Glob(embedded, "*.yaml")
	if err != nil {
		panic(err) // the pattern is constant
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".yaml")
	}
	return files
}

// file is a study as written.
type file struct {
	Study      string           `yaml:"study"`
	Title      string           `yaml:"title"`
	Extends    string           `yaml:"extends"`
	Net        *strictyaml.Node `yaml:"net"`
	Data       recipe.Data      `yaml:"data"`
	Train      recipe.Train     `yaml:"train"`
	Seeds      seeds            `yaml:"seeds"`
	Variants   *strictyaml.Node `yaml:"variants"`
	Design     string           `yaml:"design"`
	Components []string         `yaml:"components"`
	Device     string           `yaml:"device"`
	Parallel   Parallel         `yaml:"parallel"`
	Checkpoint Interval         `yaml:"checkpoint"`
}

// variant is one entry under variants.
type variant struct {
	at     *strictyaml.Node
	name   string
	Ablate []string         `yaml:"ablate"`
	Edits  []ablations.Edit `yaml:"edits"`
	Device string           `yaml:"device"`
}

// Load reads a study by name or from a file, applies the overrides
// ("train.epochs=1") and resolves every variant. Nothing is written.
func Load(name string, sets []string) (*Study, error) {
	node, err := read(name, nil)
	if err != nil {
		return nil, err
	}
	for _, s := range sets {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("--set %s: write KEY=VALUE, as in --set train.epochs=1", s)
		}
		v, err := strictyaml.Value("--set "+key, value)
		if err != nil {
			return nil, err
		}
		if node, err = node.SetPath(key, v); err != nil {
			return nil, err
		}
	}
	if node, err = node.ExpandEnv(os.LookupEnv); err != nil {
		return nil, err
	}
	return decode(node)
}

// LoadLenient reads a study whose records are to be read, not made: variables of the
// environment that are unset, such as the folder of the data, stand for themselves.
func LoadLenient(name string) (*Study, error) {
	node, err := read(name, nil)
	if err != nil {
		return nil, err
	}
	node, err = node.ExpandEnv(func(variable string) (string, bool) {
		if value, ok := os.LookupEnv(variable); ok {
			return value, true
		}
		return variable, true
	})
	if err != nil {
		return nil, err
	}
	return decode(node)
}

// read parses a file and lays it over what it extends. chain holds the files on the way here.
func read(name string, chain []string) (*strictyaml.Node, error) {
	label, text, err := open(name)
	if err != nil {
		return nil, err
	}
	if slices.Contains(chain, label) {
		return nil, fmt.Errorf("%s: extends goes round in a circle: %s → %s", label, strings.Join(chain, " → "), label)
	}
	chain = append(chain, label)
	node, err := strictyaml.Parse(label, text)
	if err != nil {
		return nil, err
	}
	if node.Kind != strictyaml.Mapping {
		return nil, node.Errorf("a study is a mapping: study, net, data, train, seeds, variants")
	}
	extends := node.Get("extends")
	if extends == nil {
		return node, nil
	}
	var base string
	if err := extends.Decode(&base); err != nil {
		return nil, err
	}
	if arch.IsPath(base) && !filepath.IsAbs(base) {
		base = filepath.Join(filepath.Dir(label), base)
	}
	parent, err := read(base, chain)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrUnknown) {
			return nil, extends.Errorf("extends: %w", err)
		}
		return nil, err
	}
	// A name and a title are a study's own.
	return strictyaml.Merge(parent.Without("extends", "study", "title"), node), nil
}

// ErrUnknown says that no study of this name ships.
var ErrUnknown = errors.New("no such study")

// open finds a study's text: a file, or one of those that ship.
func open(name string) (label string, text []byte, err error) {
	if arch.IsPath(name) {
		text, err = os.ReadFile(name)
		if err != nil {
			return name, nil, fmt.Errorf("read study: %w", err)
		}
		return filepath.Clean(name), text, nil
	}
	text, err = embedded.ReadFile(path.Clean(name) + ".yaml")
	if err == nil {
		return "configs/" + name + ".yaml", text, nil
	}
	return name, nil, fmt.Errorf("%w: %s%s", ErrUnknown, strictyaml.Plain(name), strictyaml.Suggest(name, Names()))
}

// decode turns the merged YAML into a resolved study.
func decode(node *strictyaml.Node) (*Study, error) {
	defaults := recipe.Defaults()
	f := file{Design: string(ablations.Each), Device: "auto", Checkpoint: DefaultInterval, Data: defaults.Data, Train: defaults.Train}
	if err := node.Decode(&f); err != nil {
		return nil, err
	}
	if !validName.MatchString(f.Study) {
		return nil, node.At("study").Errorf("study %q: a study needs a name of lower-case letters, digits and - _ . +", f.Study)
	}
	if len(f.Seeds) == 0 {
		return nil, node.At("seeds").Errorf("no seeds: write seeds: 3, or a list")
	}
	if f.Net == nil {
		return nil, node.Errorf("no net: write net: with a name of ablate nets, a file, or the net itself")
	}
	net, err := loadNet(f.Net)
	if err != nil {
		return nil, err
	}
	if f.Train.MicroBatches, err = f.Parallel.Chunks(f.Train.MicroBatches); err != nil {
		return nil, node.At("parallel").Errorf("parallel: %w", err)
	}
	base := recipe.Recipe{Net: net, Data: f.Data, Train: f.Train}
	if err := base.Validate(); err != nil {
		return nil, located(node, err)
	}
	list, err := variants(node, f)
	if err != nil {
		return nil, err
	}
	s := &Study{Name: f.Study, Title: f.Title, Seeds: f.Seeds, Device: f.Device, Checkpoint: f.Checkpoint}
	for _, v := range list {
		r, err := v.recipe(base)
		if err != nil {
			return nil, err
		}
		s.Variants = append(s.Variants, Variant{Name: v.name, Ablations: v.Ablate, Edited: len(v.Edits) > 0, Device: v.Device, Recipe: r})
	}
	for i, v := range s.Variants {
		s.Variants[i].Changes = recipe.Changes(s.Variants[0].Recipe, v.Recipe)
		if v.Device != "" {
			s.Variants[i].Changes = append(s.Variants[i].Changes, "on "+v.Device)
		}
	}
	return s, s.distinct(node)
}

// PinnedVariant is the first variant that says itself where it trains, "" if none does.
func (s *Study) PinnedVariant() string {
	for _, v := range s.Variants {
		if v.Device != "" {
			return v.Name + " on " + v.Device
		}
	}
	return ""
}

// distinct refuses two variants that are the same recipe on the same devices: they would be compared for nothing.
func (s *Study) distinct(node *strictyaml.Node) error {
	seen := map[string]string{}
	for _, v := range s.Variants {
		id, err := v.Recipe.Identity()
		if err != nil {
			return err
		}
		id += " " + v.Device
		if other, ok := seen[id]; ok {
			return node.At("variants").Errorf("variants %s and %s are the same recipe", other, v.Name)
		}
		seen[id] = v.Name
	}
	return nil
}

// located puts file and line before the error of a check that knows its key; one about the net's shapes has none.
func located(node *strictyaml.Node, err error) error {
	key := "net"
	if e := (*strictyaml.Error)(nil); errors.As(err, &e) && e.Key != "" {
		key = e.Key
	}
	return node.At(key).Errorf("%w", err)
}

// loadNet reads a registered name, a file, or an inline mapping.
func loadNet(v *strictyaml.Node) (*arch.Net, error) {
	if v.Kind == strictyaml.Mapping {
		n := new(arch.Net)
		return n, v.Decode(n)
	}
	var name string
	if err := v.Decode(&name); err != nil {
		return nil, err
	}
	if arch.IsPath(name) && !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(v.File), name)
	}
	n, err := arch.Nets.Load(name)
	var e *strictyaml.Error
	if err != nil && !errors.As(err, &e) {
		return nil, v.Errorf("%w", err)
	}
	return n, err
}

// validName keeps names usable as folders everywhere.
var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9_+.-]{0,99}$`)

// variants lists a study's variants, the baseline first.
func variants(node *strictyaml.Node, f file) ([]variant, error) {
	list := []variant{{name: Baseline, at: node}}
	v := f.Variants
	if !slices.Contains(ablations.Designs, f.Design) {
		return nil, strictyaml.Unknown(node.At("design"), "design", f.Design, ablations.Designs)
	}
	design := ablations.Design(f.Design)
	if design == ablations.Each {
		if f.Components != nil {
			return nil, node.At("components").Errorf("components are for the designs leave-one-out, cumulative and factorial; this is each")
		}
		if v == nil || v.Kind != strictyaml.Mapping || len(v.Keys()) == 0 {
			return nil, node.At("variants").Errorf("no variants: write at least variants: {baseline: {}}")
		}
	}
	if v != nil {
		for _, name := range v.Keys() {
			e := variant{at: v.Get(name), name: name}
			if !validName.MatchString(name) {
				return nil, e.at.Errorf("variant %q: names are lower-case letters, digits and - _ . +", name)
			}
			if err := e.at.Decode(&e); err != nil {
				return nil, err
			}
			if name == Baseline {
				list[0] = e
				continue
			}
			list = append(list, e)
		}
	}
	if design == ablations.Each {
		return list, nil
	}
	combinations, err := design.Combinations(f.Components)
	if err != nil {
		return nil, node.At("design").Errorf("%w", err)
	}
	for _, c := range combinations {
		name := ablations.CombinationName(c)
		if slices.ContainsFunc(list, func(v variant) bool { return v.name == name }) {
			return nil, node.At("components").Errorf("variant %s is given twice", name)
		}
		list = append(list, variant{at: node.At("components"), name: name, Ablate: c})
	}
	return list, nil
}

// recipe applies a variant's ablations and then its own edits.
func (v variant) recipe(base recipe.Recipe) (recipe.Recipe, error) {
	var edits []ablations.Edit
	for _, name := range v.Ablate {
		a, err := ablations.Catalogue.Get(name)
		if err != nil {
			return base, v.at.Errorf("variant %s: %w", v.name, err)
		}
		edits = append(edits, a.For(base.Net.Name)...)
	}
	edits = append(edits, v.Edits...)
	if v.name != Baseline && len(edits) == 0 && v.Device == "" {
		return base, v.at.Errorf("variant %s: %w: give it ablate, edits or a device", v.name, ablations.ErrNoChange)
	}
	r, err := ablations.Apply(base, edits...)
	if err != nil {
		return r, v.at.Errorf("variant %s: %w", v.name, err)
	}
	if err := r.Validate(); err != nil {
		return r, v.at.Errorf("variant %s: %w", v.name, err)
	}
	return r, nil
}

// seeds are a number k, meaning 1 … k, or a list.
type seeds []uint64

const maxSeeds = 10_000

// UnmarshalStrict reads either form.
func (s *seeds) UnmarshalStrict(n *strictyaml.Node) error {
	if n.Kind == strictyaml.List {
		var list []uint64
		if err := n.Decode(&list); err != nil {
			return err
		}
		for i, v := range list {
			if slices.Contains(list[:i], v) {
				return n.Errorf("seed %d is given twice", v)
			}
		}
		*s = list
		return nil
	}
	var k uint64
	if err := n.Decode(&k); err != nil {
		return err
	}
	if k < 1 || k > maxSeeds {
		return n.Errorf("seeds is %d; 1 to %d are possible", k, maxSeeds)
	}
	*s = nil
	for i := range k {
		*s = append(*s, i+1)
	}
	return nil
}
