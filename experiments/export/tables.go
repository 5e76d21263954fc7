package export

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"ablate/experiments"
)

// A Table is a long table: one row for each run, measurement or prediction.
type Table struct {
	Columns []Column
	// Rows have a value for each column, of the type for the column's kind, or nil without a value.
	Rows iter.Seq2[[]any, error]
}

// A Column has values of one kind.
type Column struct {
	Name string
	Kind Kind
}

// Kind is the type of a column's values.
type Kind int

// The kinds of columns, and the types of their values.
const (
	Text  Kind = iota // string
	Int               // int64
	Uint              // uint64
	Float             // float64
	Bool              // bool
	Time              // time.Time
)

// WriteCSV writes a table with a header. NaN and the infinities are written in the form that pandas and polars read.
func (t Table) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	head := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		head[i] = c.Name
	}
	if err := out.Write(head); err != nil {
		return err
	}
	line := make([]string, len(head))
	for row, err := range t.Rows {
		if err != nil {
			return err
		}
		for i, v := range row {
			line[i] = cell(v)
		}
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// cell writes a value so that it reads back the same.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	default:
		return fmt.Sprint(v)
	}
}

// rows returns the rows of a table in memory.
func rows(all [][]any) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// RunTable has one row for each run: its name, every key of the recipes that differs between the runs, how it ended,
// and where it was trained.
func RunTable(runs []Run) Table {
	keys := Varying(runs)
	t := Table{Columns: []Column{
		{"study", Text}, {"variant", Text}, {"seed", Uint}, {"status", Text}, {"attempts", Int}, {"identity", Text},
		{"changes", Text}, {"params", Int}, {"macs", Int},
	}}
	kinds := make([]Kind, len(keys))
	for i, k := range keys {
		kinds[i] = kindOf(runs, k)
		t.Columns = append(t.Columns, Column{k, kinds[i]})
	}
	t.Columns = append(t.Columns,
		Column{"epochs", Int}, Column{"train_loss", Float}, Column{"test_loss", Float}, Column{"top1_error", Float},
		Column{"top5_error", Float}, Column{"test_examples", Int}, Column{"images_per_second", Float},
		Column{"weights_sha256", Text}, Column{"device", Text}, Column{"hardware", Text}, Column{"commit", Text},
		Column{"started", Time}, Column{"seconds", Float},
		Column{"cpu_seconds", Float}, Column{"peak_memory", Int}, Column{"joules", Float},
		Column{"tags", Text}, Column{"notes", Text})
	var all [][]any
	for _, r := range runs {
		row := []any{r.Study, r.Variant, r.Seed, string(r.Status), int64(len(r.Attempts)), r.Identity,
			strings.Join(r.Changes, " · "), r.Params, r.MACs}
		for i, k := range keys {
			v := r.Keys[k]
			if v != nil && kinds[i] == Text {
				v = cell(v)
			}
			row = append(row, v)
		}
		row = append(row, result(r.Result)...)
		row = append(append(row, r.where()...), usage(r.Usage())...)
		all = append(all, append(row, strings.Join(r.Notes.Tags, ","), r.Remarks()))
	}
	t.Rows = rows(all)
	return t
}

// kindOf returns the kind of a key's values, or Text if they are of several kinds.
func kindOf(runs []Run, key string) Kind {
	of := map[Kind]bool{}
	for _, r := range runs {
		switch r.Keys[key].(type) {
		case nil:
		case float64:
			of[Float] = true
		case bool:
			of[Bool] = true
		default:
			of[Text] = true
		}
	}
	for _, k := range []Kind{Float, Bool} {
		if of[k] && len(of) == 1 {
			return k
		}
	}
	return Text
}

func result(r *experiments.Result) []any {
	if r == nil {
		return make([]any, 8)
	}
	return []any{
		int64(r.Epochs), float64(r.TrainLoss), float64(r.TestLoss), float64(r.Top1Error), float64(r.Top5Error),
		int64(r.TestExamples), float64(r.ImagesPerSecond), r.WeightsSHA256,
	}
}

// where returns the last attempt's device and hardware, the program's commit, when the first attempt began and how many
// seconds all attempts took.
func (r Run) where() []any {
	commit := ""
	if r.Provenance != nil {
		commit = r.Provenance.Commit
	}
	if len(r.Attempts) == 0 {
		return []any{nil, nil, commit, nil, nil}
	}
	var took time.Duration
	for _, a := range r.Attempts {
		if !a.Ended.IsZero() {
			took += a.Ended.Sub(a.Started)
		}
	}
	last := r.Attempts[len(r.Attempts)-1]
	return []any{last.Device, last.Hardware, commit, r.Attempts[0].Started, math.Round(1e3*took.Seconds()) / 1e3}
}

// usage returns a run's use of the machine. Quantities that the machine does not report are absent.
func usage(u *experiments.Usage) []any {
	row := make([]any, 3)
	if u == nil {
		return row
	}
	row[0] = float64(u.CPUSeconds)
	if u.PeakMemory > 0 {
		row[1] = u.PeakMemory
	}
	if u.Joules() > 0 {
		row[2] = u.Joules()
	}
	return row
}

// of holds the columns that name the run of a row.
var of = []Column{{"study", Text}, {"variant", Text}, {"seed", Uint}}

// MetricTable has one row for each measurement, without those that a later attempt repeated.
func MetricTable(runs []Run) Table {
	return Table{
		Columns: append(slices.Clone(of), []Column{{"attempt", Int}, {"epoch", Int}, {"step", Int}, {"name", Text},
			{"value", Float}, {"seconds", Float}}...),
		Rows: func(yield func([]any, error) bool) {
			for _, r := range runs {
				for _, m := range r.Metrics {
					row := []any{r.Study, r.Variant, r.Seed, int64(m.Attempt), int64(m.Epoch), m.Step, m.Name,
						float64(m.Value), m.Seconds}
					if !yield(row, nil) {
						return
					}
				}
			}
		},
	}
}

// PredictionTable has one row for each test image and run. Runs without predictions have none.
func PredictionTable(store *experiments.Store, runs []Run) Table {
	return Table{
		Columns: append(slices.Clone(of), []Column{{"index", Int}, {"label", Int}, {"predicted", Int}, {"rank", Int},
			{"log_prob", Float}}...),
		Rows: func(yield func([]any, error) bool) {
			for _, r := range runs {
				predictions, err := store.Predictions(r.Record)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					yield(nil, fmt.Errorf("%s: %w", r.Name(), err))
					return
				}
				for _, p := range predictions {
					row := []any{r.Study, r.Variant, r.Seed, int64(p.Index), int64(p.Label), int64(p.Predicted),
						int64(p.Rank), p.LogProb}
					if !yield(row, nil) {
						return
					}
				}
			}
		},
	}
}
