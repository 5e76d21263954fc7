package render

import (
	"bytes"
	"strings"
	"testing"

	"ablate/experiments"
	"ablate/reports"
)

// A table shows which values each variant has found for itself, and which of them lie at the end of the values tried.
func TestTuningNotes(t *testing.T) {
	t.Parallel()
	tuning := &experiments.Tuning{
		Study: "cifar10-norm.tuning", Metric: "validation_top1_error", Seeds: []uint64{2000001}, Keys: []string{"train.lr"},
		Tried:  [][]string{{"0.1"}, {"0.03"}, {"0.01"}},
		Chosen: map[string][]string{"baseline": {"0.03"}, "no-lrn": {"0.01"}, "no-overlap": {"0.03", "one too many"}},
	}
	opts := reports.Options{Variants: []string{"baseline", "no-lrn"}, Tuning: tuning}
	c, err := reports.Table("cifar10-norm", eight(), opts)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Render(&b, c, "json"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"each variant found its own train.lr first, of the same 3 settings, under 1 seed that the comparison does not use, " +
			"by validation_top1_error: baseline 0.03; no-lrn 0.01; the runs are those of study cifar10-norm.tuning",
		"best at the end of what was tried, so that a value beyond it may be better: no-lrn (train.lr 0.01)",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, b.String())
		}
	}
}
