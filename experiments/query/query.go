package query

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"ablate/experiments"
	"ablate/experiments/export"
	"ablate/strictyaml"
)

// A Run holds what is recorded about one run.
type Run struct {
	Record  *experiments.Record
	Notes   experiments.Notes
	Recipe  map[string]any     // by dotted key, from export.Flatten
	Metrics map[string]float64 // the last value of each metric
}

// Read returns a run. It reads the metrics only if a name needs one.
func Read(store *experiments.Store, dir string, names []string) (Run, error) {
	rec, err := experiments.ReadRecord(dir)
	if err != nil {
		return Run{}, err
	}
	r := Run{Record: &rec}
	if r.Recipe, err = export.Flatten(rec.Recipe); err != nil {
		return Run{}, err
	}
	if r.Notes, err = store.Notes(rec); err != nil {
		return Run{}, err
	}
	if !AskForMetrics(names) {
		return r, nil
	}
	series, err := store.Metrics(rec)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Run{}, err
	}
	r.Metrics = Last(series)
	return r, nil
}

// metric is the prefix of the names of metrics.
const metric = "metric."

// AskForMetrics reports whether one of the names is that of a metric.
func AskForMetrics(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, metric) })
}

// Last returns the last values of the metrics of a run.
func Last(series []experiments.Metric) map[string]float64 {
	last := map[string]float64{}
	for _, m := range series {
		last[m.Name] = float64(m.Value)
	}
	return last
}

// now is the clock, which tests turn back.
var now = time.Now

// Get returns the value that a run has under a name, as string, float64, bool, time.Time or
// []string, and nil if it has none.
func (r Run) Get(name string) any {
	if i, ok := places[name]; ok {
		return columns[i].of(r)
	}
	if of, ok := strings.CutPrefix(name, metric); ok {
		if v, ok := r.Metrics[of]; ok {
			return v
		}
		return nil
	}
	return r.Recipe[name]
}

// A column is a value of a record, with its name.
type column struct {
	name string
	of   func(Run) any
}

var columns = []column{
	{"study", func(r Run) any { return r.Record.Study }},
	{"variant", func(r Run) any { return r.Record.Variant }},
	{"seed", func(r Run) any { return float64(r.Record.Seed) }},
	{"run", func(r Run) any { return fmt.Sprintf("%s/%s/%d", r.Record.Study, r.Record.Variant, r.Record.Seed) }},
	{"status", func(r Run) any { return string(r.Record.Status) }},
	{"top1_error", ofResult(func(r *experiments.Result) any { return float64(r.Top1Error) })},
	{"top5_error", ofResult(func(r *experiments.Result) any { return float64(r.Top5Error) })},
	{"test_loss", ofResult(func(r *experiments.Result) any { return float64(r.TestLoss) })},
	{"train_loss", ofResult(func(r *experiments.Result) any { return float64(r.TrainLoss) })},
	{"test_examples", ofResult(func(r *experiments.Result) any { return float64(r.TestExamples) })},
	{"epochs", ofResult(func(r *experiments.Result) any { return float64(r.Epochs) })},
	{"images_per_second", ofResult(func(r *experiments.Result) any { return float64(r.ImagesPerSecond) })},
	{"changes", func(r Run) any { return strings.Join(r.Record.Changes, " · ") }},
	{"ablation", func(r Run) any { return r.Record.Ablations }},
	{"edited", func(r Run) any { return r.Record.Edited }},
	{"params", func(r Run) any { return float64(r.Record.Params) }},
	{"macs", func(r Run) any { return float64(r.Record.MACs) }},
	{"attempts", func(r Run) any { return float64(len(r.Record.Attempts)) }},
	{"started", began},
	{"ended", lastAttempt(ended)},
	{"seconds", lastAttempt(func(r *experiments.Record, _ experiments.Attempt) any { return seconds(r) })},
	{"host", lastAttempt(func(_ *experiments.Record, a experiments.Attempt) any { return a.Host })},
	{"device", lastAttempt(func(_ *experiments.Record, a experiments.Attempt) any { return a.Device })},
	{"hardware", lastAttempt(func(_ *experiments.Record, a experiments.Attempt) any { return a.Hardware })},
	{"threads", lastAttempt(func(_ *experiments.Record, a experiments.Attempt) any { return float64(a.Threads) })},
	{"cpu_seconds", ofUsage(func(u *experiments.Usage) any { return float64(u.CPUSeconds) })},
	{"peak_memory", ofUsage(func(u *experiments.Usage) any { return float64(u.PeakMemory) })},
	{"joules", ofUsage(joules)},
	{"commit", ofProvenance(func(p *experiments.Provenance) any { return p.Commit })},
	{"branch", ofProvenance(func(p *experiments.Provenance) any { return p.Branch })},
	{"dirty", ofProvenance(func(p *experiments.Provenance) any { return p.Dirty })},
	{"cpu", ofProvenance(func(p *experiments.Provenance) any { return p.CPU })},
	{"identity", func(r Run) any { return r.Record.Identity }},
	{"weights_sha256", ofResult(func(r *experiments.Result) any { return r.WeightsSHA256 })},
	{"error", func(r Run) any { return r.Record.Error }},
	{"tag", func(r Run) any { return r.Notes.Tags }},
	{"note", func(r Run) any { return said(r.Notes) }},
}

