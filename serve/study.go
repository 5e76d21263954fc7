package serve

import (
	"cmp"
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments"
	"ablate/reports"
	"ablate/reports/page"
	"ablate/reports/render"
)

// Bounds on what is drawn of a study unless the reader chooses variants.
const (
	shownCurves = 16
	shownNets   = 12
)

// A studyPage holds what the page of a study shows besides its view: the table is sent before the logs are read.
type studyPage struct {
	overview
	Query url.Values
	Path  string
	Error string
	Empty bool
	Notes notes
	Rows  []gridRow

	Compared bool // the page has a table
	Forest   bool // the page has differences

	Choices
	Curves      template.HTML
	CurvesTitle string
	Provenance  []page.Fact
	Limited     []string // what is drawn for only some of the variants
	Problems    []string // what could not be read
}

// Choices holds the controls of a page with the chosen values.
type Choices struct {
	Metrics, Ats, Shapes, Columns, Variants []option
	Curve, X, Band, Smooth                  []option
	Log, Late                               bool
}

// An option is one value of a control.
type option struct {
	Value, Words string
	Chosen       bool
}

// options makes options of values and marks the chosen one.
func options(chosen string, values ...string) []option {
	var all []option
	for _, v := range values {
		all = append(all, option{v, v, v == chosen})
	}
	return all
}

// study shows one study.
func (s *Server) study(a *answer) error {
	of, err := a.theStudy()
	if err != nil {
		return err
	}
	p := &studyPage{overview: of.overview(), Query: a.query, Path: studyURL(of.name)}
	p.Problems = p.overview.Problems
	p.Notes = notes{Notes: of.notes, Action: p.Path + "/notes", Write: s.Write}
	if _, err := s.axes(a); err != nil { // before anything is sent
		return err
	}
	v, err := s.viewOf(a, of)
	switch {
	case errors.Is(err, reports.ErrNoRuns):
		p.Empty = true
	case errors.Is(err, reports.ErrOption), errors.Is(err, errQuery):
		return err
	case err != nil:
		p.Error = err.Error()
	}
	if err := a.begin(head{Title: of.name, Here: "studies", Events: "study:" + of.name}); err != nil {
		return err
	}
	if v == nil || v.err != nil {
		p.Rows = grid(of, nil)
		return cmp.Or(a.show("study-head", p), a.show("study-runs", p), a.end())
	}
	p.Compared, p.Forest = true, v.forest
	p.Rows = grid(of, v.comparison)
	p.Choices = s.choices(a, of, v.comparison, v.shown)
	if err := cmp.Or(a.show("study-head", p), a.write(thin(v.rows, a.has)), a.show("study-runs", p)); err != nil {
		return err
	}
	a.flush()
	if err := s.drawStudy(a, of, v, p); err != nil {
		return err
	}
	return cmp.Or(a.show("study-curves", p), a.write(thin(v.pictures, a.has)), a.show("study-provenance", p), a.end())
}

// shownVariants returns the variants that the address names, and the baseline; nil means all.
func shownVariants(q url.Values, c *reports.Comparison) map[string]bool {
	names := many(q, "show")
	if len(names) == 0 {
		return nil
	}
	shown := map[string]bool{c.Baseline: true}
	for _, n := range names {
		shown[n] = true
	}
	return shown
}

// onlyRows returns a comparison with some of the rows. Its figures, and the family they are adjusted for, do not
// change.
func onlyRows(c *reports.Comparison, shown map[string]bool) *reports.Comparison {
	if shown == nil {
		return c
	}
	part := *c
	part.Rows = slices.DeleteFunc(slices.Clone(c.Rows), func(r reports.Row) bool { return !shown[r.Variant] })
	return &part
}

// source returns the source of a study's pictures.
func (s *Server) source(of *study, shown map[string]bool) page.Source {
	source := page.Source{
		Records: of.whole(), Filters: s.filters, Times: s.times,
		Notes:   func(r experiments.Record) (experiments.Notes, error) { return of.find(r.Variant, r.Seed).notes, nil },
		Metrics: func(r experiments.Record) ([]experiments.Metric, error) { return s.seriesOf(of, r) },
	}
	if shown != nil {
		source.Show = func(variant string) bool { return shown[variant] }
	}
	return source
}

