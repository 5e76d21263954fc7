package reports

import (
	"fmt"
	"slices"
	"strings"

	"ablate/reports/ledger"
	"ablate/reports/stats"
)

// publish has each row that is compared with the baseline say what has been
// published of its difference, and whether it agrees.
func (c *Comparison) publish(groups [][]outcome) {
	if c.Against != "" || c.Shape == Cumulative || c.Baseline == "" || len(groups[0]) == 0 || len(c.Rows[0].Ablations) > 0 {
		return
	}
	base := readRecipe(groups[0][0].Recipe)
	for i := range c.Rows[1:] {
		row := &c.Rows[1+i]
		if len(groups[1+i]) == 0 {
			continue
		}
		r := ledger.Result{
			Study: c.Study, Variant: row.Variant, Ablations: row.Ablations, Edited: groups[1+i][0].Edited,
			Net: base.net, Data: base.Data.Name, Part: base.Data.Train > 0, HeldOut: base.Data.Validation > 0,
			Views: base.Data.viewsAt(groups[0][0]), Epochs: c.Epochs[1], Metric: strings.TrimPrefix(c.Metric.Name, "test_"),
		}
		if d := row.Delta; d != nil {
			r.Delta, r.Pairs, r.Verdict = 100*d.Mean, d.K, claimed(d.Verdict.Word)
			if in := d.Interval; in != nil {
				low, high := 100*in.Low, 100*in.High
				r.Low, r.High = &low, &high
			}
		}
		if j, ok := ledger.Judge(r); ok {
			row.Published = &j
			row.Notes = append(row.Notes, publishedNote(*row))
		}
	}
}

// claimed is the sign of a verdict that is a claim.
func claimed(w stats.Word) int {
	switch w {
	case stats.Worse:
		return 1
	case stats.Better:
		return -1
	}
	return 0
}

// views is the number of views of each test image.
func (d recipeData) views() int {
	if d.Views == "ten" {
		return 10
	}
	return 1
}

// viewsAt is the number behind a run's figure: only the last epoch's test sees more than the centre.
func (d recipeData) viewsAt(o outcome) int {
	if o.Result == nil || o.epoch < o.Result.Epochs {
		return 1
	}
	return d.views()
}

// publishedNote says where a published difference comes from, what was compared, whether ours agrees, and what confounds theirs.
func publishedNote(r Row) string {
	c := r.Published.Claim
	parts := []string{fmt.Sprintf("published Δ %s: %s: %s against %s", publishedWords(r), c.Cite(), c.Name, c.Base)}
	if len(c.Nets) > 0 {
		parts = append(parts, "net "+strings.Join(c.Nets, " or "))
	}
	where := c.Data + ", " + c.Split + " images"
	if c.Views > 0 {
		where += ", " + count(c.Views, "view")
	}
	parts = append(parts, where)
	if c.Seeds > 0 {
		parts = append(parts, count(c.Seeds, "run")+" each")
	}
	text := strings.Join(append(parts, agreementWords(r)), "; ")
	if c.Confounded != "" {
		text += "; confounded: " + c.Confounded
	}
	if c.Memory {
		text += "; quoted from memory"
	}
	return text
}

// publishes reports whether any row has a published difference beside it.
func (c *Comparison) publishes() bool {
	return slices.ContainsFunc(c.Rows, func(r Row) bool { return r.Published != nil })
}

func publishedWords(r Row) string {
	j := r.Published
	if j == nil {
		return none
	}
	text := Metric{Share: true}.signed(j.Delta / 100)
	switch j.Figure.Bound {
	case "over":
		text = "> " + text
	case "about":
		text = "≈ " + text
	}
	return text
}

func sourceWords(r Row) string {
	if r.Published == nil {
		return none
	}
	return r.Published.Claim.Key
}

func agreementWords(r Row) string {
	j := r.Published
	switch {
	case j == nil:
		return none
	case j.Why != "":
		return fmt.Sprintf("%s (%s)", j.Word, j.Why)
	}
	return string(j.Word)
}

func publishedFull(r Row) []string {
	j := r.Published
	if j == nil {
		return []string{"", ""}
	}
	return []string{exact(j.Delta / 100), j.Figure.Bound}
}

func sourceFull(r Row) []string {
	if r.Published == nil {
		return []string{"", ""}
	}
	return []string{Sanitize(r.Published.Claim.Source), Sanitize(r.Published.Claim.Where)}
}

func agreementFull(r Row) []string {
	if r.Published == nil {
		return []string{"", ""}
	}
	return []string{string(r.Published.Word), r.Published.Why}
}
