package runner

import (
	"testing"

	"ablate/configs"
)

// A training step allocates nothing: not for the paper's layers, nor for any variant of the quickstart.
func TestStepsDoNotAllocate(t *testing.T) {
	s, err := configs.Load("quickstart", []string{"data.train=100", "data.test=20"})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range s.Variants {
		dev, err := OpenDevices("cpu", 2)
		if err != nil {
			t.Fatal(err)
		}
		ds, err := datasets{}.open(t.Context(), v.Recipe.Data)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := newTrainer(v.Recipe, ds, dev, 1)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := firstBatch(t.Context(), tr.pipeline)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(20, func() { err = tr.learn(batch, 0) }); n != 0 || err != nil {
			t.Errorf("%s: %v allocations a step, error %v", v.Name, n, err)
		}
		dev.Close()
	}
}
