package importer

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"ablate/experiments"
)

// WandB reads a table that W&B's pages export: of runs, or the data of a chart. W&B documents
// neither form. They are those of exports that users published or asked about:
// https://github.com/wandb/wandb/issues/5222 and 5349 have the columns of charts.
func WandB(file string, stdin io.Reader, m Mapping) (*Source, error) {
	t, err := readTable(file, stdin)
	if err != nil {
		return nil, err
	}
	return t.wandb(m)
}

func (t *table) wandb(m Mapping) (*Source, error) {
	if slices.ContainsFunc(t.head, func(h string) bool { return strings.Contains(h, ofRun) }) {
		return t.chart(m)
	}
	if m.Pattern != "" {
		if err := t.named(m.Pattern); err != nil {
			return nil, err
		}
	}
	left, names := t.finished(), t.names()
	t.drop(housekeeping, m)
	s, err := t.source("wandb-csv", m)
	if s != nil {
		s.Left = append(left, s.Left...)
		for i, r := range s.Runs {
			s.Runs[i].Name = names[r.Where]
		}
	}
	return s, err
}

// housekeeping lists the columns of a table of runs that are neither config nor summary.
var housekeeping = []string{"Name", "ID", "Agent", "State", "Notes", "User", "Tags", "Created", "Sweep", "Job Type"}

// names returns W&B's names for the rows, by position.
func (t *table) names() map[string]string {
	names := map[string]string{}
	if name := t.column("Name"); name >= 0 {
		for i, row := range t.rows {
			names[fmt.Sprintf("%s:%d", t.name, t.line[i])] = row[name]
		}
	}
	return names
}

// drop removes columns unless the user asks for them.
func (t *table) drop(columns []string, m Mapping) {
	asked := slices.Concat(m.Metrics, m.Params)
	for _, name := range m.Columns {
		asked = append(asked, name)
	}
	for col := len(t.head) - 1; col >= 0; col-- {
		if name := t.head[col]; !slices.Contains(columns, name) || slices.Contains(asked, name) {
			continue
		}
		t.head = slices.Delete(t.head, col, col+1)
		for i := range t.rows {
			t.rows[i] = slices.Delete(t.rows[i], col, col+1)
		}
	}
}

// column returns the position of a column, -1 if there is none.
func (t *table) column(name string) int { return slices.Index(t.head, name) }

// finished drops the runs that did not finish.
func (t *table) finished() (left []string) {
	state := t.column("State")
	if state < 0 {
		return nil
	}
	var rows [][]string
	var lines []int
	for i, row := range t.rows {
		if row[state] != "finished" {
			left = append(left, fmt.Sprintf("%s:%d: its state is %s", t.name, t.line[i], row[state]))
			continue
		}
		rows, lines = append(rows, row), append(lines, t.line[i])
	}
	t.rows, t.line = rows, lines
	return left
}

// named adds the columns variant and seed, which it reads from the runs' names.
func (t *table) named(where string) error {
	p, err := newPattern(where)
	if err != nil {
		return err
	}
	name := t.column("Name")
	if name < 0 {
		return fmt.Errorf("%s:1: %w: it has no column Name to find variants and seeds in", t.name, ErrAmbiguous)
	}
	t.head = append(t.head, "variant", "seed")
	for i, row := range t.rows {
		variant, seed, _, ok := p.find(row[name])
		if !ok {
			return fmt.Errorf("%s:%d: %w: %s is not of the pattern %s", t.name, t.line[i], ErrAmbiguous, row[name], where)
		}
		t.rows[i] = append(row, variant, fmt.Sprint(seed))
	}
	return nil
}

// Parts of the names of a chart's columns.
const (
	ofRun   = " - "     // between a run's name and a metric
	ofGroup = "Group: " // prefix of a mean over several runs
	ownStep = "_step"   // the metric that is a run's own step
)

// A chartAxis holds the columns of a value's step and epoch, each -1 if there is none.
type chartAxis struct {
	step, epoch int
	own         map[string]int // by run, the column of its own steps
}

