package serve

import (
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"sync"

	"ablate/reports"
	"ablate/reports/page"
	"ablate/reports/render"
)

// A view is the part of a study's page that depends only on its table. It is drawn once for an address, and again when
// the table is made again. A run that logs a line changes only the curves.
type view struct {
	table      *table
	once       sync.Once
	comparison *reports.Comparison // with the columns that the address chooses
	shown      map[string]bool     // variants; nil stands for all
	forest     bool
	rows       []byte // parts of the page
	pictures   []byte
	limited    []string
	problems   []string
	err        error
}

// maxViews bounds how many views are kept.
const maxViews = 64

// viewOf returns the view that the address asks for.
func (s *Server) viewOf(a *answer, of *study) (*view, error) {
	t := s.tableOf(of, askOf(a.query))
	if t.err != nil {
		return nil, t.err
	}
	v := s.tables.view(of.name+"?"+a.query.Encode(), t)
	v.once.Do(func() { v.err = s.drawView(v, of, a.query) })
	return v, v.err
}

// view returns the view of an address, which may not have been drawn yet.
func (t *tables) view(address string, of *table) *view {
	t.mu.Lock()
	defer t.mu.Unlock()
	if v := t.views[address]; v != nil && v.table == of {
		return v
	}
	if t.views == nil || len(t.views) >= maxViews {
		t.views = map[string]*view{}
	}
	v := &view{table: of}
	t.views[address] = v
	return v
}

// drawView draws the table, the differences, speed, nets and filters.
func (s *Server) drawView(v *view, of *study, q url.Values) (err error) {
	c := v.table.comparison
	if v.comparison, err = chooseColumns(c, q); err != nil {
		return err
	}
	v.shown = shownVariants(q, c)
	p := viewPage{Study: of.name, Query: q, Path: studyURL(of.name)}
	if p.Table, err = page.TableOf(onlyRows(v.comparison, v.shown)); err != nil {
		return err
	}
	all := page.NewPictures(v.comparison, s.source(of, v.shown))
	p.Forest = all.Forest()
	v.forest = p.Forest != ""
	if v.rows, err = drawn("study-table", p); err != nil {
		return err
	}
	p.Speed = all.Speed()
	few, limited := firstVariants(c, v.shown, shownNets)
	if limited {
		v.limited = append(v.limited, fmt.Sprintf("Nets and filters of the first %d variants are drawn; choose others above.",
			shownNets))
	}
	nets := page.NewPictures(v.comparison, s.source(of, few))
	p.Figures, p.Layers = nets.Nets()
	p.Filters = nets.Filters()
	v.problems = slices.Concat(all.Problems(), nets.Problems())
	v.pictures, err = drawn("study-pictures", p)
	return err
}

// A viewPage holds what the parts of a view show.
type viewPage struct {
	Study   string
	Query   url.Values
	Path    string
	Table   render.Table
	Forest  template.HTML
	Speed   template.HTML
	Figures []page.Figure
	Layers  []page.LayerTable
	Filters []page.FilterSet
}

// chosenTable returns the comparison that the address asks for.
func (s *Server) chosenTable(a *answer, of *study) (*reports.Comparison, error) {
	c, err := s.compareStudy(of, askOf(a.query))
	if err != nil {
		return nil, err
	}
	return chooseColumns(c, a.query)
}

func askOf(q url.Values) ask {
	return ask{metric: q.Get("metric"), at: q.Get("at"), shape: q.Get("shape")}
}

func chooseColumns(c *reports.Comparison, q url.Values) (*reports.Comparison, error) {
	columns := many(q, "col")
	for _, name := range columns {
		if !slices.Contains(render.Columns(), name) {
			return nil, fmt.Errorf("%w: col=%.40q; want one of %s", errQuery, name, strings.Join(render.Columns(), ", "))
		}
	}
	chosen := *c
	chosen.Options.Columns = columns
	return &chosen, nil
}
