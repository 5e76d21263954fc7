package serve

import (
	"fmt"
	"slices"
	"strings"

	"ablate/reports"
	"ablate/reports/ledger"
)

// A claimRow is one published comparison, with the results of our studies.
type claimRow struct {
	ledger.Claim
	Cite    string
	Figures []string
	Ours    []ourRow
}

// An ourRow is a row of a study that is compared with a published one.
type ourRow struct{ Study, Variant, Delta, Agreement string }

// ledger shows what was published about each part, and the results of the folder's studies.
func (s *Server) ledger(a *answer) error {
	search := a.query.Get("q")
	ours := s.ours(a.now)
	var rows []claimRow
	for _, c := range ledger.Search(strings.Fields(search)...) {
		row := claimRow{Claim: c, Cite: c.Cite(), Ours: ours[c.Pos]}
		for _, f := range c.Figures {
			row.Figures = append(row.Figures, figureWords(f))
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(x, y claimRow) int { return min(1, len(y.Ours)) - min(1, len(x.Ours)) })
	return a.whole(head{Title: "Ledger", Here: "ledger", Events: "all"}, "ledger", struct {
		Search string
		Rows   []claimRow
		All    int
	}{search, rows, len(ledger.Claims())})
}

// ours returns the rows of all studies that correspond to a published comparison, by the comparison's position.
func (s *Server) ours(now *shelf) map[string][]ourRow {
	found := make([][]struct {
		pos string
		row ourRow
	}, len(now.studies))
	each(len(now.studies), func(i int) {
		of := now.studies[i]
		c, err := s.compareStudy(of, ask{})
		if err != nil {
			return // the study's page shows the error
		}
		for _, r := range c.Rows {
			if r.Published == nil {
				continue
			}
			delta := reports.None
			if r.Delta != nil {
				delta = c.Metric.Signed(r.Delta.Mean)
				if in := r.Delta.Interval; in != nil {
					delta += fmt.Sprintf(" [%s, %s]", c.Metric.Signed(in.Low), c.Metric.Signed(in.High))
				}
			}
			found[i] = append(found[i], struct {
				pos string
				row ourRow
			}{r.Published.Claim.Pos, ourRow{Study: of.name, Variant: r.Variant, Delta: delta, Agreement: r.Agreement()}})
		}
	})
	ours := map[string][]ourRow{}
	for _, rows := range found {
		for _, f := range rows {
			ours[f.pos] = append(ours[f.pos], f.row)
		}
	}
	return ours
}

// figureWords writes a published figure: "top1_error 39.0 % → 37.5 %, Δ −1.5".
func figureWords(f ledger.Figure) string {
	unit := ledger.Metrics[f.Metric]
	text := strings.ReplaceAll(f.Metric, "_", " ")
	switch {
	case f.Baseline != nil && f.Value != nil:
		text += fmt.Sprintf(" %g → %g %s", *f.Baseline, *f.Value, unit)
	case f.Value != nil:
		text += fmt.Sprintf(" %g %s", *f.Value, unit)
	}
	if f.Delta != nil {
		text += fmt.Sprintf(", Δ %s", reports.Metric{Share: true}.Signed(*f.Delta/100))
		if f.Bound != "" {
			text += " (" + f.Bound + ")"
		}
	}
	return text
}
