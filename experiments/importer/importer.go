// Package importer imports the measurements of other programs: tables in CSV files,
// TensorBoard's event files, the runs of an MLflow server, tables that W&B exports. It
// refuses ambiguous input and names its position. It guesses nothing.
package importer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments"
	"ablate/recipe"
)

// ErrAmbiguous is the error for input that could be read in several ways, or in none.
var ErrAmbiguous = errors.New("cannot be imported")

// A Run holds what another program measured in one run.
type Run struct {
	Dataset string // "" if there is only one data set
	Variant string
	Seed    uint64
	Params  recipe.Params
	Name    string // its name in the source
	Where   string // file and row, for messages
	Metrics []experiments.Metric
}

// A Source holds everything that was read from one place.
type Source struct {
	From string // csv, mlflow, tensorboard, wandb-csv
	Name string // the file, the folder, the server
	Runs []Run
	Left []string // what was left out, and why
}

// A key identifies a run.
type key struct {
	dataset, variant string
	seed             uint64
}

// check refuses two runs with one key, and names that folders cannot hold side by side.
func (s *Source) check() error {
	if len(s.Runs) == 0 {
		return fmt.Errorf("%s: %w: it holds no runs%s", s.Name, ErrAmbiguous, leftOut(s.Left))
	}
	seen := map[key]string{}
	folded := map[string]string{}
	for _, r := range s.Runs {
		k := key{r.Dataset, r.Variant, r.Seed}
		if before, twice := seen[k]; twice {
			return fmt.Errorf("%s: %w: variant %s, seed %d is at %s, too", r.Where, ErrAmbiguous, r.Variant, r.Seed, before)
		}
		seen[k] = r.Where
		fold := strings.ToLower(r.Variant)
		if other, ok := folded[fold]; ok && other != r.Variant {
			return fmt.Errorf("%s: %w: variants %s and %s differ in their case alone", r.Where, ErrAmbiguous, other, r.Variant)
		}
		folded[fold] = r.Variant
	}
	return nil
}

func leftOut(why []string) string {
	if len(why) == 0 {
		return ""
	}
	return "; left out: " + strings.Join(why[:min(len(why), 3)], "; ")
}

// Variants returns the variants' names in the order in which they appear.
func (s *Source) Variants() []string {
	return distinct(s.Runs, func(r Run) string { return r.Variant })
}

// Datasets returns the data sets' names in the order in which they appear.
func (s *Source) Datasets() []string {
	return distinct(s.Runs, func(r Run) string { return r.Dataset })
}

