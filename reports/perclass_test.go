package reports_test

import (
	"errors"
	"io/fs"
	"math"
	"testing"

	"ablate/experiments"
	"ablate/reports"
)

// Two classes of four images under six seeds: the variant errs on one image more of
// class 1 in every seed, and trades one answer for another in class 0.
func TestByClass(t *testing.T) {
	var records []experiments.Record
	for _, v := range []string{"no-lrn", "baseline"} {
		for seed := range uint64(6) {
			records = append(records, experiments.Record{Study: "s", Variant: v, Seed: seed, Status: experiments.Done})
		}
	}
	records = append(records, experiments.Record{Study: "s", Variant: "lost", Status: experiments.Done})
	predicted := map[string][]int{
		"baseline": {0, 0, 0, 1, 1, 1, 1, 1},
		"no-lrn":   {1, 0, 0, 0, 0, 1, 1, 1},
	}
	o := reports.Options{Predictions: func(r experiments.Record) ([]experiments.Prediction, error) {
		var all []experiments.Prediction
		for i, p := range predicted[r.Variant] {
			all = append(all, experiments.Prediction{Index: i, Label: i / 4, Predicted: p})
		}
		if all == nil {
			return nil, fs.ErrNotExist
		}
		return all, nil
	}}
	p, err := reports.ByClass("s", records, o, nil)
	if err != nil || len(p.Variants) != 2 || p.Variants[0].Variant != "baseline" {
		t.Fatal(p, err)
	}
	v := p.Variants[1]
	if c := v.Classes[0]; c.Images != 4 || c.Error.Mean != 0.25 || c.Delta.Mean != 0 || c.Delta.Claims() {
		t.Errorf("class 0: %+v %+v", c, c.Delta)
	}
	// The exact sign-flip test of six equal signs: 2/64, doubled by Holm over two classes.
	if c := v.Classes[1]; c.Error.Mean != 0.25 || c.Delta.Mean != 0.25 || math.Abs(c.Delta.P-2.0/64) > 1e-12 ||
		math.Abs(c.Delta.Adjusted-4.0/64) > 1e-12 || c.Delta.Claims() {
		t.Errorf("class 1: %+v %+v", c, c.Delta)
	}
	want := []reports.Cell{{Label: 0, Predicted: 0, Images: 3, Difference: 0},
		{Label: 0, Predicted: 1, Images: 1, Difference: 0}, {Label: 1, Predicted: 0, Images: 1, Difference: 1},
		{Label: 1, Predicted: 1, Images: 3, Difference: -1}}
	for i, c := range v.Cells {
		if math.Abs(c.Images-want[i].Images) > 1e-9 || math.Abs(c.Difference-want[i].Difference) > 1e-9 ||
			c.Label != want[i].Label || c.Predicted != want[i].Predicted {
			t.Errorf("cell %+v, want %+v", c, want[i])
		}
	}
	changed := []reports.ChangedImage{{Index: 0, Label: 0, Seeds: 6, Gained: 0, Lost: 6},
		{Index: 3, Label: 0, Seeds: 6, Gained: 6, Lost: 0}, {Index: 4, Label: 1, Seeds: 6, Gained: 0, Lost: 6}}
	for i, c := range v.Changed {
		if c != changed[i] {
			t.Errorf("image %+v, want %+v", c, changed[i])
		}
	}
	if _, err := reports.ByClass("s", records[12:], o, nil); !errors.Is(err, reports.ErrPredictions) {
		t.Error(err)
	}
}
