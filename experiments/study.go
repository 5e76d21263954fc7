package experiments

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
)

// studyFile holds a study's declaration, beside its variants' folders.
const studyFile = "study.json"

// DeclarationPath returns the path of a study's declaration.
func DeclarationPath(study string) string { return filepath.Join(study, studyFile) }

// declarationVersion is the version of study.json.
const declarationVersion = 1

// A Declaration is what a study set out to compare, written before its first run. A family of
// comparisons that is chosen after looking at the results, or that depends on whichever file is
// there when a report is made, controls no error rate.
type Declaration struct {
	Version  int      `json:"version"`
	Study    string   `json:"study"`
	Design   string   `json:"design"`   // each, leave-one-out, cumulative, factorial
	Variants []string `json:"variants"` // in the study's order, the baseline first; the others are the family
	Seeds    []uint64 `json:"seeds"`
	Metric   string   `json:"metric"` // the primary metric; tables of others are exploratory
	At       string   `json:"at"`     // the epoch of the primary figure: last, best, best-validation, epoch:N
	// Also lists further primary metrics, whose comparisons also belong to the family.
	Also []string `json:"also,omitempty"`
	// Margin is the difference below which variants count as the same, in the unit in which the
	// metric is printed; 0 means none.
	Margin float64 `json:"margin,omitempty"`
	// Family lists the variants whose comparisons share an error rate; empty means all but the
	// baseline.
	Family []string `json:"family,omitempty"`
	// Looks lists the numbers of complete seeds at which the study is looked at; Spending says how
	// they share the error rate.
	Looks    []int  `json:"looks,omitempty"`
	Spending string `json:"spending,omitempty"`
	// Looked lists the numbers of complete seeds at which ablate run made a table, in rising order.
	Looked []int `json:"looked,omitempty"`
	// Metrics describes metrics by name; those of our own trainer are known.
	Metrics map[string]MetricKind `json:"metrics,omitempty"`
	// Tuning records how variants found their own values for some keys; it is nil if they did not.
	Tuning *Tuning `json:"tuning,omitempty"`
}

// A Tuning records how each variant of a study found its own values for some keys.
type Tuning struct {
	Study  string              `json:"study"`  // the study of the tuning runs
	Metric string              `json:"metric"` // the metric of held-out data by which they were chosen
	Seeds  []uint64            `json:"seeds"`
	Keys   []string            `json:"keys"`
	Tried  [][]string          `json:"tried"`  // the settings that every variant tried: a value of each key
	Chosen map[string][]string `json:"chosen"` // by variant
}

// A MetricKind is what a study says about a figure that its runs log.
type MetricKind struct {
	Better string `json:"better,omitempty"` // lower, higher
	Unit   string `json:"unit,omitempty"`   // share: 0..1, printed in percent; anything else follows the name
	Format string `json:"format,omitempty"` // of a value; .2f has two decimals
}

// Declare records what a study compares, and returns the declaration that counts from then on.
// Earlier declarations stay, in their order; new variants and seeds follow, so that a family can
// grow but never shrinks. The design, the metrics, the margin and the named family are those of the
// first declaration.
// margin and the named family are those of the first time.
func (s *Store) Declare(d Declaration) (Declaration, error) {
	if _, err := s.path(d.Study, "any", 0); err != nil {
		return d, err
	}
	d.Version = declarationVersion
	before, err := s.Declaration(d.Study)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return d, err
	default:
		d = before.Extend(d)
		if reflect.DeepEqual(d, before) {
			return before, nil
		}
	}
	return d, s.writeDeclaration(d)
}

// Look records that a table was made of this number of complete seeds of a study. It does nothing
// if the study declared nothing.
// declared nothing.
func (s *Store) Look(study string, seeds int) error {
	d, err := s.Declaration(study)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (seeds < 1 || slices.Contains(d.Looked, seeds)) {
		return nil
	}
	if err != nil {
		return err
	}
	d.Looked = append(d.Looked, seeds)
	slices.Sort(d.Looked)
	return s.writeDeclaration(d)
}

func (s *Store) writeDeclaration(d Declaration) error {
	if err := s.makeFolder(s.Study(d.Study)); err != nil {
		return err
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(DeclarationPath(s.Study(d.Study)), append(text, '\n'))
}

// Extend adds the variants, seeds and metrics that only later names, and adopts later's way of
// printing metrics; an empty d becomes later.
func (d Declaration) Extend(later Declaration) Declaration {
	if d.Study == "" {
		return later
	}
	d.Variants, d.Seeds = union(d.Variants, later.Variants), union(d.Seeds, later.Seeds)
	kinds := maps.Clone(later.Metrics)
	for name, kind := range d.Metrics {
		if k, ok := kinds[name]; ok {
			kind.Better, kind.Unit, kind.Format = cmp.Or(kind.Better, k.Better), k.Unit, k.Format
		}
		if kinds == nil {
			kinds = map[string]MetricKind{}
		}
		kinds[name] = kind
	}
	d.Metrics = kinds
	d.Tuning = d.Tuning.extend(later.Tuning)
	return d
}

// extend returns later's tuning, with t's choices for variants for which later has none.
func (t *Tuning) extend(later *Tuning) *Tuning {
	if t == nil || later == nil {
		return cmp.Or(later, t)
	}
	all := *later
	all.Chosen = maps.Clone(t.Chosen)
	maps.Copy(all.Chosen, later.Chosen)
	return &all
}

// Departures lists what later would declare differently. The first declaration counts.
func (d Declaration) Departures(later Declaration) []string {
	var all []string
	departs := func(key string, was, is any) {
		if !reflect.DeepEqual(was, is) {
			all = append(all, fmt.Sprintf("%s: %v, not %v", key, was, is))
		}
	}
	departs("report.metric", d.Metric, later.Metric)
	departs("report.at", d.At, later.At)
	departs("report.margin", d.Margin, later.Margin)
	departs("report.also", append([]string{}, d.Also...), append([]string{}, later.Also...))
	departs("report.sequential.looks", append([]int{}, d.Looks...), append([]int{}, later.Looks...))
	departs("report.sequential.spending", d.Spending, later.Spending)
	departs("report.family", append([]string{}, d.Family...), append([]string{}, later.Family...))
	for _, name := range slices.Sorted(maps.Keys(later.Metrics)) {
		if kind := d.Metrics[name]; kind.Better != "" {
			departs("metrics."+name+".better", kind.Better, later.Metrics[name].Better)
		}
	}
	return all
}

func union[T comparable](a, b []T) []T {
	all := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// Declaration reads what a study declared. If it declared nothing, the error is fs.ErrNotExist: its
// runs were made before there were declarations, or elsewhere.
func (s *Store) Declaration(study string) (Declaration, error) {
	path := DeclarationPath(s.Study(study))
	text, err := readFile(path, maxRecord)
	if err != nil {
		return Declaration{}, err
	}
	var d Declaration
	if err := json.Unmarshal(text, &d); err != nil {
		return Declaration{}, fmt.Errorf("read %s: %w", path, err)
	}
	switch {
	case d.Version != declarationVersion:
		return Declaration{}, fmt.Errorf("read %s: version %d; this program reads version %d", path, d.Version,
			declarationVersion)
	case d.Study != study:
		return Declaration{}, fmt.Errorf("read %s: it belongs to study %q", path, d.Study)
	}
	return d, nil
}
