package runner

import (
	"math"
	"testing"

	"ablate/experiments"
)

// The features of a test image, times the last layer's weights, plus its biases, are the logits: their largest is the
// class that the run's predictions name.
func TestFeatures(t *testing.T) {
	t.Parallel()
	store, devices := trainTiny(t, "1")
	dir, err := store.Find("tiny/baseline/1")
	if err != nil {
		t.Fatal(err)
	}
	group, err := devices.Get("")
	if err != nil {
		t.Fatal(err)
	}
	net, err := OpenTrained(dir)
	if err != nil {
		t.Fatal(err)
	}
	predictions, err := experiments.ReadPredictions(experiments.PredictionsPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	params := net.weights.Params
	w, bias := params[len(params)-2], params[len(params)-1]
	for _, n := range []int{7, 10_000} {
		f, err := net.Features(t.Context(), n, group)
		if err != nil {
			t.Fatal(err)
		}
		if want := min(n, len(predictions)); len(f.Index) != want || len(f.Values) != want*w.Shape[0] {
			t.Fatalf("%d images, %d values; want %d images of %d", len(f.Index), len(f.Values), want, w.Shape[0])
		}
		for i, at := range f.Index {
			if at != i*len(predictions)/len(f.Index) {
				t.Errorf("image %d of %d is number %d", i, len(f.Index), at)
			}
			logits := make([]float64, w.Shape[1])
			for c := range logits {
				logits[c] = float64(bias.Data[c])
				for k, v := range f.Values[i*f.Width:][:f.Width] {
					logits[c] += float64(v) * float64(w.Data[k*w.Shape[1]+c])
				}
			}
			p, sum := predictions[at], 0.0
			for _, z := range logits {
				sum += math.Exp(z - logits[p.Label])
			}
			if f.Label[i] != p.Label || f.Predicted[i] != p.Predicted || math.Abs(-math.Log(sum)-p.LogProb) > 1e-4 {
				t.Errorf("image %d: label %d, predicted %d, log probability %g; stored are %+v", at, f.Label[i],
					f.Predicted[i], -math.Log(sum), p)
			}
		}
		if err := experiments.SaveFeatures(dir, f); err != nil {
			t.Fatal(err)
		}
		if _, err := experiments.ReadFeatures(dir); err != nil {
			t.Error(err)
		}
	}
}
