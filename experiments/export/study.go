// Package export reads a study's records for other programs that people use with
// ablate. Each of its folders writes one format.
package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments"
)

// A Run is a record with its recipe as a flat table of keys and its series of metrics.
type Run struct {
	experiments.Record
	Keys    map[string]any // what Flatten returns
	Metrics []experiments.Metric
	Notes   experiments.Notes // with the tags of its study
}

// Name returns STUDY/VARIANT/SEED, as the command line writes it.
func (r Run) Name() string { return fmt.Sprintf("%s/%s/%d", r.Study, r.Variant, r.Seed) }

// Runs reads a study, sorted by variant and seed. It leaves out runs that cannot be read and returns their errors.
func Runs(store *experiments.Store, study string) ([]Run, []error) {
	records, problems := store.Load(study)
	runs := make([]Run, 0, len(records))
	for _, rec := range records {
		r, err := Open(store, rec)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", r.Name(), err))
			continue
		}
		runs = append(runs, r)
	}
	return runs, problems
}

// Open reads the data of a record. A run that has not logged anything yet is no error.
func Open(store *experiments.Store, rec experiments.Record) (Run, error) {
	r := Run{Record: rec}
	var err error
	if r.Keys, err = Flatten(rec.Recipe); err == nil {
		r.Metrics, err = store.Metrics(rec)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	r.Notes, err = store.Notes(rec)
	return r, err
}

// Remarks returns the notes on a run in one text.
func (r Run) Remarks() string {
	var said []string
	for _, n := range r.Notes.Notes {
		said = append(said, n.Text)
	}
	return strings.Join(said, " · ")
}

// Varying returns the sorted keys whose values differ between runs.
func Varying(runs []Run) []string {
	all := map[string]bool{}
	for _, r := range runs {
		for k := range r.Keys {
			all[k] = true
		}
	}
	differs := func(k string) bool {
		return slices.ContainsFunc(runs, func(r Run) bool { return r.Keys[k] != runs[0].Keys[k] })
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(k string) bool { return !differs(k) })
}

// Flatten turns a recipe's JSON into dotted keys with plain values: float64,
// bool or string. A list of layers is keyed by the layers' names: net.layers.conv1
// is the layer's kind and net.layers.conv1.filters one of its parameters. Other
// lists are keyed by position.
func Flatten(recipe json.RawMessage) (map[string]any, error) {
	out := map[string]any{}
	if len(recipe) == 0 {
		return out, nil
	}
	var v any
	if err := json.Unmarshal(recipe, &v); err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	flatten(out, "", v)
	return out, nil
}

func flatten(out map[string]any, key string, v any) {
	under := func(k string) string {
		if key == "" {
			return k
		}
		return key + "." + k
	}
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			flatten(out, under(k), inner)
		}
	case []any:
		for i, item := range v {
			kind, name, body := layer(item)
			if kind == "" {
				flatten(out, under(strconv.Itoa(i)), item)
				continue
			}
			out[under(name)] = kind
			flatten(out, under(name), body)
		}
	case nil:
	default:
		out[key] = v
	}
}

// layer takes {"conv": {"name": "conv1", …}} apart. kind is empty for anything else.
func layer(item any) (kind, name string, body map[string]any) {
	m, _ := item.(map[string]any)
	if len(m) != 1 {
		return "", "", nil
	}
	for k, inner := range m {
		body, _ = inner.(map[string]any)
		if name, _ = body["name"].(string); name != "" {
			kind = k
		}
	}
	body = maps.Clone(body)
	delete(body, "name")
	return kind, name, body
}
