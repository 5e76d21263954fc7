package importer

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"ablate/experiments"
	"ablate/recipe"
)

// Bounds on a table.
const (
	maxTable   = 256 << 20
	maxRows    = 1 << 20
	maxColumns = 10_000
)

// Roles lists the roles of a table's columns. A column with such a name has the role without a Mapping.
var Roles = []string{"variant", "seed", "metric", "value", "step", "epoch", "split", "dataset"}

// A Mapping states how to read a table.
type Mapping struct {
	Columns map[string]string // name of the column with each role
	Metrics []string          // columns of a wide table that are figures; empty means columns of numbers only
	Params  []string          // columns that are parameters; empty means the rest
	Pattern string            // position of variant and seed within names
}

// A table holds the cells of a CSV file.
type table struct {
	name string
	head []string
	rows [][]string
	line []int // the line number of each row
}

// readTable reads a whole file; - is the standard input.
func readTable(path string, stdin io.Reader) (*table, error) {
	r := stdin
	if path != "-" {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s: not a regular file", path)
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	return parseTable(path, r)
}

func parseTable(name string, r io.Reader) (*table, error) {
	limited := &io.LimitedReader{R: r, N: maxTable + 1}
	b := bufio.NewReader(limited)
	if bom, err := b.Peek(3); err == nil && bytes.Equal(bom, []byte("\uFEFF")) {
		b.Discard(3) // spreadsheets write this mark
	}
	c := csv.NewReader(b)
	c.Comma = separator(b)
	t := &table{name: name}
	for {
		row, err := c.Read()
		switch {
		case errors.Is(err, io.EOF) && limited.N <= 0:
			return nil, fmt.Errorf("%s: longer than %d bytes", name, maxTable)
		case errors.Is(err, io.EOF) && t.head == nil:
			return nil, fmt.Errorf("%s: %w: it is empty", name, ErrAmbiguous)
		case errors.Is(err, io.EOF):
			return t, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", name, err)
		case t.head == nil:
			if t.head = row; len(row) > maxColumns {
				return nil, fmt.Errorf("%s: more than %d columns", name, maxColumns)
			}
			for i := range row {
				if row[i] = strings.TrimSpace(row[i]); row[i] != "" && slices.Contains(row[:i], row[i]) {
					return nil, fmt.Errorf("%s:1: %w: two columns are called %s", name, ErrAmbiguous, row[i])
				}
			}
		case len(t.rows) == maxRows:
			return nil, fmt.Errorf("%s: more than %d rows", name, maxRows)
		default:
			line, _ := c.FieldPos(0)
			t.rows, t.line = append(t.rows, row), append(t.line, line)
		}
	}
}

// separator returns the comma, or the semicolon or tab if the first line has more of them.
func separator(b *bufio.Reader) rune {
	head, _ := b.Peek(b.Size())
	first, _, _ := bytes.Cut(head, []byte("\n"))
	best, most := ',', bytes.Count(first, []byte(","))
	for _, c := range []rune{';', '\t'} {
		if n := bytes.Count(first, []byte(string(c))); n > most {
			best, most = c, n
		}
	}
	return best
}

// roles finds the column of each role, -1 if there is none.
func (t *table) roles(m Mapping) (map[string]int, error) {
	at := map[string]int{}
	for _, role := range Roles {
		at[role] = slices.Index(t.head, role)
	}
	for role, name := range m.Columns {
		if !slices.Contains(Roles, role) {
			return nil, fmt.Errorf("%w: no column has the role %s; write one of %s", ErrAmbiguous, role,
				strings.Join(Roles, ", "))
		}
		if at[role] = slices.Index(t.head, name); at[role] < 0 {
			return nil, fmt.Errorf("%s:1: %w: no column is called %s; there are %s", t.name, ErrAmbiguous, name, few(t.head))
		}
	}
	for _, role := range []string{"variant", "seed"} {
		if at[role] < 0 {
			return nil, fmt.Errorf("%s:1: %w: which column is the %s? say --column %s=NAME, of %s", t.name, ErrAmbiguous, role,
				role, few(t.head))
		}
	}
	if (at["metric"] < 0) != (at["value"] < 0) && at["metric"] >= 0 {
		return nil, fmt.Errorf("%s:1: %w: a column metric needs one of values; say --column value=NAME", t.name, ErrAmbiguous)
	}
	return at, nil
}

// CSV reads a table. A table with the columns metric and value is long, with a row for each value. Any other is wide,
// with a row for each run or each step of one. It returns ErrAmbiguous for a table that it cannot interpret.
func CSV(path string, stdin io.Reader, m Mapping) (*Source, error) {
	t, err := readTable(path, stdin)
	if err != nil {
		return nil, err
	}
	return t.source("csv", m)
}

func (t *table) source(from string, m Mapping) (*Source, error) {
	at, err := t.roles(m)
	if err != nil {
		return nil, err
	}
	s := &Source{From: from, Name: t.name}
	c := collector{at: at, table: t, runs: map[key]int{}, source: s, seen: map[cell]int{}}
	if at["metric"] >= 0 {
		err = c.long()
	} else {
		err = c.wide(m)
	}
	if err != nil {
		return nil, err
	}
	for i := range s.Runs {
		numbered(s.Runs[i].Metrics, at["step"] >= 0, at["epoch"] >= 0)
	}
	return s, s.check()
}

// A collector combines the cells of a table into runs.
type collector struct {
	at     map[string]int
	table  *table
	source *Source
	runs   map[key]int
	seen   map[cell]int // the line on which each value occurs
}

// A cell is the position of a value.
type cell struct {
	key
	metric, step, epoch string
}

// get returns the cell of a role, or "" if there is no such column.
func (c *collector) get(row []string, role string) string {
	if i := c.at[role]; i >= 0 {
		return strings.TrimSpace(row[i])
	}
	return ""
}

func (c *collector) place(i int) string { return fmt.Sprintf("%s:%d", c.table.name, c.table.line[i]) }

// run returns the run of a row, which it makes if it does not exist.
func (c *collector) run(i int) (*Run, error) {
	row := c.table.rows[i]
	seed, ok := seedOf(c.get(row, "seed"))
	k := key{c.get(row, "dataset"), c.get(row, "variant"), seed}
	switch {
	case !ok:
		return nil, fmt.Errorf("%s: %w: seed %q is not a whole number from 0 up", c.place(i), ErrAmbiguous,
			c.get(row, "seed"))
	case k.variant == "":
		return nil, fmt.Errorf("%s: %w: it names no variant", c.place(i), ErrAmbiguous)
	case c.at["dataset"] >= 0 && k.dataset == "":
		return nil, fmt.Errorf("%s: %w: it names no data set", c.place(i), ErrAmbiguous)
	}
	n, known := c.runs[k]
	if !known {
		n = len(c.source.Runs)
		c.runs[k] = n
		c.source.Runs = append(c.source.Runs, Run{
			Dataset: k.dataset, Variant: k.variant, Seed: seed, Where: c.place(i), Params: recipe.Params{},
		})
	}
	return &c.source.Runs[n], nil
}

// add adds a value to its run.
func (c *collector) add(r *Run, i int, metric, text string) error {
	row := c.table.rows[i]
	if split := c.get(row, "split"); split != "" {
		metric = split + "_" + metric
	}
	v, ok := number(text)
	if !ok {
		return fmt.Errorf("%s: %w: %s is %q, not a number", c.place(i), ErrAmbiguous, metric, text)
	}
	m := experiments.Metric{Attempt: 1, Name: metric, Value: v}
	for role, to := range map[string]*int64{"step": &m.Step, "epoch": new(int64)} {
		text := c.get(row, role)
		if c.at[role] < 0 {
			continue
		}
		n, ok := seedOf(text)
		if !ok || n > 1<<53 {
			return fmt.Errorf("%s: %w: %s %q is not a whole number from 0 up", c.place(i), ErrAmbiguous, role, text)
		}
		if *to = int64(n); role == "epoch" {
			m.Epoch = int(n)
		}
	}
	if c.at["step"] < 0 && c.at["epoch"] >= 0 {
		m.Step = int64(m.Epoch)
	}
	at := cell{key: key{r.Dataset, r.Variant, r.Seed}, metric: metric, step: c.get(row, "step"),
		epoch: c.get(row, "epoch")}
	if line, twice := c.seen[at]; twice {
		return fmt.Errorf("%s: %w: %s of variant %s, seed %d stands on line %d, too", c.place(i), ErrAmbiguous, metric,
			r.Variant, r.Seed, line)
	}
	c.seen[at] = c.table.line[i]
	r.Metrics = append(r.Metrics, m)
	return nil
}

func (c *collector) long() error {
	for i, row := range c.table.rows {
		r, err := c.run(i)
		if err != nil {
			return err
		}
		metric := c.get(row, "metric")
		if metric == "" {
			return fmt.Errorf("%s: %w: it names no metric", c.place(i), ErrAmbiguous)
		}
		if err := c.add(r, i, metric, c.get(row, "value")); err != nil {
			return err
		}
	}
	return nil
}

// wide reads one run from each row: columns of numbers are figures, the others parameters.
func (c *collector) wide(m Mapping) error {
	figures, params, err := c.columns(m)
	if err != nil {
		return err
	}
	for i, row := range c.table.rows {
		r, err := c.run(i)
		if err != nil {
			return err
		}
		for _, col := range figures {
			if strings.TrimSpace(row[col]) == "" {
				continue // this run does not have the figure
			}
			if err := c.add(r, i, c.table.head[col], row[col]); err != nil {
				return err
			}
		}
		for _, col := range params {
			if strings.TrimSpace(row[col]) != "" {
				r.Params[c.table.head[col]] = param(row[col])
			}
		}
	}
	return nil
}

// columns separates figures from parameters.
func (c *collector) columns(m Mapping) (figures, params []int, err error) {
	taken := slices.Collect(maps.Values(c.at))
	for _, names := range [][]string{m.Metrics, m.Params} {
		for _, name := range names {
			if !slices.Contains(c.table.head, name) {
				return nil, nil, fmt.Errorf("%s:1: %w: no column is called %s; there are %s", c.table.name, ErrAmbiguous, name,
					few(c.table.head))
			}
		}
	}
	for col, name := range c.table.head {
		switch {
		case slices.Contains(taken, col) || name == "":
		case slices.Contains(m.Params, name):
			params = append(params, col)
		case slices.Contains(m.Metrics, name):
			figures = append(figures, col)
		case m.Metrics == nil && c.numeric(col):
			figures = append(figures, col)
		case m.Params == nil:
			params = append(params, col)
		}
	}
	if len(figures) == 0 {
		return nil, nil, fmt.Errorf("%s:1: %w: no column holds numbers alone; it has %s", c.table.name, ErrAmbiguous,
			few(c.table.head))
	}
	return figures, params, nil
}

// numeric reports whether a column holds only numbers.
func (c *collector) numeric(col int) bool {
	any := false
	for _, row := range c.table.rows {
		if strings.TrimSpace(row[col]) == "" {
			continue
		}
		if _, ok := number(row[col]); !ok {
			return false
		}
		any = true
	}
	return any
}
