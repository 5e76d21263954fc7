package serve

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"ablate/experiments/export"
	"ablate/experiments/query"
	"ablate/reports"
)

// A sharedRecipe is a recipe that many runs share, and its keys.
type sharedRecipe struct {
	text   json.RawMessage
	keys   map[string]any
	epochs int
}

func newSharedRecipe(text json.RawMessage) *sharedRecipe {
	s := &sharedRecipe{text: text}
	s.keys, _ = export.Flatten(text) // a record that can be read holds JSON
	epochs, _ := s.keys["train.epochs"].(float64)
	s.epochs = int(epochs)
	return s
}

// recorded returns the run in the form that expressions, columns and orders use.
func (r *run) recorded() query.Run {
	q := query.Run{Record: &r.record, Notes: r.notes}
	if r.recipe != nil {
		q.Recipe = r.recipe.keys
	}
	return q
}

// usualColumns lists the columns shown unless others are asked for.
var usualColumns = []string{"status", "top1_error", "epochs", "changes", "started", "host"}

// heads maps columns to heads that differ from their names.
var heads = map[string]string{
	"top1_error": "top-1 error %", "top5_error": "top-5 error %", "test_loss": "test loss", "train_loss": "training loss",
	"images_per_second": "images/s", "changes": "changed", "macs": "MACs", "host": "node", "cpu_seconds": "CPU seconds",
	"peak_memory": "memory MB", "test_examples": "test images", "cpu": "CPU", "weights_sha256": "weights", "tag": "tags",
	"note": "notes", "ablation": "ablations",
}

func headOf(name string) string { return or(heads[name], name) }

// figures maps columns to functions that write numbers which would be hard to read in full.
var figures = map[string]func(float64) string{
	"top1_error": reports.Percent, "top5_error": reports.Percent, "test_loss": decimals(4), "train_loss": decimals(4),
	"images_per_second": decimals(0), "seconds": decimals(0), "cpu_seconds": decimals(0), "joules": decimals(0),
	"peak_memory": func(v float64) string { return decimals(0)(v / 1e6) },
	"params":      func(v float64) string { return reports.Thousands(int64(v)) },
	"macs":        func(v float64) string { return reports.Thousands(int64(v)) },
}

func decimals(n int) func(float64) string {
	return func(v float64) string { return strconv.FormatFloat(v, 'f', n, 64) }
}

// cellOf returns the cell of a run in a column. Numbers are aligned to the right.
func (r *run) cellOf(q query.Run, name string) runsCell {
	value := q.Get(name)
	switch v := value.(type) {
	case float64:
		if write := figures[name]; write != nil {
			return runsCell{write(v), true}
		}
		return runsCell{query.Cell(value), true}
	case time.Time:
		return runsCell{at(v), false}
	case nil:
		if done, _ := r.epochs(); name == "epochs" && done > 0 { // a run that is not finished
			return runsCell{strconv.Itoa(done), true}
		}
	}
	return runsCell{query.Cell(value), false}
}

// remarks returns the notes on a run in one line.
func (r *run) remarks() string {
	var all []string
	for _, n := range r.notes.Notes {
		all = append(all, n.Text)
	}
	return strings.Join(all, " · ")
}

func (r *run) top1() string {
	if r.record.Result == nil || r.record.Result.TestExamples == 0 {
		return ""
	}
	return reports.Percent(float64(r.record.Result.Top1Error))
}

// mentions reports whether a run contains all words in the texts that a reader would search.
func (r *run) mentions(words []string) bool {
	if len(words) == 0 {
		return true
	}
	text := strings.ToLower(strings.Join([]string{
		r.study, r.variant, strconv.FormatUint(r.seed, 10), r.state(), strings.Join(r.record.Changes, " "),
		join(r.record.Ablations), r.node(), r.hardware(), r.record.Error, join(r.notes.Tags), r.remarks(),
	}, "\n"))
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

// comparable returns the values of a run's record that can be compared, by key. On request it adds those of its recipe.
func (r *run) comparable(recipe bool) map[string]string {
	record := r.record
	attempts := record.Attempts
	record.Recipe, record.Attempts, record.Changes = nil, nil, nil
	all := map[string]string{}
	if text, err := json.Marshal(record); err == nil {
		addKeys(all, text)
	}
	if n := len(attempts); n > 0 {
		a := attempts[n-1]
		all["attempts"], all["host"], all["device"], all["hardware"] = strconv.Itoa(n), a.Host, a.Device, a.Hardware
	}
	if recipe {
		addKeys(all, r.record.Recipe)
	}
	return all
}

func addKeys(to map[string]string, text json.RawMessage) {
	keys, err := export.Flatten(text)
	if err != nil {
		return
	}
	for key, v := range keys {
		to[key] = query.Cell(v)
	}
}
