package render

import (
	"math"
	"slices"
	"strings"
	"testing"

	"ablate/experiments"
	"ablate/reports"
	"ablate/reports/stats"
)

// answered returns predictions on 400 images. A run's net errs on as many as its record says, beginning with the first
// image, so that the better of two nets gets every image right that the worse one does.
func answered(r experiments.Record) ([]experiments.Prediction, error) {
	const images = 400
	wrong := int(math.Round(float64(r.Result.Top1Error) * images))
	all := make([]experiments.Prediction, images)
	for i := range all {
		all[i] = experiments.Prediction{Index: i, Label: i % 10, Rank: 1}
		if i < wrong {
			all[i].Rank = 2
		}
	}
	return all, nil
}

// on400 makes runs that err on the given numbers of 400 test images.
func on400(variant string, wrong ...float64) []experiments.Record {
	all := runs(variant, "", wrong...)
	for i := range all {
		result := *all[i].Result
		result.Top1Error, result.TestExamples = experiments.Number(wrong[i]/400), 400
		all[i].Result = &result
	}
	return all
}

// Eight seeds that agree on four images of 400 say much of these images and little of others: seeds alone
// claimed a difference of one point that has a standard error of half a point over test images.
func TestImagesThatLeaveMoreOpen(t *testing.T) {
	records := slices.Concat(on400("baseline", 50, 50, 50, 50, 50, 50, 50, 50),
		on400("few", 54, 54, 53, 55, 54, 54, 53, 55), on400("many", 150, 151, 150, 149, 150, 152, 150, 151))
	alone, err := reports.Table("cifar10-norm", records, reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	both, err := reports.Table("cifar10-norm", records, reports.Options{Predictions: answered})
	if err != nil {
		t.Fatal(err)
	}
	if w := alone.Rows[1].Delta.Verdict.Word; w != stats.Worse {
		t.Errorf("over seeds alone: %v", w)
	}
	few, many := both.Rows[1].Delta, both.Rows[2].Delta
	if few.Verdict.Word != stats.NoEvidence || !few.Widened || few.Interval.Excludes(0) {
		t.Errorf("four images of 400: %+v, interval %+v", few.Verdict, *few.Interval)
	}
	if x := few.Images; math.Abs(x.ImageError-0.0048) > 2e-4 || x.SeedError > 1e-3 || x.Seeds != 8 || x.Images != 400 {
		t.Errorf("errors %+v", *x)
	}
	if many.Verdict.Word != stats.Worse || !many.Interval.Excludes(0) {
		t.Errorf("a hundred images of 400: %+v", many.Verdict)
	}
	if !slices.ContainsFunc(both.Notes, func(n string) bool {
		return strings.HasPrefix(n, "standard error of Δ in points over seeds and over test images: few 0.07 and 0.4")
	}) {
		t.Errorf("notes %q", both.Notes)
	}
	other := func(r experiments.Record) ([]experiments.Prediction, error) {
		p, err := answered(r)
		if r.Variant == "few" {
			p[3].Label = 9
		}
		return p, err
	}
	if table, err := reports.Table("cifar10-norm", records, reports.Options{Predictions: other}); err != nil ||
		table.Rows[1].Delta.Images != nil || table.Rows[2].Delta.Images == nil {
		t.Errorf("predictions of other images: %v", err)
	}
}

// A study that grows is looked at where it said it would be; in between nothing is claimed, and without such
// a word the table says that it was looked at before.
func TestLooks(t *testing.T) {
	plan := &reports.Primary{Metric: "test_top1_error", Looks: []int{6, 8, 12}, Spending: "pocock"}
	at := func(k int, o reports.Options) *reports.Comparison {
		var records []experiments.Record
		for _, r := range slices.Concat(baseline8, noLRN8) {
			if r.Seed <= uint64(k) {
				records = append(records, r)
			}
		}
		table, err := reports.Table("cifar10-norm", records, o)
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	says := func(c *reports.Comparison, words string) bool {
		return slices.ContainsFunc(c.Notes, func(n string) bool { return strings.Contains(n, words) })
	}
	for _, c := range []struct {
		k    int
		word stats.Word
		note string
	}{
		{6, stats.NoEvidence, "this one, of 6 seeds, is too early for any claim; the next is at 8"},
		{7, stats.NoEvidence, "7 complete seeds are none of them: nothing is claimed; the next is at 8"},
		{8, stats.Worse, "looks declared at 6, 8 and 12 seeds, 5 % spent as Pocock do; at this one, of 8 seeds, " +
			"a claim needs p ≤ 0.038; the next is at 12"},
	} {
		table := at(c.k, reports.Options{Primary: plan})
		if got := table.Rows[1].Delta.Verdict.Word; got != c.word || !says(table, c.note) {
			t.Errorf("%d seeds: %v, want %v; notes %q", c.k, got, c.word, table.Notes)
		}
	}
	grown := at(8, reports.Options{Looked: []int{6, 8}})
	if !says(grown, "looked at before, with 6 seeds") || grown.Rows[1].Delta.Verdict.Word != stats.Worse {
		t.Errorf("seeds added after a look: notes %q", grown.Notes)
	}
	if first := at(6, reports.Options{Looked: []int{6}}); says(first, "looked at") {
		t.Errorf("the first look: notes %q", first.Notes)
	}
	plan = &reports.Primary{Metric: "test_top1_error", Looks: []int{8, 6}}
	if _, err := reports.Table("cifar10-norm", eight(), reports.Options{Primary: plan}); err == nil {
		t.Error("looks that do not rise are taken")
	}
}
