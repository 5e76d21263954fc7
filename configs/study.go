// Package configs reads studies: YAML files that ship with ablate or that users write, with
// inheritance, ${ENVIRONMENT} and --set, strictly checked. It also reads the program's own
// settings.
//
// Studies are read as YAML nodes by strictyaml. viper, which reads the settings, cannot be used for
// them: it silently lower-cases keys, drops empty mappings (`baseline: {}`) and nulls, and forgets
// order and lines.
package configs

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	// LogEvery is the number of steps between measurements within an epoch; 0 means none.
	LogEvery int
	Design   ablations.Design
	Report   Report
	Metrics  Metrics // what the study says about metrics, by name
	Tune     *Tune   // what every variant first finds for itself; nil means nothing
	Sinks    Sinks
	OnEnd    OnEnd
	Variants []Variant // the first is the baseline
}

// A Variant is the base recipe plus edits, under a name.
type Variant struct {
	Name      string
	Ablations []string // the catalogue's ablations that made it
	Edited    bool     // edits of the study's own were added
	Device    string   // where it trains; "" means the study's device
	Recipe    recipe.Recipe
	InitAt    string   // file and line that name its initial weights
	Changes   []string // how it differs from the baseline, in a few words

	sets []string // the keys of the recipe that its edits set
}

// Baseline is the name of the variant that all others are compared with.
const Baseline = "baseline"

//go:embed *.yaml
var embedded embed.FS

// Names lists the studies that ship with ablate.
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

// file is a study as written: one question, and variants of a recipe to answer it.
type file struct {
	// the study's name, which is also the name of its folder of records: lower-case letters, digits
	// and - _ . +
	Study string `yaml:"study" required:"true" example:"cifar10-norm"`
	// the question, which heads every report
	Title string `yaml:"title" example:"does a small net need LRN?"`
	// a study to start from: the name of one that ships, or a file relative to this one. Mappings
	// merge key by key, lists and values replace, and null drops an inherited key; the name and the
	// title are not inherited
	Extends string `yaml:"extends" example:"cifar10-base"`
	// a name from `ablate nets`, a file relative to this one, or the net itself
	Net *strictyaml.Node `yaml:"net" required:"true" example:"alexnet-32"`
	// a program of your own that trains, instead of net, data and train
	Trainer *recipe.Trainer `yaml:"trainer" example:"{command: [python, train.py], metric: {name: loss, better: lower}}"`
	// what the program is given: any mapping. Edits and --set name its keys as in params.lr
	Params recipe.Params `yaml:"params" example:"{depth: 12, attention: true, lr: 0.0003}"`
	// which images a run sees and how they are prepared
	Data recipe.Data `yaml:"data" required:"true" example:"{name: cifar10, root: cifar-10-batches-bin}"`
	// how the weights are learned
	Train recipe.Train `yaml:"train" required:"true" example:"{batch: 128, epochs: 40, lr: 0.01}"`
	// how many seeds every variant is trained under (1, 2, 3 …), or a list of seeds. Comparisons
	// are paired by seed
	Seeds seeds `yaml:"seeds" required:"true" example:"8"`
	// what is compared, by name. The first variant is the baseline, which all others are compared
	// with; by default it is the unchanged recipe
	Variants *strictyaml.Node `yaml:"variants" example:"{no-lrn: {ablate: [no-lrn]}}"`
	// makes a variant for every combination of the values of these keys, named as in
	// lr-0.03+batch-64
	Grid sweep `yaml:"grid" example:"{train.lr: [0.1, 0.03], train.batch: [64, 128]}"`
	// makes a variant for the first values of all keys, one for the second values, and so on
	Zip sweep `yaml:"zip" example:"{train.lr: [0.1, 0.05], train.batch: [256, 128]}"`
	// lists of values from which every variant, also the baseline, chooses its own before variants
	// are compared: it trains with each of them under seeds that the comparison does not use, and
	// keeps the best one on held-out images. A variant is then not worse merely because of a
	// learning rate that suits the baseline
	Tune tune `yaml:"tune" example:"{train.lr: [0.1, 0.03, 0.01], on: validation}"`
	// which variants to make from components: each (none; the variants as written), leave-one-out
	// (one without each component), cumulative (each without one more), factorial (every
	// combination)
	Design ablations.Design `yaml:"design" oneof:"each leave-one-out cumulative factorial" example:"factorial"`
	// what a design takes away: a list of ablations, or a mapping from names to the keys of a
	// variant (ablate, edits)
	Components components `yaml:"components" example:"[no-lrn, no-dropout]"`
	// where runs are trained: auto, cpu, cuda:0, or several (cuda:0,cuda:1) that share each run
	Device string `yaml:"device" example:"cuda:0"`
	// what several devices share: the net's columns, as the paper's GPUs did, or the images of every batch
	Parallel Parallel `yaml:"parallel" oneof:"columns data" example:"data"`
	// how often an unfinished run is saved: a time, "2 epochs", "100 steps" or never. It changes no result
	Checkpoint Interval `yaml:"checkpoint" example:"10m"`
	// steps between measurements within an epoch. step_loss and step_top1_error are those of the
	// images since the last measurement, or since the epoch began; 0 means none. It changes no
	// result
	LogEvery int `yaml:"log_every" min:"0" max:"1e9" unit:"steps" example:"50"`
	// the primary figure, which is recorded with the study before its first run; tables of other
	// figures are exploratory
	Report Report `yaml:"report" example:"{metric: test_top1_error, at: last}"`
	// what metrics mean, by name; the metrics of ablate's own trainer are known
	Metrics Metrics `yaml:"metrics" example:"{val_accuracy: {better: higher, unit: share}}"`
	// programs that follow the study while it trains, beside its records. A sink that is down
	// neither stops nor slows a run
	Sinks Sinks `yaml:"sinks" example:"{tensorboard: logs}"`
	// who is told when the study ends, fails or is interrupted
	OnEnd OnEnd `yaml:"on_end" example:"{webhook: \"${CHAT_WEBHOOK}\"}"`
}

