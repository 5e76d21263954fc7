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

// Fields are what is recorded of a run, by name: string, float64, bool, time.Time or []string.
type Fields map[string]any

// metric begins the names of the metrics.
const metric = "metric."

// now is the clock, which tests turn back.
var now = time.Now

// Read returns the fields of a run. Its metrics are read only if a name asks for one.
func Read(store *experiments.Store, dir string, names []string) (Fields, error) {
	rec, err := experiments.ReadRecord(dir)
	if err != nil {
		return nil, err
	}
	keys, err := export.Flatten(rec.Recipe)
	if err != nil {
		return nil, err
	}
	f := Fields(keys)
	notes, err := store.Notes(rec)
	if err != nil {
		return nil, err
	}
	f.record(rec)
	f["tag"] = notes.Tags
	var said []string
	for _, n := range notes.Notes {
		said = append(said, n.Text)
	}
	f["note"] = said
	if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, metric) }) {
		series, err := store.Metrics(rec)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, m := range series {
			f[metric+m.Name] = float64(m.Value)
		}
	}
	return f, nil
}

func (f Fields) record(r experiments.Record) {
	f["study"], f["variant"], f["seed"] = r.Study, r.Variant, float64(r.Seed)
	f["run"] = fmt.Sprintf("%s/%s/%d", r.Study, r.Variant, r.Seed)
	f["status"], f["error"], f["identity"], f["edited"] = string(r.Status), r.Error, r.Identity, r.Edited
	f["attempts"], f["params"], f["macs"] = float64(len(r.Attempts)), float64(r.Params), float64(r.MACs)
	f["changes"], f["ablation"] = strings.Join(r.Changes, " · "), r.Ablations
	if n := len(r.Attempts); n > 0 {
		a := r.Attempts[n-1]
		f["started"], f["device"], f["hardware"], f["host"] = r.Attempts[0].Started, a.Device, a.Hardware, a.Host
		f["threads"] = float64(a.Threads)
		took := 0.0
		for _, a := range r.Attempts {
			if !a.Ended.IsZero() {
				took += a.Ended.Sub(a.Started).Seconds()
			}
		}
		f["seconds"] = took
		if !a.Ended.IsZero() {
			f["ended"] = a.Ended
		}
	}
	if u := r.Usage(); u != nil {
		f["cpu_seconds"], f["peak_memory"] = float64(u.CPUSeconds), float64(u.PeakMemory)
		if u.Joules() > 0 {
			f["joules"] = u.Joules()
		}
	}
	if p := r.Provenance; p != nil {
		f["commit"], f["branch"], f["dirty"], f["cpu"] = p.Commit, p.Branch, p.Dirty, p.CPU
	}
	if res := r.Result; res != nil {
		f["epochs"], f["test_examples"] = float64(res.Epochs), float64(res.TestExamples)
		f["train_loss"], f["test_loss"] = float64(res.TrainLoss), float64(res.TestLoss)
		f["top1_error"], f["top5_error"] = float64(res.Top1Error), float64(res.Top5Error)
		f["images_per_second"], f["weights_sha256"] = float64(res.ImagesPerSecond), res.WeightsSHA256
	}
}

// always are names that a run may have no value for.
var always = []string{
	"study", "variant", "seed", "run", "status", "error", "identity", "edited", "attempts", "params", "macs", "changes",
	"ablation", "started", "ended", "seconds", "device", "hardware", "host", "threads", "commit", "branch", "dirty", "cpu",
	"epochs", "train_loss", "test_loss", "top1_error", "top5_error", "test_examples", "images_per_second",
	"weights_sha256", "cpu_seconds", "peak_memory", "joules", "tag", "note",
}

// Known refuses names that no run has.
func Known(names []string, runs []Fields) error {
	known := map[string]bool{}
	for _, n := range always {
		known[n] = true
	}
	for _, f := range runs {
		for n := range f {
			known[n] = true
		}
	}
	for _, n := range names {
		if !known[n] && len(runs) > 0 {
			return fmt.Errorf("%w: no run has %s%s", ErrQuery, strictyaml.Plain(n),
				strictyaml.Suggest(n, slices.Sorted(maps.Keys(known))))
		}
	}
	return nil
}

// Names are those that an expression asks for.
func (e *Expr) Names() []string {
	var all []string
	e.root.names(func(name string, _ int) { all = append(all, name) })
	return all
}

func (n both) names(each func(string, int))    { n.a.names(each); n.b.names(each) }
func (n either) names(each func(string, int))  { n.a.names(each); n.b.names(each) }
func (n not) names(each func(string, int))     { n.a.names(each) }
func (n compare) names(each func(string, int)) { each(n.name, n.at) }

// Match says whether a run is one that is looked for.
func (e *Expr) Match(f Fields) (bool, error) { return e.root.match(f) }

func (n both) match(f Fields) (bool, error) {
	a, err := n.a.match(f)
	if err != nil {
		return false, err
	}
	b, err := n.b.match(f)
	return a && b, err
}

func (n either) match(f Fields) (bool, error) {
	a, err := n.a.match(f)
	if err != nil {
		return false, err
	}
	b, err := n.b.match(f)
	return a || b, err
}

func (n not) match(f Fields) (bool, error) {
	a, err := n.a.match(f)
	return !a, err
}

// match compares. A run without a value is unlike any: only != finds it.
func (n compare) match(f Fields) (bool, error) {
	switch v := f[n.name].(type) {
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
			return n.text(cell(v))
		}
		want, ok := n.value.number()
		if !ok {
			return false, n.errorf("%s is a number, %q is none", n.name, n.value.text)
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

// order compares numbers; NaN is unlike all of them.
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
	return false, n.errorf("%s is text, which %s does not compare; write = != or ~", n.name, n.op)
}

// list compares texts of which one must be equal, or contain; != wants none to be equal.
func (n compare) list(all []string) (bool, error) {
	one := n
	if n.op == "!=" {
		one.op = "="
	}
	if _, err := one.text(""); err != nil {
		return false, err
	}
	found := slices.ContainsFunc(all, func(v string) bool {
		ok, _ := one.text(v) // its operator was tried above
		return ok
	})
	return found != (n.op == "!="), nil
}

// Cell is a field as a table shows it.
func (f Fields) Cell(name string) string { return cell(f[name]) }

func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []string:
		return strings.Join(v, ", ")
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	default:
		return fmt.Sprint(v)
	}
}

// Compare orders runs by a field, down from the largest on request: numbers by size,
// times by age, text by letters. What has no value comes last either way.
func Compare(a, b Fields, name string, down bool) int {
	x, y := a[name], b[name]
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
	return strings.Compare(cell(x), cell(y))
}

// missing is 1 for what has no place in an order.
func missing(v any) int {
	if f, ok := v.(float64); v == nil || ok && math.IsNaN(f) {
		return 1
	}
	return 0
}
