package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strconv"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/reports"
)

// Bounds on how many predictions are read for the table of classes.
const (
	classVariants = 12
	classRuns     = 8 // for each variant
	maxClasses    = 1000
)

// A classesPage shows the error of each class by variant.
type classesPage struct {
	Study    string
	Query    url.Values
	Heads    []string
	Rows     []classRow
	Notes    []string
	Problems []string
}

// A classRow is one class: the errors of the variants, and the differences of the others to the first.
type classRow struct {
	Class  string
	Images int
	Cells  []classCell
}

type classCell struct{ Error, Delta string }

// A classCount counts a class's images and how many of them a variant's nets got wrong.
type classCount struct{ images, wrong int }

// classes shows the error on each class.
func (s *Server) classes(a *answer) error {
	of, err := a.theStudy()
	if err != nil {
		return err
	}
	p := &classesPage{Study: of.name, Query: a.query}
	c, err := s.compareStudy(of, ask{})
	if err != nil && !errors.Is(err, reports.ErrNoRuns) {
		return err
	}
	if c != nil {
		shown, limited := firstVariants(c, shownVariants(a.query, c), classVariants)
		if limited {
			p.Notes = append(p.Notes, fmt.Sprintf("The first %d variants are shown.", classVariants))
		}
		s.countClasses(of, c, shown, p)
	}
	return a.whole(head{Title: of.name + " by class", Here: "studies", Events: "study:" + of.name}, "classes", p)
}

// countClasses reads the predictions of each variant's runs.
func (s *Server) countClasses(of *study, c *reports.Comparison, shown map[string]bool, p *classesPage) {
	var counts [][]classCount
	var names []string
	most := 0
	for _, row := range c.Rows {
		if !shown[row.Variant] {
			continue
		}
		var sums []classCount
		runs := 0
		for _, r := range of.runs {
			if r.variant != row.Variant || r.record.Status != experiments.Done || runs == classRuns {
				continue
			}
			predictions, err := s.predictions(of, r.record)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				continue
			case err != nil:
				p.Problems = append(p.Problems, err.Error())
				continue
			}
			runs++
			sums = addClasses(sums, predictions)
			if names == nil {
				if of, err := recipe.Decode(r.record.Recipe); err == nil {
					names = of.Data.Classes
				}
			}
		}
		if len(sums) == 0 {
			continue
		}
		if runs == classRuns {
			p.Notes = append(p.Notes, fmt.Sprintf("%s: its first %d runs.", row.Variant, classRuns))
		}
		counts, p.Heads, most = append(counts, sums), append(p.Heads, row.Variant), max(most, len(sums))
	}
	for class := range most {
		row := classRow{Class: strconv.Itoa(class)}
		if class < len(names) {
			row.Class += " " + names[class]
		}
		for i, sums := range counts {
			cell := classCell{Error: reports.None}
			if class < len(sums) && sums[class].images > 0 {
				error := float64(sums[class].wrong) / float64(sums[class].images)
				cell.Error = reports.Percent(error)
				if base := counts[0]; i > 0 && class < len(base) && base[class].images > 0 {
					cell.Delta = (reports.Metric{Share: true}).Signed(error -
						float64(base[class].wrong)/float64(base[class].images))
				}
				row.Images = max(row.Images, sums[class].images)
			}
			row.Cells = append(row.Cells, cell)
		}
		if row.Images > 0 {
			p.Rows = append(p.Rows, row)
		}
	}
	slices.Sort(p.Notes)
}

// addClasses counts predictions by the label's class.
func addClasses(sums []classCount, predictions []experiments.Prediction) []classCount {
	for _, x := range predictions {
		if x.Label < 0 || x.Label >= maxClasses {
			continue
		}
		for len(sums) <= x.Label {
			sums = append(sums, classCount{})
		}
		sums[x.Label].images++
		if x.Rank != 1 {
			sums[x.Label].wrong++
		}
	}
	return sums
}