// places maps the names of columns to their positions.
var places = func() map[string]int {
	at := map[string]int{}
	for i, c := range columns {
		at[c.name] = i
	}
	return at
}()

// Recorded lists the names other than those of recipes and metrics. A run may not have a value for
// each.
func Recorded() []string {
	var names []string
	for _, c := range columns {
		names = append(names, c.name)
	}
	return names
}

func began(r Run) any {
	if len(r.Record.Attempts) == 0 {
		return nil
	}
	return r.Record.Attempts[0].Started
}

func lastAttempt(of func(*experiments.Record, experiments.Attempt) any) func(Run) any {
	return func(r Run) any {
		if n := len(r.Record.Attempts); n > 0 {
			return of(r.Record, r.Record.Attempts[n-1])
		}
		return nil
	}
}

func ended(_ *experiments.Record, a experiments.Attempt) any {
	if a.Ended.IsZero() {
		return nil
	}
	return a.Ended
}

// seconds adds up the times of all attempts that have ended.
func seconds(r *experiments.Record) float64 {
	sum := 0.0
	for _, a := range r.Attempts {
		if !a.Ended.IsZero() {
			sum += a.Ended.Sub(a.Started).Seconds()
		}
	}
	return sum
}

func ofUsage(of func(*experiments.Usage) any) func(Run) any {
	return func(r Run) any {
		if u := r.Record.Usage(); u != nil {
			return of(u)
		}
		return nil
	}
}

func joules(u *experiments.Usage) any {
	if j := u.Joules(); j > 0 {
		return j
	}
	return nil // the machine does not measure it
}

func ofProvenance(of func(*experiments.Provenance) any) func(Run) any {
	return func(r Run) any {
		if r.Record.Provenance != nil {
			return of(r.Record.Provenance)
		}
		return nil
	}
}

// ofResult is for figures that every result of ablate's own trainer has; those of a user's program
// are metrics.
func ofResult(of func(*experiments.Result) any) func(Run) any {
	return func(r Run) any {
		if r.Record.Result != nil {
			return of(r.Record.Result)
		}
		return nil
	}
}

func said(n experiments.Notes) []string {
	var all []string
	for _, note := range n.Notes {
		all = append(all, note.Text)
	}
	return all
}

// Known refuses names that no run has.
func Known(names []string, runs []Run) error {
	for _, n := range names {
		if why := unknown(n, runs); why != "" {
			return fmt.Errorf("%w: %s", ErrQuery, why)
		}
	}
	return nil
}

// Known refuses an expression with a name that no run has, and reports its position.
func (e *Expr) Known(runs []Run) (err error) {
	e.root.each(func(n compare) {
		if why := unknown(n.name, runs); why != "" && err == nil {
			err = n.errorf("%s", why)
		}
	})
	return err
}

// unknown returns the message about a name that no run has, with the nearest name; it is empty if a
// run has it.
func unknown(name string, runs []Run) string {
	_, recorded := places[name]
	if recorded || len(runs) == 0 || slices.ContainsFunc(runs, func(r Run) bool { return r.Get(name) != nil }) {
		return ""
	}
	known := map[string]bool{}
	for _, r := range runs {
		for key := range r.Recipe {
			known[key] = true
		}
		for m := range r.Metrics {
			known[metric+m] = true
		}
	}
	all := slices.Concat(Recorded(), slices.Sorted(maps.Keys(known)))
	return "no run has " + strictyaml.Plain(name) + strictyaml.Suggest(name, all)
}

