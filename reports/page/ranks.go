package page

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"

	"ablate/reports"
)

// ranks draws a critical-difference diagram (Demšar 2006, figure 1): variants on an axis of mean ranks, the critical
// difference above it, and a bar for each set of variants that lie no further apart.
func ranks(f frame, a *reports.Across) template.HTML {
	rows := slices.SortedStableFunc(slices.Values(a.Rows),
		func(r, s reports.AcrossRow) int { return cmp.Compare(r.Rank, s.Rank) })
	cliques := joined(rows, a.Critical)
	var names []string
	for _, r := range rows {
		names = append(names, r.Variant+" 0.00")
	}
	const top, line = 56, 24
	left, right := 14.0, float64(f.width-14)
	if !f.below {
		left += widest(names, 290) / 2
		right -= widest(names, 290) / 2
	}
	bars := top + 12*len(cliques) + 14
	s := newSVG(f.width, bars+line*len(rows)+10, "Mean ranks over data sets",
		fmt.Sprintf("Variants that a bar joins lie no further apart than the critical difference, %.2f.", a.Critical))
	x := scale{from: 1, to: float64(len(rows)), low: left, high: right}
	s.line("zero", x.low, top, x.high, top)
	for t := 1; t <= len(rows); t++ {
		s.line("grid", x.at(float64(t)), top-5, x.at(float64(t)), top)
		s.text("tick", "middle", x.at(float64(t)), top-9, fmt.Sprint(t))
	}
	end := min(x.high, x.at(1+a.Critical))
	s.line("interval", x.low, 12, end, 12)
	s.text("axis", "start", x.low, 28, fmt.Sprintf("critical difference %.2f", a.Critical))
	for i, c := range cliques {
		y := float64(top + 12*(i+1))
		s.line("joined", x.at(rows[c[0]].Rank)-3, y, x.at(rows[c[1]].Rank)+3, y)
	}
	for i, r := range rows {
		at, y := x.at(r.Rank), float64(bars+line*i+10)
		s.line("leader", at, top, at, y-4)
		s.point("dot s0", at, top, 3.5, fmt.Sprintf("%s: mean rank %.2f", r.Variant, r.Rank))
		words := fmt.Sprintf("%s %.2f", r.Variant, r.Rank)
		anchor, room := "start", float64(f.width)-at-8
		if room < widest([]string{words}, 290) {
			anchor, room, at = "end", at-8, at-6
		} else {
			at += 6
		}
		s.titled("name", anchor, at, y, room, words)
	}
	return s.done()
}

// joined returns the largest runs of at least two rows, by rank, in which no two rows lie further apart than the
// critical difference.
func joined(rows []reports.AcrossRow, critical float64) [][2]int {
	var all [][2]int
	for i := range rows {
		j := i
		for j+1 < len(rows) && rows[j+1].Rank-rows[i].Rank <= critical {
			j++
		}
		if j > i && (len(all) == 0 || all[len(all)-1][1] < j) {
			all = append(all, [2]int{i, j})
		}
	}
	return all
}
