package page

import (
	"bytes"
	"strings"
	"testing"

	"ablate/experiments"
	"ablate/reports"
)

// answered makes a run's predictions for n images of each class, of which wrong are taken for the next class.
func answered(classes, n, wrong int) []experiments.Prediction {
	var all []experiments.Prediction
	for class := range classes {
		for i := range n {
			p := experiments.Prediction{Index: len(all), Label: class, Predicted: class, Rank: 1}
			if i < wrong {
				p.Predicted, p.Rank = (class+1)%classes, 2
			}
			all = append(all, p)
		}
	}
	return all
}

// A page tells what the nets make of each class: errors with their differences, what is taken for what, and the images
// whose answer changed. The text of a terminal had it alone.
func TestClasses(t *testing.T) {
	records := append(study("baseline", lrn, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5),
		study("no-lrn", "", 0.8, 0.8, 0.8, 0.8, 0.8, 0.8)...)
	table := func(classes int, names ...string) string {
		o := reports.Options{Predictions: func(r experiments.Record) ([]experiments.Prediction, error) {
			return answered(classes, 10, map[string]int{"baseline": 5, "no-lrn": 8}[r.Variant]), nil
		}}
		c, err := reports.Table("s", records, o)
		if err != nil {
			t.Fatal(err)
		}
		s := source(records)
		if s.Classes, err = reports.ByClass("s", records, o, names); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := Write(&b, c, s); err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(b.String(), "&#43;", "+")
	}
	page := table(2, "cat", "<script>")
	for _, want := range []string{
		`<a href="#classes">Classes</a>`, `Classes of baseline, over 6 seeds`,
		`<th scope="row">cat</th><td class="right">10</td><td class="right">50.00 [50.00, 50.00]</td></tr>`,
		`<td class="right">80.00 [80.00, 80.00]</td><td class="right">+30.00 [+30.00, +30.00]</td>` +
			`<td class="right">0.062</td>`,
		`<th scope="row">&lt;script&gt;</th>`, `<td class="right heat-1">2 (-3)</td><td class="right heat-4">8 (+3)</td>`,
		`<th scope="row">5</th><td class="brief">cat</td><td class="right">6</td>` +
			`<td class="right">0</td><td class="right">6</td>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s", want)
		}
	}
	page = table(13)
	if strings.Contains(page, `class="confusion"`) ||
		!strings.Contains(page, "Confused most otherwise than by the baseline") {
		t.Error("a matrix of 13 classes is shown whole")
	}
	want := `<th scope="row">0</th><td class="brief">1</td><td class="right">8.0</td><td class="right">+3.0</td>`
	if !strings.Contains(page, want) {
		t.Errorf("no %s", want)
	}
}