// Load reads a study by name or from a file, applies the overrides ("train.epochs=1") and resolves
// every variant. It writes nothing.
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
	s, err := decode(node)
	if err != nil {
		return nil, err
	}
	if err := s.OnEnd.Check(); err != nil { // LoadLenient does not need hooks
		return nil, node.At("on_end").Errorf("%w", err)
	}
	return s, nil
}

// LoadLenient reads a study in order to read its records. Environment variables that are not set,
// such as the folder of the data, remain as written.
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

// decode turns the merged YAML into a resolved study.
func decode(node *strictyaml.Node) (*Study, error) {
	defaults := recipe.Defaults()
	f := file{
		Design: ablations.Each, Device: "auto", Checkpoint: DefaultInterval, Data: defaults.Data, Train: defaults.Train,
		Report: Report{Metric: "test_top1_error", At: "last"},
	}
	if err := node.Decode(&f); err != nil {
		return nil, err
	}
	if err := checkName(f.Study); err != nil {
		return nil, node.At("study").Errorf("study %s: %w", strictyaml.Quote(f.Study), err)
	}
	if f.LogEvery < 0 {
		return nil, node.At("log_every").Errorf("log_every is %d; want a number of steps, or 0 for none", f.LogEvery)
	}
	if len(f.Seeds) == 0 {
		return nil, node.At("seeds").Errorf("no seeds: write seeds: 3, or a list")
	}
	base, err := f.recipe(node)
	if err != nil {
		return nil, err
	}
	if err := base.Validate(); err != nil {
		return nil, located(node, err)
	}
	list, err := variants(node, f, base)
	if err != nil {
		return nil, err
	}
	s := &Study{
		Name: f.Study, Title: f.Title, Seeds: f.Seeds, Device: f.Device, Checkpoint: f.Checkpoint, LogEvery: f.LogEvery,
		Design: f.Design, Report: f.Report, Metrics: f.Metrics, Sinks: f.Sinks, OnEnd: f.OnEnd,
	}
	for _, v := range list {
		resolved, err := v.resolve(base, node.At("train.init").Pos())
		if err != nil {
			return nil, err
		}
		s.Variants = append(s.Variants, resolved)
	}
	s.change()
	if err := s.Report.check(node, s.Variants); err != nil {
		return nil, err
	}
	if err := s.distinct(node); err != nil {
		return nil, err
	}
	if s.Tune, err = f.tune(node, base); err != nil || s.Tune == nil {
		return s, err
	}
	return s, s.checkTune(node.At("tune"))
}

// change describes how each variant differs from the baseline.
func (s *Study) change() {
	for i, v := range s.Variants {
		s.Variants[i].Changes = recipe.Changes(s.Variants[0].Recipe, v.Recipe)
		if v.Device != "" {
			s.Variants[i].Changes = append(s.Variants[i].Changes, "on "+v.Device)
		}
	}
}

