package train

import (
	"math"
	"testing"

	"ablate/recipe"
	"ablate/runner/graph"
)

// Every parameter's rate equals the one worked out by hand, for biases with a rate and schedule of
// their own, and a layer that slows down and then freezes.
func TestRates(t *testing.T) {
	params := []graph.Param{
		{Layer: "conv1", Name: "conv1.weight"}, {Layer: "conv1", Name: "conv1.bias", Bias: true},
		{Layer: "fc2", Name: "fc2.weight"}, {Layer: "fc2", Name: "fc2.bias", Bias: true},
	}
	train := recipe.Train{LR: 0.01, Epochs: 10, Schedule: recipe.Schedule{Kind: "step", At: []int{4}, Factor: 0.1},
		LayerRates: []recipe.LayerRate{{Layer: "conv1", From: 2, Factor: 0.5}, {Layer: "conv1", From: 6, Factor: 0}}}
	own := recipe.Bias{LR: 0.02, Schedule: recipe.Schedule{Kind: "constant"}}
	for name, c := range map[string]struct {
		bias recipe.Bias
		want map[float64][4]float64 // epochs done → rates of the four parameters
	}{
		"bias follows": {recipe.Bias{}, map[float64][4]float64{
			0: {0.01, 0.01, 0.01, 0.01}, 2: {0.005, 0.005, 0.01, 0.01}, 5: {0.0005, 0.0005, 0.001, 0.001},
			6.5: {0, 0, 0.001, 0.001}}},
		"bias twice as fast": {recipe.Bias{LR: 0.02}, map[float64][4]float64{
			0: {0.01, 0.02, 0.01, 0.02}, 5: {0.0005, 0.001, 0.001, 0.002}}},
		"bias by itself": {own, map[float64][4]float64{
			0: {0.01, 0.02, 0.01, 0.02}, 3: {0.005, 0.01, 0.01, 0.02}, 5: {0.0005, 0.01, 0.001, 0.02}, 9: {0, 0, 0.001, 0.02}}},
	} {
		train.Bias = c.bias
		r, err := newRates(train, params)
		if err != nil {
			t.Fatal(err)
		}
		for done, want := range c.want {
			rate, factors := r.at(done)
			for i, p := range params {
				if got := rate * factors[p.Name]; math.Abs(got-want[i]) > 1e-15 {
					t.Errorf("%s: %s learns at %v after %v epochs, want %v", name, p.Name, got, done, want[i])
				}
			}
		}
		if n := testing.AllocsPerRun(10, func() { r.at(5) }); n != 0 {
			t.Errorf("%s: %v allocations a step", name, n)
		}
	}
	plain, err := newRates(recipe.Train{LR: 0.01, Epochs: 1, Schedule: recipe.Schedule{Kind: "constant"}}, params)
	if err != nil {
		t.Fatal(err)
	}
	if _, factors := plain.at(0); factors != nil {
		t.Errorf("a plain recipe has factors %v", factors)
	}
}
