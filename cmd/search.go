package cmd

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"ablate/experiments"
	"ablate/experiments/index"
	"ablate/experiments/query"
)

// A foundRun is a run that a list shows.
type foundRun struct {
	entry    index.Entry
	notes    experiments.Notes
	recorded query.Run // empty if no flag needs it
}

// search selects and sorts runs as the flags say. It also returns the errors of runs that cannot be
// read.
func search(store *experiments.Store, runs []index.Entry, o runsFlags) (found []foundRun, unread []error, err error) {
	names := slices.Clone(o.columns)
	for _, s := range o.sort {
		names = append(names, strings.TrimPrefix(s, "-"))
	}
	reads := names
	var where *query.Expr
	if o.where != "" {
		if where, err = query.Parse(o.where); err != nil {
			return nil, nil, fmt.Errorf("--where: %w", err)
		}
		reads = slices.Concat(names, where.Names())
	}
	var recorded []query.Run
	for _, e := range runs {
		f := foundRun{entry: e}
		dir := filepath.Join(store.Root, filepath.FromSlash(e.Dir))
		if f.notes, err = experiments.ReadNotes(dir); err == nil && len(reads) > 0 {
			f.recorded, err = query.Read(store, dir, reads)
		}
		if err != nil {
			unread = append(unread, err)
			continue
		}
		recorded = append(recorded, f.recorded)
		found = append(found, f)
	}
	if err := query.Known(names, recorded); err != nil {
		return nil, unread, err
	}
	if where != nil {
		if err := where.Known(recorded); err != nil {
			return nil, unread, fmt.Errorf("--where: %w", err)
		}
		found = slices.DeleteFunc(found, func(f foundRun) bool {
			ok, merr := where.Match(f.recorded)
			err = cmp.Or(err, merr)
			return !ok
		})
		if err != nil {
			return nil, unread, fmt.Errorf("--where: %w", err)
		}
	}
	slices.SortStableFunc(found, func(a, b foundRun) int {
		for _, s := range o.sort {
			name, down := strings.CutPrefix(s, "-")
			c := query.Compare(a.recorded, b.recorded, name, down)
			if c != 0 {
				return c
			}
		}
		return 0
	})
	return found, unread, nil
}

// printColumns prints the chosen fields as a table, with numbers to the right.
func printColumns(w io.Writer, found []foundRun, columns []string) error {
	show := moment(w)
	rows := [][]string{columns}
	align := []byte(strings.Repeat("l", len(columns)))
	for _, f := range found {
		var row []string
		for i, name := range columns {
			value := f.recorded.Get(name)
			cell := query.Cell(value)
			switch v := value.(type) {
			case float64:
				align[i] = 'r'
			case time.Time:
				cell = show(v)
			}
			row = append(row, cmp.Or(cell, "–"))
		}
		rows = append(rows, row)
	}
	return printTable(w, rows, string(align))
}

// printFields prints a JSON object for each run. Numbers that JSON cannot express are strings, as
// in records.
func printFields(w io.Writer, found []foundRun, columns []string) error {
	list := []map[string]any{}
	for _, f := range found {
		row := map[string]any{}
		for _, name := range columns {
			row[name] = f.recorded.Get(name)
			if v, ok := row[name].(float64); ok {
				row[name] = experiments.Number(v)
			}
		}
		list = append(list, row)
	}
	return printJSON(w, list)
}

// moment formats times for people on a terminal, and as dates elsewhere.
func moment(w io.Writer) func(time.Time) string {
	if f, ok := asFile(w); ok && term.IsTerminal(int(f.Fd())) {
		return func(t time.Time) string { return ago(t.Local(), time.Now()) }
	}
	return func(t time.Time) string { return t.Local().Format(time.DateTime) }
}

// ago formats a time as "today 14:02", "yesterday 14:02", "Mon 14:02" within a week, and a date
// before that. Both times are in one time zone.
func ago(t, now time.Time) string {
	clock := t.Format("15:04")
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch {
	case t.IsZero():
		return "–"
	case t.After(now.Add(time.Minute)): // the clocks of hosts differ
		return t.Format("2006-01-02 15:04")
	case !t.Before(midnight):
		return "today " + clock
	case !t.Before(midnight.AddDate(0, 0, -1)):
		return "yesterday " + clock
	case !t.Before(midnight.AddDate(0, 0, -6)):
		return t.Format("Mon ") + clock
	}
	return t.Format("2006-01-02 15:04")
}