// recipe returns the recipe that every variant starts from.
func (f *file) recipe(node *strictyaml.Node) (recipe.Recipe, error) {
	if f.Trainer != nil {
		return f.program(node)
	}
	if f.Params != nil {
		return recipe.Recipe{}, node.At("params").Errorf("params belong to a program, and this study has no trainer")
	}
	if f.Net == nil {
		return recipe.Recipe{}, node.Errorf("no net: write net: with a name of ablate nets, a file, or the net itself")
	}
	net, err := loadNet(f.Net)
	if err != nil {
		return recipe.Recipe{}, err
	}
	if f.Train.MicroBatches, err = f.Parallel.Chunks(f.Train.MicroBatches); err != nil {
		return recipe.Recipe{}, node.At("parallel").Errorf("parallel: %w", err)
	}
	return recipe.Recipe{Net: net, Data: f.Data, Train: f.Train}, nil
}

// ours lists the keys of studies whose nets ablate itself trains.
var ours = []string{"net", "data", "train", "parallel", "checkpoint"}

// program returns the recipe of a study whose trainer is a user's program.
func (f *file) program(node *strictyaml.Node) (recipe.Recipe, error) {
	for _, key := range ours {
		if at := node.Get(key); at != nil {
			return recipe.Recipe{}, at.Errorf("%s is for nets that ablate trains, but this study has a trainer; drop one", key)
		}
	}
	if f.Params == nil {
		f.Params = recipe.Params{}
	}
	if !filepath.IsAbs(f.Trainer.Dir) {
		f.Trainer.Dir = filepath.Join(filepath.Dir(node.At("trainer").File), f.Trainer.Dir)
	}
	dir, err := filepath.Abs(f.Trainer.Dir) // a plan may be carried out elsewhere
	if err != nil {
		return recipe.Recipe{}, node.At("trainer").Errorf("trainer.dir: %w", err)
	}
	f.Trainer.Dir = dir
	return recipe.Recipe{Trainer: f.Trainer, Params: f.Params}, f.declareMetric(node)
}

// declareMetric makes the study compare the metric of its trainer, and records which values of it
// are better.
func (f *file) declareMetric(node *strictyaml.Node) error {
	m := f.Trainer.Metric
	if at := node.At("report.metric"); at == node || at == node.Get("report") {
		f.Report.Metric = m.Name
	}
	said := f.Metrics[m.Name]
	if said.Better != "" && said.Better != m.Better {
		return node.At("metrics").Errorf("metrics: %s has better: %s, but trainer.metric has better: %s", m.Name,
			said.Better, m.Better)
	}
	said.Better = m.Better
	if f.Metrics == nil {
		f.Metrics = Metrics{}
	}
	f.Metrics[m.Name] = said
	return nil
}

// PinnedVariant names the first variant that sets its own device, and returns "" if none does.
func (s *Study) PinnedVariant() string {
	for _, v := range s.Variants {
		if v.Device != "" {
			return v.Name + " on " + v.Device
		}
	}
	return ""
}

// distinct refuses two variants that would train the same bits on the same devices, because there
// is nothing to compare.
func (s *Study) distinct(node *strictyaml.Node) error {
	seen := map[string]Variant{}
	for _, v := range s.Variants {
		id, err := v.Recipe.Effective().Identity()
		if err != nil {
			return err
		}
		id += " " + v.Device
		other, again := seen[id]
		if !again {
			seen[id] = v
			continue
		}
		why := ""
		if key, reason := recipe.Unread(other.Recipe, v.Recipe); key != "" {
			why = fmt.Sprintf(": %s is never read where %s", key, reason)
		}
		return node.At("variants").Errorf("variants %s and %s are the same recipe%s", other.Name, v.Name, why)
	}
	return nil
}

// located adds file and line to the error of a check that knows its key; errors about the shapes of
// the net have no key, and those about a part of it say themselves where it stands.
func located(node *strictyaml.Node, err error) error {
	key := "net"
	if e := (*strictyaml.Error)(nil); errors.As(err, &e) {
		if e.Pos != "" {
			return err
		}
		key = cmp.Or(e.Key, key)
	}
	return node.At(key).Errorf("%w", err)
}

// loadNet reads a net by its registered name, from a file, or from an inline mapping.
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
	if e := (*strictyaml.Error)(nil); err != nil && !errors.As(err, &e) {
		return nil, v.Errorf("%w", err)
	}
	return n, err
}
