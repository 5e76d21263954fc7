package render

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"ablate/experiments"
	"ablate/reports"
	"ablate/reports/stats"
)

// theirs returns runs that a user's program trained: only their logs have figures, and no net is known.
func theirs() (records []experiments.Record, o reports.Options) {
	accuracy := map[string][]float64{
		"baseline":     {0.912, 0.915, 0.909, 0.913, 0.911, 0.914, 0.910, 0.912},
		"no-attention": {0.870, 0.876, 0.868, 0.871, 0.869, 0.873, 0.866, 0.871},
		"no-bias":      {0.911, 0.916, 0.909, 0.912, 0.911, 0.915, 0.911, 0.912},
		"wide":         {0.922, 0.925, 0.919, 0.924, 0.921, 0.925, 0.920, 0.923},
	}
	logs := map[string][]experiments.Metric{}
	key := func(r experiments.Record) string { return r.Variant + "/" + itoa(int(r.Seed)) }
	for _, variant := range []string{"baseline", "no-attention", "no-bias", "wide"} {
		for i, v := range accuracy[variant] {
			r := experiments.Record{
				Version: experiments.FormatVersion, Study: "mine", Variant: variant, Seed: uint64(i + 1), Identity: variant,
				Recipe: json.RawMessage(`{"depth":12}`), Status: experiments.Done,
			}
			records = append(records, r)
			latency := experiments.Number(20 + float64(i)/2 + float64(len(variant)))
			logs[key(r)] = []experiments.Metric{
				{Step: 10, Name: "val_accuracy", Value: 0.5}, {Step: 20, Name: "val_accuracy", Value: experiments.Number(v)},
				{Step: 20, Name: "latency_ms", Value: latency}, {Step: 20, Name: "reward", Value: latency},
				{Step: 20, Name: "accuracy", Value: experiments.Number(100 * v)},
			}
		}
	}
	return records, reports.Options{
		Variants: []string{"baseline", "no-attention", "no-bias", "wide"},
		Metrics:  func(r experiments.Record) ([]experiments.Metric, error) { return logs[key(r)], nil },
		Metric:   "val_accuracy",
		Kinds: map[string]experiments.MetricKind{
			"val_accuracy": {Better: "higher", Unit: "share", Format: ".1f"},
			"latency_ms":   {Better: "lower", Unit: "ms", Format: ".1f"},
		},
		Primary: &reports.Primary{
			Metric: "val_accuracy", Also: []string{"latency_ms"}, Margin: 0.5, Family: []string{"no-attention", "no-bias"},
		},
	}
}

// A study's declaration of its metrics decides which side is better, what counts as the same, and what shares an error
// rate.
func TestMetricsOfAnyKind(t *testing.T) {
	records, o := theirs()
	table, err := reports.Table("mine", records, o)
	if err != nil {
		t.Fatal(err)
	}
	if table.Exploratory || table.Family != 4 {
		t.Errorf("exploratory %v, family %d; want 2 variants by 2 metrics", table.Exploratory, table.Family)
	}
	for i, want := range []struct {
		word    stats.Word
		outside bool
	}{1: {stats.Worse, false}, 2: {stats.Same, false}, 3: {stats.Better, true}} {
		if d := table.Rows[i].Delta; i > 0 && (d.Verdict.Word != want.word || d.Outside != want.outside) {
			t.Errorf("%s: %+v, outside %v; want %v", table.Rows[i].Variant, d.Verdict, d.Outside, want)
		}
	}
	if table.Rows[3].Delta.Claims() {
		t.Error("a row outside of the declared family is printed as a claim")
	}
	for _, metric := range []string{"latency_ms", "reward", "accuracy"} {
		o.Metric = metric
		table, err := reports.Table("mine", records, o)
		if err != nil {
			t.Fatal(err)
		}
		d := table.Rows[1].Delta
		if d.Verdict.Word != stats.Worse {
			t.Errorf("%s: %v, want worse", metric, d.Verdict.Word)
		}
		assumed := slices.ContainsFunc(table.Notes, func(n string) bool {
			return strings.Contains(n, "less reward is taken")
		})
		if assumed != (metric == "reward") {
			t.Errorf("%s: which side is better is assumed, said: %v", metric, assumed)
		}
		if table.Metric.Share { // accuracies of 91.2 were once left out as no shares
			t.Errorf("%s is taken for a share", metric)
		}
		if table.Exploratory != (metric != "latency_ms") {
			t.Errorf("%s: exploratory %v", metric, table.Exploratory)
		}
	}
}

// The same difference is worse, better or the same by what the study says, and never by a guess at best.
func TestDepartures(t *testing.T) {
	first := experiments.Declaration{Study: "s", Metric: "a", At: "last", Margin: 1}
	later := experiments.Declaration{Study: "s", Metric: "b", At: "last", Margin: 2, Family: []string{"x"}}
	want := []string{"report.metric: a, not b", "report.margin: 1, not 2", "report.family: [], not [x]"}
	if got := first.Departures(later); !slices.Equal(got, want) {
		t.Errorf("departures %q, want %q", got, want)
	}
	if got := first.Departures(first); len(got) > 0 {
		t.Errorf("departures from itself: %q", got)
	}
}