// Names returns the names in an expression.
func (e *Expr) Names() []string {
	var all []string
	e.root.each(func(n compare) { all = append(all, n.name) })
	return all
}

func (n both) each(do func(compare))    { n.a.each(do); n.b.each(do) }
func (n either) each(do func(compare))  { n.a.each(do); n.b.each(do) }
func (n not) each(do func(compare))     { n.a.each(do) }
func (n compare) each(do func(compare)) { do(n) }

// Match reports whether an expression selects a run.
func (e *Expr) Match(r Run) (bool, error) { return e.root.match(r) }

func (n both) match(r Run) (bool, error) {
	a, err := n.a.match(r)
	if err != nil {
		return false, err
	}
	b, err := n.b.match(r)
	return a && b, err
}

func (n either) match(r Run) (bool, error) {
	a, err := n.a.match(r)
	if err != nil {
		return false, err
	}
	b, err := n.b.match(r)
	return a || b, err
}

func (n not) match(r Run) (bool, error) {
	a, err := n.a.match(r)
	return !a, err
}

// match compares a value. Without a value only != is true.
func (n compare) match(r Run) (bool, error) {
	switch v := r.Get(n.name).(type) {
	case nil:
		return n.op == "!=", nil
	case []string:
		return n.list(v)
	case string:
		return n.text(v)
	case bool:
		return n.text(strconv.FormatBool(v))
	case float64:
		if n.op == "~" {
			return n.text(Cell(v))
		}
		want, ok := n.value.number()
		if !ok {
			return false, n.errorf("%s is a number, but %q is not", n.name, n.value.text)
		}
		return n.order(v, want), nil
	case time.Time:
		want, ok := n.value.time(now())
		if !ok {
			return false, n.errorf("%s is a time; write it as 2006-01-02, '2006-01-02 15:04', today or yesterday", n.name)
		}
		return n.order(float64(v.UnixNano()), float64(want.UnixNano())), nil
	default:
		return false, n.errorf("%s cannot be compared", n.name)
	}
}

func (n compare) errorf(format string, args ...any) error {
	return fmt.Errorf("%w: at character %d: %s", ErrQuery, n.at, fmt.Sprintf(format, args...))
}

// order compares numbers; NaN differs from every number.
func (n compare) order(v, want float64) bool {
	switch n.op {
	case "=":
		return v == want
	case "!=":
		return v != want
	case "<":
		return v < want
	case "<=":
		return v <= want
	case ">":
		return v > want
	default:
		return v >= want
	}
}

func (n compare) text(v string) (bool, error) {
	switch n.op {
	case "=":
		return v == n.value.text, nil
	case "!=":
		return v != n.value.text, nil
	case "~":
		return strings.Contains(strings.ToLower(v), strings.ToLower(n.value.text)), nil
	}
	return false, n.errorf("%s is text, which %s cannot compare; use = != or ~", n.name, n.op)
}

// list compares texts, one of which must be equal, or contain; != means that none is equal.
func (n compare) list(all []string) (bool, error) {
	one := n
	if n.op == "!=" {
		one.op = "="
	}
	if _, err := one.text(""); err != nil {
		return false, err
	}
	found := slices.ContainsFunc(all, func(v string) bool {
		ok, _ := one.text(v) // its operator was checked above
		return ok
	})
	return found != (n.op == "!="), nil
}

// Cell formats a value of Get for a table.
func Cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 { // 1e15 and more are hard to read either way
			return strconv.FormatFloat(v, 'f', 0, 64)
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []string:
		return strings.Join(v, ", ")
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	default:
		return fmt.Sprint(v)
	}
}

// Compare orders runs by a field, in descending order on request: numbers by size, times by age,
// text alphabetically. Runs without a value always come last.
func Compare(a, b Run, name string, down bool) int {
	x, y := a.Get(name), b.Get(name)
	if less := cmp.Compare(missing(x), missing(y)); less != 0 || missing(x) == 1 {
		return less
	}
	if down {
		x, y = y, x
	}
	switch x := x.(type) {
	case float64:
		if y, ok := y.(float64); ok {
			return cmp.Compare(x, y)
		}
	case time.Time:
		if y, ok := y.(time.Time); ok {
			return x.Compare(y)
		}
	}
	return strings.Compare(Cell(x), Cell(y))
}

// missing returns 1 for values that cannot be ordered.
func missing(v any) int {
	if f, ok := v.(float64); v == nil || ok && math.IsNaN(f) {
		return 1
	}
	return 0
}
