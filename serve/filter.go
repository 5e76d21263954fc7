package serve

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ablate/reports"
)

// sorted are the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// A column is what can be shown, filtered and sorted by of a run besides its recipe's keys.
type column struct {
	name, head string
	right      bool
	value      func(*run) string
}

// columns are those of every run.
var columns = []column{
	{name: "study", head: "study", value: func(r *run) string { return r.study }},
	{name: "variant", head: "variant", value: func(r *run) string { return r.variant }},
	{name: "seed", head: "seed", right: true, value: func(r *run) string { return strconv.FormatUint(r.seed, 10) }},
	{name: "status", head: "status", value: (*run).state},
	{name: "error", head: "top-1 error %", right: true, value: (*run).top1},
	{name: "top5", head: "top-5 error %", right: true, value: func(r *run) string {
		if r.record.Result == nil {
			return ""
		}
		return reports.Percent(float64(r.record.Result.Top5Error))
	}},
	{name: "loss", head: "test loss", right: true, value: func(r *run) string {
		if r.record.Result == nil {
			return ""
		}
		return fmt.Sprintf("%.4f", float64(r.record.Result.TestLoss))
	}},
	{name: "speed", head: "images/s", right: true, value: func(r *run) string {
		if r.record.Result == nil || !(r.record.Result.ImagesPerSecond > 0) {
			return ""
		}
		return strconv.FormatFloat(float64(r.record.Result.ImagesPerSecond), 'f', 0, 64)
	}},
	{name: "epoch", head: "epoch", right: true, value: func(r *run) string {
		done, _ := r.epochs()
		return strconv.Itoa(done)
	}},
	{name: "changes", head: "changed", value: func(r *run) string { return strings.Join(r.record.Changes, "; ") }},
	{name: "params", head: "params", right: true, value: func(r *run) string { return number(r.record.Params) }},
	{name: "macs", head: "MACs", right: true, value: func(r *run) string { return number(r.record.MACs) }},
	{name: "started", head: "started", value: func(r *run) string {
		if r.started().IsZero() {
			return ""
		}
		return at(r.started())
	}},
	{name: "took", head: "seconds", right: true, value: func(r *run) string {
		if r.took() == 0 {
			return ""
		}
		return strconv.FormatFloat(r.took().Seconds(), 'f', 0, 64)
	}},
	{name: "attempts", head: "attempts", right: true, value: func(r *run) string {
		return strconv.Itoa(len(r.record.Attempts))
	}},
	{name: "node", head: "node", value: (*run).node},
	{name: "device", head: "device", value: (*run).device},
	{name: "hardware", head: "hardware", value: (*run).hardware},
	{name: "commit", head: "commit", value: func(r *run) string {
		if r.record.Provenance == nil {
			return ""
		}
		return r.record.Provenance.Commit
	}},
	{name: "ablations", head: "ablations", value: func(r *run) string { return join(r.record.Ablations) }},
	{name: "identity", head: "identity", value: func(r *run) string { return r.record.Identity }},
	{name: "tags", head: "tags", value: func(r *run) string { return join(r.notes.Tags) }},
	{name: "notes", head: "notes", value: (*run).remarks},
	{name: "message", head: "message", value: func(r *run) string { return or(r.broken, r.record.Error) }},
}

// usualColumns are shown unless others are asked for.
var usualColumns = []string{"status", "error", "epoch", "changes", "started", "node"}

// remarks are the notes on a run in one line.
func (r *run) remarks() string {
	var all []string
	for _, n := range r.notes.Notes {
		all = append(all, n.Text)
	}
	return strings.Join(all, " · ")
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func (r *run) top1() string {
	if r.record.Result == nil || r.record.Result.TestExamples == 0 {
		return ""
	}
	return reports.Percent(float64(r.record.Result.Top1Error))
}

// value is what a run has under a key: of columns, or of its recipe.
func (r *run) value(key string) string {
	if i := slices.IndexFunc(columns, func(c column) bool { return c.name == key }); i >= 0 {
		return columns[i].value(r)
	}
	if r.keys == nil {
		return ""
	}
	return r.keys.values[key]
}

// A condition is one filter: train.lr>=0.01, status=done, changes~lrn.
type condition struct{ key, operator, value string }

// operators are tried in this order, so that >= is not taken for >.
var operators = []string{"!=", "<=", ">=", "=", "<", ">", "~"}

func parseCondition(text string) (condition, error) {
	at, found := len(text), ""
	for _, o := range operators {
		if i := strings.Index(text, o); i > 0 && i < at {
			at, found = i, o
		}
	}
	if found == "" {
		return condition{}, fmt.Errorf("%w: filter %.60q; write KEY=VALUE, or with one of %s", errQuery, text,
			strings.Join(operators, " "))
	}
	return condition{strings.TrimSpace(text[:at]), found, strings.TrimSpace(text[at+len(found):])}, nil
}

// holds compares as numbers where both sides are, else as words; ~ asks whether the value contains the words.
func (c condition) holds(r *run) bool {
	have := r.value(c.key)
	order := compareValues(have, c.value)
	switch c.operator {
	case "=":
		return order == 0
	case "!=":
		return order != 0
	case "~":
		return strings.Contains(strings.ToLower(have), strings.ToLower(c.value))
	}
	if have == "" {
		return false
	}
	switch c.operator {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

// compareValues orders numbers as numbers, words as words, numbers before words, and nothing last.
func compareValues(a, b string) int {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	switch {
	case a == b:
		return 0
	case a == "":
		return 1
	case b == "":
		return -1
	case errX == nil && errY == nil && x < y:
		return -1
	case errX == nil && errY == nil && x > y:
		return 1
	case errX == nil && errY == nil && x == y:
		return 0
	case errX == nil && errY != nil:
		return -1
	case errX != nil && errY == nil:
		return 1
	}
	return strings.Compare(a, b)
}

// mentions says whether a run has all words somewhere a reader would look for them.
func (r *run) mentions(words []string) bool {
	text := strings.ToLower(strings.Join([]string{
		r.study, r.variant, strconv.FormatUint(r.seed, 10), r.state(), strings.Join(r.record.Changes, " "),
		join(r.record.Ablations), r.node(), r.hardware(), r.broken, r.record.Error, join(r.notes.Tags), r.remarks(),
	}, "\n"))
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}
