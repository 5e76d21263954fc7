package serve

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments/query"
	"ablate/reports"
	"ablate/reports/stats"
)

// shownRuns is the number of runs on one page of the table.
const shownRuns = 200

// A runsPage holds what the table of all runs shows.
type runsPage struct {
	Query                url.Values
	Search, Where, Sort  string
	Wrong                string // the error in Where
	Group                bool
	Heads                []columnHead
	Rows                 []runsRow
	All, Found, From, To int
	Earlier, Later       string // addresses of the pages before and after
	Columns              []option
	Names                []string // names that Where may use
	CSV                  string
}

// A columnHead is a column's head and the address that sorts by it.
type columnHead struct {
	Name, Head string
	Right      bool
	URL        string
	Sorted     string // ascending, descending, or empty
}

// A runsRow is a run, or a variant's runs together.
type runsRow struct {
	Run   string // STUDY/VARIANT/SEED; empty for a group
	Name  string
	URL   string
	State string
	Cells []runsCell
}

type runsCell struct {
	Text  string
	Right bool
}

// A selection is the result of an address's choices among all runs.
type selection struct {
	runs    []chosenRun // in its order
	all     int
	columns []string
	wrong   error // the error in its expression
}

// A chosenRun is a run with its metrics, if the address asks for any.
type chosenRun struct {
	*run
	query.Run
}

// choose filters and sorts runs as the address asks.
func (s *Server) choose(a *answer) *selection {
	sel := &selection{columns: many(a.query, "col")}
	if len(sel.columns) == 0 {
		sel.columns = usualColumns
	}
	where, err := parseWhere(a.query.Get("where"))
	if err != nil {
		sel.wrong = err
		return sel
	}
	words := strings.Fields(strings.ToLower(a.query.Get("q")))
	key, falling := strings.CutPrefix(a.query.Get("sort"), "-")
	all := []chosenRun{}
	for _, of := range a.now.studies {
		for _, r := range of.runs {
			all = append(all, chosenRun{r, r.recorded()})
		}
	}
	sel.all = len(all)
	names := append(slices.Clone(sel.columns), key)
	if where != nil {
		names = append(names, where.Names()...)
	}
	s.readLast(all, names)
	sel.runs = all
	if where != nil {
		sel.runs, sel.wrong = matching(where, all)
	}
	sel.runs = slices.DeleteFunc(slices.Clone(sel.runs), func(r chosenRun) bool { return !r.mentions(words) })
	if key != "" {
		slices.SortStableFunc(sel.runs, func(x, y chosenRun) int { return query.Compare(x.Run, y.Run, key, falling) })
	}
	return sel
}

// parseWhere returns nil for an empty text.
func parseWhere(text string) (*query.Expr, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	return query.Parse(text)
}

// matching returns the runs for which an expression holds.
func matching(where *query.Expr, all []chosenRun) ([]chosenRun, error) {
	recorded := make([]query.Run, len(all))
	for i, r := range all {
		recorded[i] = r.Run
	}
	if err := where.Known(recorded); err != nil {
		return nil, err
	}
	var found []chosenRun
	for _, r := range all {
		ok, err := where.Match(r.Run)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, r)
		}
	}
	return found, nil
}

// readLast reads the last values of the runs' logs, several at a time, if a name asks for one.
func (s *Server) readLast(all []chosenRun, names []string) {
	if !query.AskForMetrics(names) {
		return
	}
	each(len(all), func(i int) {
		if all[i].broken != "" {
			return
		}
		if series, err := s.library.series(all[i].run); err == nil { // a log that cannot be read has no last value
			all[i].Metrics = query.Last(series)
		}
	})
}

// runs shows the table of all runs.
func (s *Server) runs(a *answer) error {
	sel := s.choose(a)
	p := &runsPage{
		Query: a.query, Search: a.query.Get("q"), Where: a.query.Get("where"), Sort: a.query.Get("sort"),
		Group: a.query.Get("group") == "variant", All: sel.all, Found: len(sel.runs),
		CSV: link("/runs.csv", a.query, "from", ""),
	}
	if sel.wrong != nil {
		p.Wrong = sel.wrong.Error()
	}
	p.choices(a.now, sel.columns)
	if p.Group {
		groups := groupRuns(sel.runs)
		from, to := p.window(a, len(groups))
		p.Heads, p.Rows = groupHeads, groups[from:to]
	} else {
		from, to := p.window(a, len(sel.runs))
		for _, r := range sel.runs[from:to] {
			p.Rows = append(p.Rows, newRunsRow(r, sel.columns))
		}
		p.Heads = columnHeads(a.query, sel.columns, p.Rows)
	}
	return a.whole(head{Title: "Runs", Here: "runs", Events: "all"}, "runs", p)
}

// window returns which of n rows the address asks for, and sets the links to the others.
func (p *runsPage) window(a *answer, n int) (from, to int) {
	from, err := strconv.Atoi(a.query.Get("from"))
	if err != nil || from < 0 || from >= n {
		from = 0
	}
	to = min(from+shownRuns, n)
	if from > 0 {
		earlier := ""
		if from > shownRuns {
			earlier = strconv.Itoa(from - shownRuns)
		}
		p.Earlier = link("/runs", a.query, "from", earlier)
	}
	if to < n {
		p.Later = link("/runs", a.query, "from", strconv.Itoa(to))
	}
	p.From, p.To = from, to
	return from, to
}

