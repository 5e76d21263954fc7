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
)

func newDiff() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "diff RUN RUN",
		Short: "Show what differs between two runs: recipe, result, provenance",
		Long: `diff prints the keys of two runs' records that are not the same, and nothing
else. A dash stands for a key that a run does not have.

  ablate diff quickstart/baseline/1 quickstart/no-lrn/1`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := openStore(c)
			if err != nil {
				return err
			}
			var records [2]any
			for i, name := range args {
				dir, err := store.Find(name)
				if err != nil {
					return err
				}
				rec, err := experiments.ReadRecord(dir)
				if err != nil {
					return err
				}
				if records[i], err = asKeys(rec); err != nil {
					return err
				}
			}
			d := &differences{List: []difference{}}
			cmp.Equal(records[0], records[1], cmp.Reporter(d))
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(d.List)
			}
			return d.print(c.OutOrStdout(), args)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// asKeys is a record as plain JSON, without the attempts: their times and processes always differ.
func asKeys(r experiments.Record) (any, error) {
	r.Attempts = nil
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

// differences collects the leaves in which two JSON values differ.
type differences struct {
	path cmp.Path
	List []difference
}

// PushStep is part of cmp.Reporter.
func (d *differences) PushStep(s cmp.PathStep) { d.path = append(d.path, s) }

// PopStep is part of cmp.Reporter.
func (d *differences) PopStep() { d.path = d.path[:len(d.path)-1] }

// Report is part of cmp.Reporter.
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
	d.List = append(d.List, diff)
}

func (d *differences) print(w io.Writer, names []string) error {
	if len(d.List) == 0 {
		_, err := fmt.Fprintln(w, "nothing differs")
		return err
	}
	rows := [][]string{{"key", names[0], names[1]}}
	for _, x := range d.List {
		rows = append(rows, []string{x.Key, brief(x.A), brief(x.B)})
	}
	return printTable(w, rows, "lll")
}

// brief is a value in one line.
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
