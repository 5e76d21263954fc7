package reports

import (
	"encoding/json"
	"fmt"
	"testing"

	"ablate/experiments"
)

// BenchmarkThousandRuns reads 1,000 runs of 100 points each from their folders
// and makes the comparison table: what ablate report does.
func BenchmarkThousandRuns(b *testing.B) {
	store := &experiments.Store{Root: b.TempDir()}
	const variants, seeds, points = 50, 20, 100
	for v := range variants {
		for seed := range uint64(seeds) {
			leave(b, store, fmt.Sprintf("v%02d", v), seed, points)
		}
	}
	for b.Loop() {
		records, problems := store.Load("s")
		if len(records) != variants*seeds || len(problems) > 0 {
			b.Fatal(len(records), problems)
		}
		for _, r := range records {
			dir, err := store.Find(fmt.Sprintf("s/%s/%d", r.Variant, r.Seed))
			if err != nil {
				b.Fatal(err)
			}
			log, err := experiments.ReadMetrics(experiments.MetricsPath(dir))
			if err != nil || len(experiments.Series(log)) != points {
				b.Fatal(len(log), err)
			}
		}
		if _, err := Table("s", records, Options{Speed: true}); err != nil {
			b.Fatal(err)
		}
	}
}

// leave writes a run's folder.
func leave(b *testing.B, store *experiments.Store, variant string, seed uint64, points int) {
	b.Helper()
	r, err := store.Start(experiments.Record{Study: "s", Variant: variant, Seed: seed, Identity: variant, Recipe: json.RawMessage(`{}`),
		Attempts: []experiments.Attempt{{Hardware: "test"}}}, experiments.StartOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for i := range points {
		if err := r.Log(experiments.Metric{Epoch: i + 1, Step: int64(i), Name: "train_loss", Value: 0.5, Seconds: float64(i)}); err != nil {
			b.Fatal(err)
		}
	}
	result := &experiments.Result{Epochs: points, Top1Error: experiments.Number(float64(seed) / 100), TestExamples: 100, ImagesPerSecond: 1000}
	if err := r.Finish(experiments.Done, result, nil); err != nil {
		b.Fatal(err)
	}
}
