package render

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"ablate/experiments"
	"ablate/reports"
	"ablate/reports/stats"
)

// onDataSets returns seven studies of one question, each of a data set of its own, on which no-lrn is always worse than
// the baseline, and no-overlap is as often better as it is worse.
func onDataSets(t *testing.T) []*reports.Comparison {
	t.Helper()
	var all []*reports.Comparison
	for i, data := range []string{"cifar10", "mnist", "svhn", "usps", "stl10", "pets", "flowers"} {
		records := slices.Clone(eight())
		for j := range records {
			r := &records[j]
			result := *r.Result
			switch r.Variant {
			case "baseline":
				result.Top1Error += experiments.Number(0.01 * float64(i))
			case "no-lrn":
				result.Top1Error += experiments.Number(0.012 * float64(i))
			case "no-overlap":
				result.Top1Error += experiments.Number(0.01*float64(i) + 0.003*float64(1-2*(i%2)))
			}
			r.Study, r.Result, r.Recipe = data+"-norm", &result, stored("cuda-convnet-11pct", data, nil)
		}
		names := []string{"baseline", "no-lrn", "no-overlap"}
		c, err := reports.Table(data+"-norm", records, reports.Options{Variants: names})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// Several studies are printed in every format, and what they say together follows.
func TestSeveral(t *testing.T) {
	studies := onDataSets(t)
	for _, format := range Formats() {
		renders(t, "several."+format, func(b *bytes.Buffer) error { return Several(b, studies, format) })
	}
	if err := Several(new(bytes.Buffer), studies, "none"); err == nil {
		t.Error("an unknown format is printed")
	}
}

// Ranks, Friedman's figures and the p of no-lrn are scipy 1.17's rankdata, friedmanchisquare and wilcoxon of the means,
// by Holm; of no-overlap, whose ranks tie, 24 of 128 patterns of signs are as far out.
func TestAcrossDataSets(t *testing.T) {
	studies := onDataSets(t)
	a, why := reports.AcrossDataSets(studies)
	if a == nil {
		t.Fatal(why)
	}
	for j, want := range []struct {
		rank, p float64
		verdict stats.Word
	}{{10.0 / 7, math.NaN(), ""}, {3, 0.03125, stats.Worse}, {11.0 / 7, 0.1875, stats.NoEvidence}} {
		r := a.Rows[j]
		if math.Abs(r.Rank-want.rank) > 1e-12 || r.Verdict != want.verdict || j > 0 && math.Abs(r.P-want.p) > 1e-12 {
			t.Errorf("%s: rank %v, p %v, %s; want %+v", r.Variant, r.Rank, r.P, r.Verdict, want)
		}
	}
	if math.Abs(a.Friedman.P-0.005063414171757498) > 1e-9 || math.Abs(a.Friedman.Chi2-10.57142857142857) > 1e-9 {
		t.Errorf("Friedman %+v", a.Friedman)
	}
	if few, _ := reports.AcrossDataSets(studies[:3]); few.Rows[1].Verdict != stats.TooFew {
		t.Errorf("three data sets: %s", few.Rows[1].Verdict)
	}
	if same, why := reports.AcrossDataSets([]*reports.Comparison{studies[0], studies[0]}); same != nil ||
		!strings.Contains(why, "more than one study is of cifar10") {
		t.Errorf("one data set twice: %q", why)
	}
	alone, err := reports.Table("usps-norm", baselineAlone(studies[3]), reports.Options{})
	if err == nil {
		if none, why := reports.AcrossDataSets([]*reports.Comparison{studies[0], alone}); none != nil {
			t.Errorf("without a common variant: %q", why)
		}
	}
}

// baselineAlone returns records of a study whose only variant is the baseline.
func baselineAlone(c *reports.Comparison) []experiments.Record {
	records := slices.Clone(baseline8)
	for i := range records {
		records[i].Study, records[i].Recipe = c.Study, stored("cuda-convnet-11pct", c.Data, nil)
	}
	return records
}

// The schema describes everything that is printed as JSON.
func TestAllJSONFollowsTheSchema(t *testing.T) {
	schema := compileSchema(t)
	check := func(name string, write func(*bytes.Buffer) error) {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(&b)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	check("several", func(b *bytes.Buffer) error { return Several(b, onDataSets(t), "json") })
	self, err := reports.CheckSelf("cifar10-norm", eight(), reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	check("self-check", func(b *bytes.Buffer) error { return SelfCheck(b, self, "json") })
	trained, own := theirs()
	own.Primary.Looks = []int{6, 8}
	for name, o := range map[string]reports.Options{"own metric": own} {
		table, err := reports.Table("mine", trained, o)
		if err != nil {
			t.Fatal(err)
		}
		check(name, func(b *bytes.Buffer) error { return Render(b, table, "json") })
	}
	images, err := reports.Table("cifar10-norm", slices.Concat(on400("baseline", 50, 51, 50), on400("few", 54, 54, 56)),
		reports.Options{Predictions: answered, Primary: &reports.Primary{Metric: "test_top1_error", Margin: 2}})
	if err != nil {
		t.Fatal(err)
	}
	if d := images.Rows[1].Delta; d.Images == nil || d.Prior == nil {
		t.Errorf("three pairs with predictions: %+v", *d)
	}
	check("images", func(b *bytes.Buffer) error { return Render(b, images, "json") })
}

// Tables of several studies fit an article's page one by one.
func TestLatexOfSeveralFits(t *testing.T) {
	var b bytes.Buffer
	if err := Several(&b, onDataSets(t)[:2], "tex"); err != nil {
		t.Fatal(err)
	}
	overfull(t, compiles(t, "", b.Bytes()))
}
