package runner

import (
	"testing"

	"ablate/configs"
)

// BenchmarkStep times whole training steps of the quickstart's variants: forward, loss, gradients, update.
func BenchmarkStep(b *testing.B) {
	s, err := configs.Load("quickstart", []string{"data.train=100", "data.test=20"})
	if err != nil {
		b.Fatal(err)
	}
	for _, v := range s.Variants {
		b.Run(v.Name, func(b *testing.B) {
			dev, err := OpenDevices("cpu", 0)
			if err != nil {
				b.Fatal(err)
			}
			defer dev.Close()
			ds, err := datasets{}.open(b.Context(), v.Recipe.Data)
			if err != nil {
				b.Fatal(err)
			}
			t, err := newTrainer(v.Recipe, ds, dev, 1)
			if err != nil {
				b.Fatal(err)
			}
			batch, err := firstBatch(b.Context(), t.pipeline)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := t.learn(batch, 0); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*v.Recipe.Train.Batch)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