// firstVariants returns the first shown variants, at most a given number.
func firstVariants(c *reports.Comparison, shown map[string]bool, most int) (first map[string]bool, limited bool) {
	first = map[string]bool{}
	for _, r := range c.Rows {
		if shown != nil && !shown[r.Variant] {
			continue
		}
		if len(first) == most {
			return first, true
		}
		first[r.Variant] = true
	}
	return first, false
}

// drawStudy draws what runs log, and shows the provenance.
func (s *Server) drawStudy(a *answer, of *study, v *view, p *studyPage) error {
	few, limited := firstVariants(v.comparison, v.shown, shownCurves)
	if limited {
		p.Limited = append(p.Limited, fmt.Sprintf("Curves of the first %d variants are drawn; choose others above.",
			shownCurves))
	}
	p.Limited = append(p.Limited, v.limited...)
	axes, err := s.axes(a)
	if err != nil {
		return err
	}
	s.readAhead(of, few)
	pictures := page.NewPictures(v.comparison, s.source(of, few))
	curves := pictures.Curves()
	axes = of.axes(axes, chosenCurve(a.query, v.comparison.Metric.Name), curves)
	p.Curves, p.CurvesTitle = page.DrawCurves(curves, axes), axes.Title
	p.Provenance = pictures.Provenance()
	p.Problems = slices.Concat(p.Problems, v.problems, pictures.Problems())
	return nil
}

// readAhead reads logs that are not in memory yet, several at a time.
func (s *Server) readAhead(of *study, variants map[string]bool) {
	each(len(of.runs), func(i int) {
		if r := of.runs[i]; r.broken == "" && variants[r.variant] {
			s.library.series(r) // an error is shown where the log is drawn
		}
	})
}

// chosenCurve returns the metric whose curves are drawn.
func chosenCurve(q url.Values, usual string) string {
	if v := q.Get("curve"); v != "" {
		return v
	}
	return usual
}

// smoothings lists the weights of earlier values that a reader can choose.
var smoothings = []string{"0", "0.5", "0.8", "0.9", "0.95", "0.99"}

// axes returns how the address asks for curves to be drawn.
func (s *Server) axes(a *answer) (page.Axes, error) {
	var axes page.Axes
	x, err := a.choice("x", string(page.ByEpoch), string(page.ByStep), string(page.ByTime))
	if err != nil {
		return axes, err
	}
	band, err := a.choice("band", string(page.BandRange), string(page.BandSD), string(page.BandInterval),
		string(page.BandNone))
	if err != nil {
		return axes, err
	}
	smooth, err := a.choice("smooth", smoothings...)
	if err != nil {
		return axes, err
	}
	axes.X, axes.Band, axes.Log, axes.Late = page.XAxis(x), page.Band(band), a.query.Get("log") != "",
		a.query.Get("late") != ""
	axes.Smooth, _ = strconv.ParseFloat(smooth, 64) // one of the words above
	return axes, nil
}

// ofMetric sets a metric's own title and unit in axes.
func ofMetric(axes page.Axes, m reports.Metric) page.Axes {
	axes.Title, axes.Unit, axes.Factor = upper(m.Title)+" by "+string(axes.X), m.Head, 1
	if m.Share {
		axes.Factor = 100
	}
	return axes
}

// axes returns the axes for a metric of the study, to which it sets the curves.
func (s *study) axes(axes page.Axes, metric string, curves []page.Curve) page.Axes {
	var logs [][]experiments.Metric
	for i := range curves {
		curves[i].Metric = metric
		logs = append(logs, curves[i].Logs...)
	}
	return ofMetric(axes, reports.NamedMetric(metric, s.declared.Metrics, logs...))
}

func upper(s string) string {
	if s == "" {
		return s
	}
	r := []rune(s)
	return strings.ToUpper(string(r[:1])) + string(r[1:])
}

