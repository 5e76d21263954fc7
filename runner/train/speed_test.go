package train

import (
	"testing"

	"ablate/configs"
)

// quickstart returns the variants of that study, on the larger net and with few images.
func quickstart(t testing.TB) []configs.Variant {
	t.Helper()
	s, err := configs.Load("quickstart", []string{"net=alexnet-32", "data.train=100", "data.test=20"})
	if err != nil {
		t.Fatal(err)
	}
	return s.Variants
}

// A training step does not allocate: neither for the paper's layers, nor for any variant of the
// quickstart.
func TestStepsDoNotAllocate(t *testing.T) {
	for _, v := range quickstart(t) {
		tr := trainer(t, v.Recipe, opened(t, "cpu", 2))
		batch, err := tr.firstBatch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(20, func() { err = tr.trainOn(batch) }); n != 0 || err != nil {
			t.Errorf("%s: %v allocations a step, error %v", v.Name, n, err)
		}
	}
}

// BenchmarkStep times whole training steps of the quickstart's variants: forward pass, loss,
// gradients and update.
func BenchmarkStep(b *testing.B) {
	for _, v := range quickstart(b) {
		b.Run(v.Name, func(b *testing.B) {
			tr := trainer(b, v.Recipe, opened(b, "cpu", 0))
			batch, err := tr.firstBatch(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := tr.trainOn(batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*v.Recipe.Train.Batch)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
