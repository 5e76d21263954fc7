package reports

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"ablate/reports/ledger"
	"ablate/reports/stats"
)

// publish adds to each row that is compared with the baseline what has been published of its difference, and whether
// the two agree.
func (c *Comparison) publish(groups [][]outcome) {
	if c.Against != "" || c.Shape == Cumulative || c.Baseline == "" || len(groups[0]) == 0 ||
		len(c.Rows[0].Ablations) > 0 {
		return
	}
	base := c.recipes.lenient(groups[0][0].Recipe)
	for i := range c.Rows[1:] {
		row := &c.Rows[1+i]
		if len(groups[1+i]) == 0 {
			continue
		}
		r := ledger.Result{
			Study: c.Study, Variant: row.Variant, Ablations: row.Ablations, Edited: groups[1+i][0].Edited,
			Net: base.Net.Name, Data: base.Data.Name, Part: base.Data.Train > 0,
			HeldOut: strings.HasPrefix(c.Metric.Name, "validation_"),
			Views:   viewsAt(base.Data, groups[0][0]), Epochs: c.Epochs[1], Metric: publishedName(c.Metric.Name),
		}
		if d := row.Delta; d != nil {
			r.Delta, r.Pairs, r.SD = 100*d.Mean, d.K, 100*d.SD
			r.RunSD = 100 * math.Hypot(row.Error.SD, c.Rows[0].Error.SD)
			r.TooFew = d.Verdict.Word == stats.TooFew
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

// publishedName returns the ledger's name for one of our metrics, for any split.
func publishedName(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, "test_"), "validation_")
}

// publishedNote states where a published difference comes from, what was compared, whether ours agrees, and what
// confounds theirs.
func publishedNote(r Row) string {
	c := r.Published.Claim
	parts := []string{fmt.Sprintf("published Δ %s: %s: %s against %s", r.PublishedDelta(), c.Cite(), c.Name, c.Base)}
	if len(c.Nets) > 0 {
		parts = append(parts, "net "+strings.Join(c.Nets, " or "))
	}
	where := c.Data + ", " + c.Split + " images"
	if c.Views > 0 {
		where += ", " + Count(c.Views, "view")
	}
	parts = append(parts, where)
	if c.Seeds > 0 {
		parts = append(parts, Count(c.Seeds, "run")+" each")
	}
	text := strings.Join(append(parts, r.Agreement()), "; ")
	if c.Confounded != "" {
		text += "; confounded: " + c.Confounded
	}
	if c.Memory {
		text += "; quoted from memory"
	}
	return text
}

// Publishes reports whether any row has a published difference beside it.
func (c *Comparison) Publishes() bool {
	return slices.ContainsFunc(c.Rows, func(r Row) bool { return r.Published != nil })
}

// PublishedDelta writes the published difference in percentage points: "+1.37",
// "> +2.00"; None where nothing was published.
func (r Row) PublishedDelta() string {
	j := r.Published
	if j == nil {
		return None
	}
	text := Metric{Share: true}.Signed(j.Delta / 100)
	switch j.Figure.Bound {
	case "over":
		text = "> " + text
	case "about":
		text = "≈ " + text
	}
	return text
}

// Agreement states whether the row agrees with what was published. If the two cannot be compared, it states why.
func (r Row) Agreement() string {
	j := r.Published
	switch {
	case j == nil:
		return None
	case j.Why != "":
		return fmt.Sprintf("%s (%s)", j.Agreement, j.Why)
	}
	return string(j.Agreement)
}