func distinct(runs []Run, of func(Run) string) []string {
	var names []string
	for _, r := range runs {
		if name := of(r); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Metrics returns the sorted names of all metrics.
func (s *Source) Metrics() []string {
	seen := map[string]bool{}
	var names []string
	for _, r := range s.Runs {
		for _, m := range r.Metrics {
			if !seen[m.Name] {
				seen[m.Name] = true
				names = append(names, m.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// A Study holds the runs of one data set, with a declaration of how to compare them.
type Study struct {
	Declaration experiments.Declaration
	Records     []experiments.Record
	logs        map[key][]experiments.Metric
}

// Metrics reads a run's log.
func (s *Study) Metrics(r experiments.Record) ([]experiments.Metric, error) {
	return s.logs[key{"", r.Variant, r.Seed}], nil
}

// Choice holds a user's settings for the comparison.
type Choice struct {
	Study, Baseline, Metric, Better, Unit, At string
}

// Studies makes a study of the runs of each data set, named NAME or NAME-DATASET. It returns an error for a choice that
// does not fit the runs.
func (s *Source) Studies(c Choice) ([]*Study, error) {
	d, err := s.declare(c)
	if err != nil {
		return nil, err
	}
	var studies []*Study
	sets := s.Datasets()
	for _, set := range sets {
		one := d
		if len(sets) > 1 {
			one.Study += "-" + set
		}
		study := &Study{logs: map[key][]experiments.Metric{}}
		var base recipe.Params
		var seeds []uint64
		for _, r := range s.Runs {
			if r.Dataset == set && !slices.Contains(seeds, r.Seed) {
				seeds = append(seeds, r.Seed)
			}
			if r.Dataset == set && r.Variant == d.Variants[0] && base == nil {
				base = r.Params
			}
		}
		slices.Sort(seeds)
		one.Seeds = seeds
		study.Declaration = one
		for _, r := range s.Runs {
			if r.Dataset != set {
				continue
			}
			rec, err := s.record(one.Study, r, base)
			if err != nil {
				return nil, err
			}
			study.Records = append(study.Records, rec)
			study.logs[key{"", r.Variant, r.Seed}] = r.Metrics
		}
		studies = append(studies, study)
	}
	return studies, nil
}

// declare determines which variants are compared, and by which figure.
func (s *Source) declare(c Choice) (experiments.Declaration, error) {
	variants, metrics := s.Variants(), s.Metrics()
	d := experiments.Declaration{Study: c.Study, Design: "each", At: cmp.Or(c.At, "last")}
	baseline := c.Baseline
	if baseline == "" {
		if baseline = variants[0]; slices.Contains(variants, "baseline") {
			baseline = "baseline"
		}
	}
	i := slices.Index(variants, baseline)
	if i < 0 {
		return d, fmt.Errorf("%s: %w: no variant is called %s; there are %s", s.Name, ErrAmbiguous, baseline, few(variants))
	}
	d.Variants = append([]string{baseline}, slices.Delete(variants, i, i+1)...)
	d.Metric = c.Metric
	switch {
	case d.Metric == "" && len(metrics) == 1:
		d.Metric = metrics[0]
	case d.Metric == "":
		return d, fmt.Errorf("%s: %w: it measures %s; say by which to compare, as in --metric %s", s.Name, ErrAmbiguous,
			few(metrics), metrics[0])
	case !slices.Contains(metrics, d.Metric):
		return d, fmt.Errorf("%s: %w: nothing measures %s; there are %s", s.Name, ErrAmbiguous, d.Metric, few(metrics))
	}
	better := cmp.Or(c.Better, known(d.Metric))
	if better == "" {
		return d, fmt.Errorf("%s: %w: which values of %s are better? say --better higher or --better lower", s.Name,
			ErrAmbiguous, d.Metric)
	}
	d.Metrics = map[string]experiments.MetricKind{d.Metric: {Better: better, Unit: c.Unit}}
	return d, nil
}

// known returns which values of a metric are better if its name makes that clear.
func known(metric string) string {
	name := strings.ToLower(metric)
	switch {
	case strings.HasSuffix(name, "accuracy"):
		return "higher"
	case strings.HasSuffix(name, "error"), strings.HasSuffix(name, "loss"):
		return "lower"
	}
	return ""
}

func few(names []string) string {
	const most = 12
	if len(names) > most {
		return fmt.Sprintf("%s … (%d in all)", strings.Join(names[:most], ", "), len(names))
	}
	return strings.Join(names, ", ")
}

// record returns the record to keep for a run.
func (s *Source) record(study string, r Run, base recipe.Params) (experiments.Record, error) {
	params := r.Params
	if params == nil {
		params = recipe.Params{}
	}
	rcp := recipe.Recipe{Params: params, Data: recipe.Data{Name: r.Dataset}}
	text, err := json.Marshal(rcp)
	if err != nil {
		return experiments.Record{}, err
	}
	// The params of a variant's runs may differ in irrelevant values, such as the folder that each writes to. By giving
	// its runs one variant's name, the user states that they share a recipe.
	identity, err := recipe.Recipe{
		Params: recipe.Params{"imported": s.From, "variant": r.Variant}, Data: rcp.Data,
	}.Identity()
	if err != nil {
		return experiments.Record{}, err
	}
	log := experiments.Series(r.Metrics)
	values, epochs := map[string]experiments.Number{}, 0
	for _, m := range log {
		values[m.Name], epochs = m.Value, max(epochs, m.Epoch)
	}
	if epochs == 1 { // a table of final figures, which does not mention epochs
		epochs = 0
	}
	return experiments.Record{
		Version: experiments.FormatVersion, Study: study, Variant: r.Variant, Seed: r.Seed, Identity: identity, Recipe: text,
		Changes: recipe.Changes(recipe.Recipe{Params: base}, recipe.Recipe{Params: r.Params}),
		Status:  experiments.Done, Result: experiments.Measured(epochs, 0, values),
		Imported: &experiments.Import{
			From: s.From, Source: s.Name, Run: r.Name, SHA256: experiments.DigestMetrics(log),
		},
	}, nil
}

// number parses a value as programs write it, including NaN and infinities.
func number(text string) (experiments.Number, bool) {
	text = strings.TrimSpace(text)
	switch strings.ToLower(text) {
	case "nan":
		return experiments.Number(math.NaN()), true
	case "inf", "+inf", "infinity":
		return experiments.Number(math.Inf(1)), true
	case "-inf", "-infinity":
		return experiments.Number(math.Inf(-1)), true
	}
	f, err := strconv.ParseFloat(text, 64)
	return experiments.Number(f), err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

// seedOf parses a seed. 3.0 is one, since pandas writes whole numbers that way in a column with gaps.
func seedOf(text string) (uint64, bool) {
	text = strings.TrimSuffix(strings.TrimSpace(text), ".0")
	seed, err := strconv.ParseUint(text, 10, 64)
	return seed, err == nil
}

// param returns a cell as a parameter: as a number if it is one.
func param(text string) any {
	var v any = text
	if n := json.Number(strings.TrimSpace(text)); json.Valid([]byte(n)) && n != "" {
		if _, err := n.Float64(); err == nil {
			v = n
		}
	}
	return v
}

// numbered sets steps and epochs that the log lacks to the position of a value among those of its name.
func numbered(log []experiments.Metric, stepped, epoched bool) []experiments.Metric {
	count := map[string]int{}
	for i := range log {
		m := &log[i]
		count[m.Name]++
		if !stepped {
			m.Step = int64(count[m.Name])
		}
		if !epoched {
			m.Epoch = count[m.Name]
		}
	}
	return log
}
