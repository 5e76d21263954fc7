package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"ablate/experiments"
	"ablate/reports"
)

// perClass prints the errors of a study's nets on each class of the test images.
func (r *reporter) perClass() error {
	if r.format != "text" && r.format != "json" {
		return fmt.Errorf("--per-class: want --format text or json; ablate export predictions has every answer as CSV")
	}
	o, err := r.options()
	if err != nil {
		return err
	}
	records, err := load(r.store, r.study, r.warnings)
	if err != nil {
		return err
	}
	p, err := reports.ByClass(r.study, records, o, classNames(r.store, records))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if r.format == "json" {
		err = printJSON(&b, p)
	} else {
		err = printPerClass(&b, p)
	}
	if err != nil {
		return err
	}
	return r.put(b.Bytes())
}

// classNames returns the names of the classes, from the weights file of the first run that has
// them.
func classNames(store *experiments.Store, records []experiments.Record) []string {
	for _, r := range records {
		if r.Status != experiments.Done {
			continue
		}
		dir, err := store.Dir(r)
		if err != nil {
			return nil
		}
		weights, err := experiments.ReadWeights(dir)
		var names []string
		if err != nil || json.Unmarshal([]byte(weights.About["classes"]), &names) != nil {
			return nil // the table then shows numbers
		}
		return names
	}
	return nil
}

// Limits on what a terminal shows of a variant; --format json has everything.
const (
	mostCells  = 10
	mostImages = 10
	widest     = 12 // most classes of a matrix that is printed whole
)

func printPerClass(w io.Writer, p *reports.PerClass) error {
	for i, v := range p.Variants {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s · error by class, in %%, over %d seeds\n", plain(v.Variant, longestCell), len(v.Seeds))
		rows := [][]string{{"class", "images", "error [95 %]", "Δ [95 %]", "p (Holm)", ""}}
		for _, c := range v.Classes {
			row := []string{p.Name(c.Class), fmt.Sprint(c.Images), c.Error.Percent(false), "–", "–", ""}
			if d := c.Delta; d != nil {
				row[3], row[4], row[5] = d.Percent(true), fmt.Sprintf("%.3f", d.Adjusted), d.Verdict()
			}
			rows = append(rows, row)
		}
		if err := printTable(w, rows, "lrrrrl"); err != nil {
			return err
		}
		if err := printConfusion(w, p, v); err != nil {
			return err
		}
		if err := printChanged(w, p, v); err != nil {
			return err
		}
	}
	fmt.Fprintln(w, "\nintervals: Student's, over seeds; p: exact sign-flip test, Holm over the classes of a variant")
	for _, problem := range p.Problems {
		fmt.Fprintln(w, "left out:", plain(problem, longestMessage))
	}
	return nil
}

// printConfusion prints a small matrix whole. Of a large one it prints the pairs that are confused
// most, and those that differ most.
func printConfusion(w io.Writer, p *reports.PerClass, v reports.VariantClasses) error {
	if len(v.Classes) <= widest {
		fmt.Fprintln(w, "\nconfusion: images of a class (row) that were taken for another (column), per run; "+
			"in brackets the difference to the baseline")
		head := []string{""}
		for _, c := range v.Classes {
			head = append(head, p.Name(c.Class))
		}
		rows := [][]string{head}
		for _, label := range v.Classes {
			row := []string{p.Name(label.Class)}
			for _, predicted := range v.Classes {
				row = append(row, v.CellText(v.Cell(label.Class, predicted.Class)))
			}
			rows = append(rows, row)
		}
		return printTable(w, rows, "l"+strings.Repeat("r", len(v.Classes)))
	}
	title := "confused most, images a run"
	if len(v.Paired) > 0 {
		title = "confused most otherwise than by the baseline, images a run"
	}
	fmt.Fprintf(w, "\n%s\n", title)
	rows := [][]string{{"class", "taken for", "images", "difference"}}
	for _, c := range v.MostConfused(mostCells) {
		rows = append(rows, []string{p.Name(c.Label), p.Name(c.Predicted), fmt.Sprintf("%.1f", c.Images),
			fmt.Sprintf("%+.1f", c.Difference)})
	}
	return printTable(w, rows, "llrr")
}

func printChanged(w io.Writer, p *reports.PerClass, v reports.VariantClasses) error {
	if len(v.Changed) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\ntest images whose answer changed in most of %d seeds\n", len(v.Paired))
	rows := [][]string{{"image", "class", "changed", "now right", "now wrong"}}
	for _, c := range v.Changed[:min(len(v.Changed), mostImages)] {
		rows = append(rows, []string{fmt.Sprint(c.Index), p.Name(c.Label), fmt.Sprint(c.Seeds), fmt.Sprint(c.Gained),
			fmt.Sprint(c.Lost)})
	}
	return printTable(w, rows, "llrrr")
}