// maxKeys bounds how many recipe keys are offered, since recipes may come from anywhere.
const maxKeys = 500

// choices returns all possible columns: those of every run, and the keys of the recipes.
func (p *runsPage) choices(now *shelf, chosen []string) {
	keys := map[string]bool{}
	seen := map[*sharedRecipe]bool{}
	for _, s := range now.studies {
		for _, r := range s.runs {
			if r.recipe == nil || seen[r.recipe] {
				continue
			}
			seen[r.recipe] = true
			for k := range r.recipe.keys {
				keys[k] = true
			}
		}
	}
	offer := func(name string) {
		p.Columns = append(p.Columns, option{name, headOf(name), slices.Contains(chosen, name)})
	}
	p.Names = query.Recorded()
	for _, name := range p.Names {
		if !slices.Contains([]string{"study", "variant", "seed", "run"}, name) { // these name the run
			offer(name)
		}
	}
	for i, k := range sorted(keys) {
		if i < maxKeys {
			p.Names = append(p.Names, k)
		}
		if i < maxKeys && !strings.HasPrefix(k, "net.layers.") || slices.Contains(chosen, k) {
			offer(k)
		}
	}
	for _, name := range chosen {
		if !slices.ContainsFunc(p.Columns, func(o option) bool { return o.Value == name }) {
			offer(name)
		}
	}
}

// columnHeads returns the columns' heads with the addresses that sort by them. Columns of numbers are aligned to the
// right.
func columnHeads(q url.Values, names []string, rows []runsRow) []columnHead {
	all := []columnHead{newHead(q, "variant", "run")}
	for i, name := range names {
		h := newHead(q, name, headOf(name))
		h.Right = slices.ContainsFunc(rows, func(r runsRow) bool { return r.Cells[i].Right })
		all = append(all, h)
	}
	return all
}

func newHead(q url.Values, name, words string) columnHead {
	h := columnHead{Name: name, Head: words}
	next := name
	switch q.Get("sort") {
	case name:
		h.Sorted, next = "ascending", "-"+name
	case "-" + name:
		h.Sorted, next = "descending", ""
	}
	h.URL = link("/runs", q, "sort", next, "from", "")
	return h
}

func newRunsRow(r chosenRun, names []string) runsRow {
	row := runsRow{Name: r.name(), Run: r.name(), URL: runURL(r.study, r.variant, r.seed), State: r.state()}
	for _, name := range names {
		row.Cells = append(row.Cells, r.cellOf(r.Run, name))
	}
	return row
}

// groupHeads holds the heads of the table of variants.
var groupHeads = []columnHead{
	{Head: "variant"}, {Head: "runs", Right: true}, {Head: "done", Right: true}, {Head: "top-1 error %", Right: true},
	{Head: "95 %"}, {Head: "least", Right: true}, {Head: "most", Right: true}, {Head: "changed"},
}

// groupRuns combines the runs of each variant into one row, in the order of the runs.
func groupRuns(found []chosenRun) []runsRow {
	var order []string
	groups := map[string][]chosenRun{}
	for _, r := range found {
		key := r.study + "/" + r.variant
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], r)
	}
	var rows []runsRow
	for _, key := range order {
		g := groups[key]
		var errors []float64
		for _, r := range g {
			if res := r.record.Result; res != nil && res.TestExamples > 0 && r.state() == "done" {
				if v := float64(res.Top1Error); v >= 0 && v <= 1 {
					errors = append(errors, v)
				}
			}
		}
		cells := []runsCell{{strconv.Itoa(len(g)), true}, {strconv.Itoa(len(errors)), true}}
		mean, interval, least, most := "", "", "", ""
		if e := stats.Summarise(errors); e.K > 0 {
			mean, least, most = reports.Percent(e.Mean), reports.Percent(slices.Min(errors)), reports.Percent(slices.Max(errors))
			if i := e.Interval; i != nil {
				mean += " ± " + reports.Percent(e.SD)
				interval = fmt.Sprintf("[%s, %s]", reports.Percent(max(0, i.Low)), reports.Percent(min(1, i.High)))
			}
		}
		cells = append(cells, runsCell{mean, true}, runsCell{interval, false}, runsCell{least, true}, runsCell{most, true},
			runsCell{strings.Join(g[0].record.Changes, "; "), false})
		rows = append(rows, runsRow{Name: key, URL: link(studyURL(g[0].study), nil, "show", g[0].variant), Cells: cells})
	}
	return rows
}

// maxCSV bounds how many runs a CSV file has.
const maxCSV = 100_000

// runsCSV sends the table of all runs as a CSV file.
func (s *Server) runsCSV(a *answer) error {
	sel := s.choose(a)
	if sel.wrong != nil {
		return sel.wrong
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(slices.Concat([]string{"study", "variant", "seed"}, sel.columns)) // into memory: cannot fail
	for _, r := range sel.runs[:min(len(sel.runs), maxCSV)] {
		row := []string{safe(r.study), safe(r.variant), strconv.FormatUint(r.seed, 10)}
		for _, name := range sel.columns {
			row = append(row, safe(query.Cell(r.Get(name))))
		}
		w.Write(row)
	}
	w.Flush()
	return a.attach("runs.csv", ".csv", b.Bytes())
}

// safe prevents a spreadsheet from reading a word as a formula.
func safe(s string) string {
	s = reports.Sanitize(s)
	if _, err := strconv.ParseFloat(s, 64); err != nil && s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}
