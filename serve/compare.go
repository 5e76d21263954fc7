package serve

import (
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/reports/page"
)

// maxCompared bounds how many runs are compared.
const maxCompared = 40

// A comparePage shows runs side by side.
type comparePage struct {
	Query   url.Values
	Path    string
	Runs    []comparedRun
	Changes []string // for two runs: how the second's recipe differs from the first's
	Same    bool     // nothing differs
	Keys    []comparedKey
	Missing []string
	Choices
	Title  string
	Curves template.HTML
}

type comparedRun struct{ Name, URL, State, Error string }

// A comparedKey is a key whose value differs between runs.
type comparedKey struct {
	Key    string
	Values []string
}

// compare shows the differences between runs, and their curves in one picture.
func (s *Server) compare(a *answer) error {
	p := &comparePage{Query: a.query, Path: "/compare"}
	var runs []*run
	for _, name := range many(a.query, "run") {
		if len(runs) == maxCompared {
			return fmt.Errorf("%w: at most %d runs can be compared", errQuery, maxCompared)
		}
		r := a.now.named(name)
		if r == nil {
			p.Missing = append(p.Missing, name)
			continue
		}
		runs = append(runs, r)
		p.Runs = append(p.Runs, comparedRun{Name: name, URL: runURL(r.study, r.variant, r.seed), State: r.state(),
			Error: r.top1()})
	}
	if len(runs) > 1 {
		p.differences(runs)
	}
	if err := s.compareCurves(a, p, runs); err != nil {
		return err
	}
	return a.whole(head{Title: "Compare runs", Here: "runs", Events: "all"}, "compare", p)
}

// named returns the run with the name STUDY/VARIANT/SEED.
func (l *shelf) named(name string) *run {
	parts := strings.Split(name, "/")
	if len(parts) != 3 || l.byName[parts[0]] == nil {
		return nil
	}
	seed, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil {
		return nil
	}
	return l.byName[parts[0]].find(parts[1], seed)
}

// differences lists the keys that differ. It describes the recipes of two runs in words.
func (p *comparePage) differences(runs []*run) {
	inWords := false
	if len(runs) == 2 {
		from, errFrom := recipe.Decode(runs[0].record.Recipe)
		to, errTo := recipe.Decode(runs[1].record.Recipe)
		if inWords = errFrom == nil && errTo == nil && from.Net != nil && to.Net != nil; inWords {
			p.Changes = recipe.Changes(from, to)
		}
	}
	keys := map[string]bool{}
	var values []map[string]string
	for _, r := range runs {
		all := r.comparable(!inWords)
		values = append(values, all)
		for k := range all {
			keys[k] = true
		}
	}
	for _, key := range sorted(keys) {
		row := comparedKey{Key: key}
		for _, v := range values {
			row.Values = append(row.Values, v[key])
		}
		if slices.ContainsFunc(row.Values, func(v string) bool { return v != row.Values[0] }) {
			p.Keys = append(p.Keys, row)
		}
	}
	p.Same = len(p.Keys)+len(p.Changes) == 0
}

// compareCurves draws one metric of all runs.
func (s *Server) compareCurves(a *answer, p *comparePage, runs []*run) error {
	names := map[string]bool{}
	var curves []page.Curve
	for i, r := range runs {
		series, err := s.library.series(r)
		if err != nil {
			continue // a run that has logged nothing has no curve
		}
		for _, m := range series {
			names[m.Name] = true
		}
		curves = append(curves, page.Curve{
			Name: r.name(), Row: i, Logs: [][]experiments.Metric{series},
		})
	}
	usual := "test_top1_error"
	if all := sorted(names); len(all) > 0 && !names[usual] {
		usual = all[0]
	}
	metric := chosenCurve(a.query, usual)
	axes, err := s.axes(a)
	if err != nil {
		return err
	}
	axes.Band = page.BandNone
	if len(runs) > 0 {
		axes = a.now.byName[runs[0].study].axes(axes, metric, curves)
	}
	p.Choices = curveChoices(a.query, sorted(names), metric)
	p.Title, p.Curves = axes.Title, page.DrawCurves(curves, axes)
	return nil
}
