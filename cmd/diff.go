package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/reports"
)

func newDiff() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "diff RUN RUN",
		Short:   "Show what differs between two runs: recipe, result, provenance",
		Example: `  ablate diff quickstart/baseline/1 quickstart/no-lrn/1`,
		Long: `diff prints how the second run's recipe differs from the first run's, and then all
other keys that differ between the two records. A dash stands for a key that a
run does not have.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := openStore(c)
			if err != nil {
				return err
			}
			var records [2]experiments.Record
			for i, name := range args {
				if records[i], _, err = store.Read(name); err != nil {
					return err
				}
			}
			d, err := compareRecords(records[0], records[1])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), d)
			}
			return d.print(c.OutOrStdout(), args)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// A recordDiff holds the differences between two records.
type recordDiff struct {
	Recipe []string     `json:"recipe"` // in words, as in reports
	Keys   []difference `json:"keys"`   // all other keys
}

// compareRecords compares two records. A recipe that cannot be decoded is compared key by key, like
// the rest of a record.
func compareRecords(a, b experiments.Record) (recordDiff, error) {
	d := recordDiff{Recipe: []string{}, Keys: []difference{}}
	from, errA := recipe.Decode(a.Recipe)
	to, errB := recipe.Decode(b.Recipe)
	if errA == nil && errB == nil {
		d.Recipe = append(d.Recipe, recipe.Changes(from, to)...)
		a.Recipe, b.Recipe = nil, nil
	}
	x, err := asKeys(a)
	if err != nil {
		return d, err
	}
	y, err := asKeys(b)
	if err != nil {
		return d, err
	}
	r := &differences{list: d.Keys}
	cmp.Equal(x, y, cmp.Reporter(r))
	d.Keys = r.list
	return d, nil
}

// asKeys returns a record as plain JSON. It leaves out the attempts, whose times and processes
// always differ, and everything that the changes of the recipe already tell.
func asKeys(r experiments.Record) (any, error) {
	r.Attempts, r.Changes = nil, nil
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // seeds may be larger than a float64 holds
	var keys any
	err = d.Decode(&keys)
	return keys, err
}

// A difference is a key with its values in two runs.
type difference struct {
	Key string `json:"key"`
	A   any    `json:"a"`
	B   any    `json:"b"`
}

// differences collects the leaves that differ between two JSON values. It is a cmp.Reporter.
type differences struct {
	path cmp.Path
	list []difference
}

func (d *differences) PushStep(s cmp.PathStep) { d.path = append(d.path, s) }

func (d *differences) PopStep() { d.path = d.path[:len(d.path)-1] }

func (d *differences) Report(r cmp.Result) {
	if r.Equal() {
		return
	}
	var key strings.Builder
	for _, s := range d.path {
		switch s := s.(type) {
		case cmp.MapIndex:
			fmt.Fprint(&key, ".", s.Key())
		case cmp.SliceIndex:
			x, y := s.SplitKeys()
			fmt.Fprintf(&key, "[%d]", max(x, y))
		}
	}
	diff := difference{Key: strings.TrimPrefix(key.String(), ".")}
	a, b := d.path.Last().Values()
	if a.IsValid() {
		diff.A = a.Interface()
	}
	if b.IsValid() {
		diff.B = b.Interface()
	}
	d.list = append(d.list, diff)
}

func (d recordDiff) print(w io.Writer, names []string) error {
	if len(d.Recipe)+len(d.Keys) == 0 {
		_, err := fmt.Fprintln(w, "nothing differs")
		return err
	}
	for _, change := range d.Recipe {
		if _, err := fmt.Fprintln(w, "recipe:", reports.Sanitize(change)); err != nil {
			return err
		}
	}
	if len(d.Keys) == 0 {
		return nil
	}
	rows := [][]string{{"key", names[0], names[1]}}
	for _, x := range d.Keys {
		rows = append(rows, []string{x.Key, reports.Sanitize(brief(x.A)), reports.Sanitize(brief(x.B))})
	}
	return printTable(w, rows, "lll")
}

// brief formats a value on one line.
func brief(v any) string {
	if v == nil {
		return "–"
	}
	if s, ok := v.(string); ok {
		return s
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}
