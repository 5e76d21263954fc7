package train

import (
	"math"
	"slices"
	"testing"

	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/graph"
)

// The result of ten views is the mean of ten evaluations, each of one explicit view.
func TestTenViewsAreTheMeanOfTen(t *testing.T) {
	t.Parallel()
	const side, crop = 32, 28
	tr := started(t, func(r *recipe.Recipe) { r.Data.TestCrops, r.Data.Test = recipe.TenCrop, 23 })
	trainEpoch(t, tr)
	s, got, err := tr.test(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 23 || s.Images != 23 {
		t.Fatalf("%d predictions, score over %d", len(got), s.Images)
	}
	ds, err := data.Open(t.Context(), tr.recipe.Data)
	if err != nil {
		t.Fatal(err)
	}
	if ds.Shape.Height != side {
		t.Fatalf("shapes are %d high", ds.Shape.Height)
	}
	mean := meanOf(ds.Train.Images, ds.Shape.Len())
	classes := tr.classes()
	for i, p := range got {
		probabilities := make([]float64, classes)
		image := ds.Test.Images[i*ds.Shape.Len():][:ds.Shape.Len()]
		for _, at := range [][2]int{{0, 0}, {0, 4}, {4, 0}, {4, 4}, {2, 2}} {
			for _, flip := range []bool{false, true} {
				b := &data.Batch{X: make([]float32, tr.recipe.Train.Batch*crop*crop*3), N: 1}
				for y := range crop {
					for x := range crop {
						from := at[1] + x
						if flip {
							from = at[1] + crop - 1 - x
						}
						for c := range 3 {
							v := ((at[0]+y)*side+from)*3 + c
							b.X[(y*crop+x)*3+c] = (float32(image[v]) - mean[v]) * float32(tr.recipe.Data.Scale)
						}
					}
				}
				if err := tr.infer(b); err != nil {
					t.Fatal(err)
				}
				z := graph.LogSumExp(tr.logits[:classes])
				for c, v := range tr.logits[:classes] {
					probabilities[c] += math.Exp(float64(v)-z) / 10
				}
			}
		}
		if want := math.Log(probabilities[p.Label]); math.Abs(p.LogProb-want) > 1e-4 {
			t.Errorf("image %d: log probability %v, the mean of ten views has %v", i, p.LogProb, want)
		}
		if best := slices.Index(probabilities, slices.Max(probabilities)); best != p.Predicted {
			t.Errorf("image %d: class %d predicted, want %d", i, p.Predicted, best)
		}
	}
}

func meanOf(images []byte, size int) []float32 {
	sums := make([]float64, size)
	for i, v := range images {
		sums[i%size] += float64(v)
	}
	mean := make([]float32, size)
	for i, v := range sums {
		mean[i] = float32(v / float64(len(images)/size))
	}
	return mean
}