// choices returns the controls of a study's page.
func (s *Server) choices(a *answer, of *study, c *reports.Comparison, shown map[string]bool) Choices {
	names := s.logged(of)
	metrics := slices.Clone(names)
	for _, m := range reports.Metrics() {
		if !slices.Contains(metrics, m) && !strings.HasPrefix(m, "validation") && !strings.HasPrefix(m, "train_top1") {
			metrics = append(metrics, m)
		}
	}
	if !slices.Contains(metrics, c.Metric.Name) {
		metrics = append(metrics, c.Metric.Name)
	}
	at := c.At.String()
	ats := []string{"last", "best", "best-validation"}
	if !slices.Contains(ats, at) {
		ats = append(ats, at)
	}
	ch := curveChoices(a.query, names, chosenCurve(a.query, c.Metric.Name))
	ch.Metrics, ch.Ats, ch.Shapes = options(c.Metric.Name, metrics...), options(at, ats...),
		options(string(c.Shape), reports.Shapes...)
	chosen := c.Options.Columns
	if len(chosen) == 0 {
		chosen = render.UsualColumns(c)
	}
	for _, name := range render.Columns() {
		ch.Columns = append(ch.Columns, option{name, name, slices.Contains(chosen, name)})
	}
	for _, r := range c.Rows {
		ch.Variants = append(ch.Variants, option{r.Variant, r.Variant, shown == nil || shown[r.Variant]})
	}
	return ch
}

// curveChoices returns the controls of learning curves.
func curveChoices(q url.Values, names []string, curve string) Choices {
	if !slices.Contains(names, curve) {
		names = append(slices.Clone(names), curve)
	}
	return Choices{
		Curve: options(curve, names...), X: options(or(q.Get("x"), "epoch"), "epoch", "step", "time"),
		Band:   options(or(q.Get("band"), "range"), "range", "sd", "interval", "none"),
		Smooth: options(or(q.Get("smooth"), "0"), smoothings...), Log: q.Get("log") != "", Late: q.Get("late") != "",
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// logged returns the names of the metrics in a study's logs. It reads the first run of each of some variants.
func (s *Server) logged(of *study) []string {
	const looked = 8
	seen, variants := map[string]bool{}, map[string]bool{}
	for _, r := range of.runs {
		if r.broken != "" || variants[r.variant] || len(variants) >= looked {
			continue
		}
		variants[r.variant] = true
		series, err := s.library.series(r)
		if err != nil {
			continue // shown in place of its curve
		}
		for _, m := range series {
			seen[m.Name] = true
		}
	}
	return sorted(seen)
}

// A gridRow is a variant's runs by seed.
type gridRow struct {
	Variant string
	Cells   []gridCell
}

// A gridCell is one run, or one that waits.
type gridCell struct {
	Seed               uint64
	URL, State, Figure string
	Words              string // the run's state
}

// grid arranges a study's runs by variant and seed, including those that wait.
func grid(of *study, c *reports.Comparison) []gridRow {
	type place struct {
		variant string
		seed    uint64
	}
	runs, figures := map[place]*run{}, map[place]string{}
	for _, r := range of.runs {
		runs[place{r.variant, r.seed}] = r
	}
	o := of.overview()
	variants := o.Names
	if c != nil {
		variants = nil
		for _, row := range c.Rows {
			variants = append(variants, row.Variant)
			for _, r := range row.Runs {
				figures[place{row.Variant, r.Seed}] = c.Metric.Figure(r.Error)
			}
		}
		for _, v := range o.Names { // variants with only broken runs
			if !slices.Contains(variants, v) {
				variants = append(variants, v)
			}
		}
	}
	var rows []gridRow
	for _, v := range variants {
		row := gridRow{Variant: v}
		for _, seed := range o.Seeds {
			cell := gridCell{Seed: seed, Figure: figures[place{v, seed}]}
			switch r := runs[place{v, seed}]; {
			case r != nil:
				cell.URL, cell.State, cell.Words = runURL(of.name, v, seed), r.state(), r.standing()
				if cell.State == string(experiments.Running) {
					done, all := r.epochs()
					cell.Figure = fmt.Sprintf("%d/%d", done, all)
				}
			case slices.Contains(of.declared.Variants, v) && slices.Contains(of.declared.Seeds, seed):
				cell.State = waiting
			}
			row.Cells = append(row.Cells, cell)
		}
		rows = append(rows, row)
	}
	return rows
}