// axis interprets a chart's first column: Step, a metric that counts steps or epochs, or a time.
func (t *table) axis() chartAxis {
	a := chartAxis{step: -1, epoch: -1, own: map[string]int{}}
	for col, head := range t.head {
		switch name, metric, ok := cutLast(head, ofRun); {
		case ok && metric == ownStep:
			a.own[name] = col
		case ok || col > 0:
		case strings.HasSuffix(strings.ToLower(head), "step"):
			a.step = col
		case strings.ToLower(path.Base(head)) == "epoch" && t.whole(col):
			a.epoch = col
		}
	}
	return a
}

// whole reports whether a column holds only whole numbers.
func (t *table) whole(col int) bool {
	return !slices.ContainsFunc(t.rows, func(row []string) bool { _, ok := seedOf(row[col]); return !ok })
}

// cutLast cuts text at the last occurrence of sep.
func cutLast(text, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}

// chart reads a column for each run: "RUN - METRIC", beside "RUN - METRIC__MIN" and "RUN - METRIC__MAX",
// which are the same for a single run.
func (t *table) chart(m Mapping) (*Source, error) {
	if m.Pattern == "" {
		return nil, fmt.Errorf("%s:1: %w: say where the runs' names have variant and seed, as in --pattern "+
			"'{variant}-seed{seed}'; the first column is %s", t.name, ErrAmbiguous, t.head[min(1, len(t.head)-1)])
	}
	p, err := newPattern(m.Pattern)
	if err != nil {
		return nil, err
	}
	axis := t.axis()
	s := &Source{From: "wandb-csv", Name: t.name}
	for col, head := range t.head {
		name, metric, ok := cutLast(head, ofRun)
		if !ok || metric == ownStep || strings.HasSuffix(head, "__MIN") || strings.HasSuffix(head, "__MAX") {
			continue
		}
		if strings.HasPrefix(name, ofGroup) {
			return nil, fmt.Errorf("%s:1: %w: %s is a mean over the runs of a group; export the chart without grouping",
				t.name, ErrAmbiguous, head)
		}
		variant, seed, _, ok := p.find(name)
		if !ok {
			return nil, fmt.Errorf("%s:1: %w: run %s is not of the pattern %s", t.name, ErrAmbiguous, name, m.Pattern)
		}
		at := slices.IndexFunc(s.Runs, func(r Run) bool { return r.Name == name })
		if at < 0 {
			at = len(s.Runs)
			s.Runs = append(s.Runs, Run{Variant: variant, Seed: seed, Name: name, Where: t.name + ":1"})
		}
		step := axis.step
		if own, ok := axis.own[name]; ok && step < 0 {
			step = own
		}
		for row := range t.rows {
			if err := t.point(&s.Runs[at], row, col, step, axis.epoch, metric); err != nil {
				return nil, err
			}
		}
	}
	for i := range s.Runs {
		_, own := axis.own[s.Runs[i].Name]
		numbered(s.Runs[i].Metrics, axis.step >= 0 || own, axis.epoch >= 0)
	}
	return s, s.check()
}

// point reads a cell of a chart's data; an empty cell is skipped.
func (t *table) point(r *Run, row, col, step, epoch int, metric string) error {
	text := strings.TrimSpace(t.rows[row][col])
	if text == "" {
		return nil
	}
	m := experiments.Metric{Attempt: 1, Name: metric}
	var ok bool
	if m.Value, ok = number(text); !ok {
		return fmt.Errorf("%s:%d: %w: %s is %q, not a number", t.name, t.line[row], ErrAmbiguous, t.head[col], text)
	}
	for _, at := range []int{step, epoch} {
		if at < 0 {
			continue
		}
		n, ok := seedOf(t.rows[row][at])
		if !ok || n > 1<<53 {
			return fmt.Errorf("%s:%d: %w: %s is %q, no whole number from 0 up", t.name, t.line[row], ErrAmbiguous, t.head[at],
				t.rows[row][at])
		}
		if at == step {
			m.Step = int64(n)
		} else {
			m.Epoch = int(n)
		}
	}
	r.Metrics = append(r.Metrics, m)
	return nil
}
