package serve

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ablate/reports"
	"ablate/reports/stats"
)

// shownRuns is how many runs a page of the table has.
const shownRuns = 200

// A runsPage is what the table of all runs shows.
type runsPage struct {
	Query                url.Values
	Search, Sort         string
	Group                bool
	Filters              []string
	Heads                []columnHead
	Rows                 []runsRow
	All, Found, From, To int
	Earlier, Later       string // addresses of the pages before and after
	Columns              []option
	Keys                 []string
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
	Run   string // STUDY/VARIANT/SEED; empty of a group
	Name  string
	URL   string
	State string
	Cells []runsCell
}

type runsCell struct {
	Text  string
	Right bool
}

// chosenRuns are the runs that an address asks for, in its order.
func chosenRuns(a *answer) (found []*run, all int, err error) {
	var conditions []condition
	for _, text := range many(a.query, "f") {
		c, err := parseCondition(text)
		if err != nil {
			return nil, 0, err
		}
		conditions = append(conditions, c)
	}
	words := strings.Fields(strings.ToLower(a.query.Get("q")))
	for _, s := range a.now.studies {
		for _, r := range s.runs {
			all++
			if r.mentions(words) && !slices.ContainsFunc(conditions, func(c condition) bool { return !c.holds(r) }) {
				found = append(found, r)
			}
		}
	}
	key, falling := strings.CutPrefix(a.query.Get("sort"), "-")
	if key == "" {
		return found, all, nil
	}
	values := make(map[*run]string, len(found))
	for _, r := range found {
		values[r] = r.value(key)
	}
	slices.SortStableFunc(found, func(x, y *run) int {
		order := compareValues(values[x], values[y])
		if falling && values[x] != "" && values[y] != "" {
			order = -order
		}
		return order
	})
	return found, all, nil
}

// runs shows the table of all runs.
func (s *Server) runs(a *answer) error {
	found, all, err := chosenRuns(a)
	if err != nil {
		return err
	}
	p := &runsPage{
		Query: a.query, Search: a.query.Get("q"), Sort: a.query.Get("sort"), Filters: many(a.query, "f"),
		Group: a.query.Get("group") == "variant", All: all, Found: len(found),
		CSV: link("/runs.csv", a.query, "from", ""),
	}
	names := many(a.query, "col")
	if len(names) == 0 {
		names = usualColumns
	}
	p.choices(a.now, names)
	if p.Group {
		groups := groupRuns(found)
		from, to := p.window(a, len(groups))
		p.Heads, p.Rows = groupHeads, groups[from:to]
	} else {
		p.Heads = heads(a.query, names)
		from, to := p.window(a, len(found))
		for _, r := range found[from:to] {
			p.Rows = append(p.Rows, newRunsRow(r, names))
		}
	}
	return a.whole(head{Title: "Runs", Here: "runs", Events: "all"}, "runs", p)
}

// window says which of n rows the address asks for, and where the rest is.
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

// choices are all columns there are: those of every run, and the keys of the recipes.
func (p *runsPage) choices(now *shelf, chosen []string) {
	keys := map[string]bool{}
	seen := map[*recipeKeys]bool{}
	for _, s := range now.studies {
		for _, r := range s.runs {
			if r.keys == nil || seen[r.keys] {
				continue
			}
			seen[r.keys] = true
			for k := range r.keys.values {
				keys[k] = true
			}
		}
	}
	for _, c := range columns[3:] { // the first three name the run
		p.Columns = append(p.Columns, option{c.name, c.head, slices.Contains(chosen, c.name)})
		p.Keys = append(p.Keys, c.name)
	}
	p.Keys = append(p.Keys, "study", "variant", "seed")
	for _, k := range sorted(keys) {
		p.Keys = append(p.Keys, k)
		if !strings.HasPrefix(k, "net.") || strings.Count(k, ".") == 1 || slices.Contains(chosen, k) {
			p.Columns = append(p.Columns, option{k, k, slices.Contains(chosen, k)})
		}
	}
}

// heads are the columns with the addresses that sort by them.
func heads(q url.Values, names []string) []columnHead {
	all := []columnHead{newHead(q, "variant", "run", false)}
	for _, name := range names {
		head, right := name, false
		if i := slices.IndexFunc(columns, func(c column) bool { return c.name == name }); i >= 0 {
			head, right = columns[i].head, columns[i].right
		}
		all = append(all, newHead(q, name, head, right))
	}
	return all
}

func newHead(q url.Values, name, words string, right bool) columnHead {
	h := columnHead{Name: name, Head: words, Right: right}
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

func newRunsRow(r *run, names []string) runsRow {
	row := runsRow{
		Run: fmt.Sprintf("%s/%s/%d", r.study, r.variant, r.seed), Name: fmt.Sprintf("%s/%s/%d", r.study, r.variant, r.seed),
		URL: runURL(r.study, r.variant, r.seed), State: r.state(),
	}
	for _, name := range names {
		cell := runsCell{Text: r.value(name)}
		if i := slices.IndexFunc(columns, func(c column) bool { return c.name == name }); i >= 0 {
			cell.Right = columns[i].right
		}
		row.Cells = append(row.Cells, cell)
	}
	return row
}

// groupHeads are the columns of variants.
var groupHeads = []columnHead{
	{Head: "variant"}, {Head: "runs", Right: true}, {Head: "done", Right: true}, {Head: "top-1 error %", Right: true},
	{Head: "95 %"}, {Head: "least", Right: true}, {Head: "most", Right: true}, {Head: "changed"},
}

// groupRuns puts the runs of a variant into one row, in the order in which they come.
func groupRuns(found []*run) []runsRow {
	var order []string
	groups := map[string][]*run{}
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

// runsCSV is the table of all runs as a file.
func (s *Server) runsCSV(a *answer) error {
	found, _, err := chosenRuns(a)
	if err != nil {
		return err
	}
	names := many(a.query, "col")
	if len(names) == 0 {
		names = usualColumns
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(slices.Concat([]string{"study", "variant", "seed"}, names)) // into memory: cannot fail
	for _, r := range found[:min(len(found), maxCSV)] {
		row := []string{safe(r.study), safe(r.variant), strconv.FormatUint(r.seed, 10)}
		for _, name := range names {
			row = append(row, safe(r.value(name)))
		}
		w.Write(row)
	}
	w.Flush()
	return a.attach("runs.csv", ".csv", b.Bytes())
}

// safe keeps a word from being a formula where a spreadsheet opens it.
func safe(s string) string {
	s = reports.Sanitize(s)
	if _, err := strconv.ParseFloat(s, 64); err != nil && s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}
