package importer

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"ablate/experiments"
)

// WandB reads a table that W&B's pages export: of runs, or the data of a chart.
func WandB(path string, stdin io.Reader, m Mapping) (*Source, error) {
	t, err := readTable(path, stdin)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(t.head, func(h string) bool { return strings.Contains(h, " - ") }) {
		return t.chart(m)
	}
	if m.Pattern != "" {
		if err := t.named(m.Pattern); err != nil {
			return nil, err
		}
	}
	left := t.finished()
	s, err := t.source("wandb-csv", m)
	if s != nil {
		s.Left = append(left, s.Left...)
	}
	return s, err
}

// column is the place of a column, -1 where there is none.
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

// named adds the columns variant and seed that the runs' names hold.
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

// chart reads a column for each run: Step, "RUN - METRIC", "RUN - METRIC__MIN", "RUN - METRIC__MAX".
func (t *table) chart(m Mapping) (*Source, error) {
	if m.Pattern == "" {
		return nil, fmt.Errorf("%s:1: %w: say where the runs' names have variant and seed, as in --pattern "+
			"'{variant}-seed{seed}'; the first column is %s", t.name, ErrAmbiguous, t.head[min(1, len(t.head)-1)])
	}
	p, err := newPattern(m.Pattern)
	if err != nil {
		return nil, err
	}
	step := t.column("Step")
	s := &Source{From: "wandb-csv", Name: t.name}
	for col, head := range t.head {
		i := strings.LastIndex(head, " - ")
		if col == step || i < 0 || strings.HasSuffix(head, "__MIN") || strings.HasSuffix(head, "__MAX") {
			continue
		}
		name, metric := head[:i], head[i+len(" - "):]
		if metric == "_step" {
			continue
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
		for row := range t.rows {
			if err := t.point(&s.Runs[at], row, col, step, metric); err != nil {
				return nil, err
			}
		}
	}
	for i := range s.Runs {
		numbered(s.Runs[i].Metrics, step >= 0, false)
	}
	return s, s.check()
}

// point reads a cell of a chart's data; an empty one is none.
func (t *table) point(r *Run, row, col, step int, metric string) error {
	text := strings.TrimSpace(t.rows[row][col])
	if text == "" {
		return nil
	}
	m := experiments.Metric{Attempt: 1, Name: metric}
	var ok bool
	if m.Value, ok = number(text); !ok {
		return fmt.Errorf("%s:%d: %w: %s is %q, not a number", t.name, t.line[row], ErrAmbiguous, t.head[col], text)
	}
	if step >= 0 {
		n, ok := seedOf(t.rows[row][step])
		if !ok || n > 1<<53 {
			return fmt.Errorf("%s:%d: %w: Step is %q", t.name, t.line[row], ErrAmbiguous, t.rows[row][step])
		}
		m.Step = int64(n)
	}
	r.Metrics = append(r.Metrics, m)
	return nil
}
