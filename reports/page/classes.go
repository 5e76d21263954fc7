package page

import (
	"fmt"

	"ablate/reports"
)

// Bounds on what a page shows of a variant's classes. ablate report --per-class --format json prints everything.
const (
	widestMatrix = 12 // classes
	mostConfused = 10
	mostChanged  = 10
)

// ClassTables holds what a page shows about a variant's classes.
type ClassTables struct {
	Variant  string
	Seeds    int
	Paired   int // seeds that the baseline also has
	Rows     []ClassRow
	Head     []string // head of the confusion matrix: the classes; empty where there are too many
	Matrix   []ConfusionRow
	Confused []ConfusedRow
	Changed  []ChangedRow
}

// A ClassRow is a class's error and its difference to the baseline.
type ClassRow struct {
	Class, Error, Delta, P, Verdict string
	Images                          int
}

// A ConfusionRow shows what the images of a class are taken for.
type ConfusionRow struct {
	Class string
	Cells []ConfusionCell
}

// A ConfusionCell is darker the more of a class's images it holds; Heat is 0 to 4.
type ConfusionCell struct {
	Text string
	Heat int
}

// A ConfusedRow is a pair of classes that is confused often, or more or less often than by the baseline.
type ConfusedRow struct{ Class, TakenFor, Images, Difference string }

// A ChangedRow is a test image to which the nets of several seeds give another answer than the baseline's.
type ChangedRow struct {
	Class                        string
	Index, Changed, Right, Wrong int
}

// classes returns the tables of all variants that are shown, the baseline first.
func (b *Pictures) classes() []ClassTables {
	if b.s.Classes == nil {
		return nil
	}
	b.problems = append(b.problems, b.s.Classes.Problems...)
	var all []ClassTables
	for _, v := range b.s.Classes.Variants {
		if b.shows(v.Variant) {
			all = append(all, classTables(b.s.Classes, v))
		}
	}
	return all
}

func classTables(p *reports.PerClass, v reports.VariantClasses) ClassTables {
	t := ClassTables{Variant: v.Variant, Seeds: len(v.Seeds), Paired: len(v.Paired)}
	for _, c := range v.Classes {
		row := ClassRow{Class: p.Name(c.Class), Images: c.Images, Error: c.Error.Percent(false), Delta: reports.None,
			P: reports.None}
		if d := c.Delta; d != nil {
			row.Delta, row.P, row.Verdict = d.Percent(true), reports.PValue(d.Adjusted), d.Verdict()
		}
		t.Rows = append(t.Rows, row)
	}
	if len(v.Classes) > widestMatrix {
		for _, c := range v.MostConfused(mostConfused) {
			row := ConfusedRow{Class: p.Name(c.Label), TakenFor: p.Name(c.Predicted), Images: fmt.Sprintf("%.1f", c.Images),
				Difference: reports.None}
			if len(v.Paired) > 0 {
				row.Difference = fmt.Sprintf("%+.1f", c.Difference)
			}
			t.Confused = append(t.Confused, row)
		}
	} else {
		t.Head, t.Matrix = matrix(p, v)
	}
	for _, c := range v.Changed[:min(len(v.Changed), mostChanged)] {
		t.Changed = append(t.Changed, ChangedRow{Index: c.Index, Class: p.Name(c.Label), Changed: c.Seeds, Right: c.Gained,
			Wrong: c.Lost})
	}
	return t
}

// matrix builds a confusion matrix with the differences to the baseline in brackets.
func matrix(p *reports.PerClass, v reports.VariantClasses) (head []string, rows []ConfusionRow) {
	const darkest = 4
	for _, label := range v.Classes {
		head = append(head, p.Name(label.Class))
		row := ConfusionRow{Class: p.Name(label.Class)}
		for _, predicted := range v.Classes {
			c := v.Cell(label.Class, predicted.Class)
			share := c.Images / float64(label.Images)
			row.Cells = append(row.Cells, ConfusionCell{Text: v.CellText(c), Heat: min(darkest, int(share*(darkest+1)))})
		}
		rows = append(rows, row)
	}
	return head, rows
}
