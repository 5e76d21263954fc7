package configs

import (
	"slices"
	"strings"
	"testing"
)

const sweepBase = `study: s
net: alexnet-32
data: {name: shapes, train: 100, test: 20}
train: {batch: 10, epochs: 2, lr: 0.1}
seeds: 2
`

// A grid is every value with every other, a zip one after the other; what is the recipe as it is, is the baseline.
func TestSweeps(t *testing.T) {
	for text, want := range map[string]string{
		"grid: {train.lr: [0.1, 0.03], train.batch: [10, 20]}": "baseline lr-0.1+batch-20 lr-0.03+batch-10 " +
			"lr-0.03+batch-20",
		"zip: {train.lr: [0.1, 0.2], train.batch: [10, 20]}":               "baseline lr-0.2+batch-20",
		"grid: {train.optimizer: [sgd, adam, {kind: adamw, beta2: 0.99}]}": "baseline optimizer-adam optimizer-adamw",
		"grid: {train.lr: [0.2]}\nvariants: {flat: {ablate: [no-lrn]}}":    "baseline flat lr-0.2",
		"grid: {train.schedule: [{kind: cosine}, {kind: step, at: [1]}]}":  "baseline schedule-cosine schedule-step",
	} {
		s, err := Load(write(t, "s.yaml", sweepBase+text), nil)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var names []string
		for _, v := range s.Variants {
			names = append(names, v.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s makes %s, want %s", text, got, want)
		}
	}
	s, err := Load(write(t, "s.yaml", sweepBase+"grid: {train.lr: [0.1, 0.03], train.batch: [10, 20]}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if v := s.Variants[3]; v.Recipe.Train.LR != 0.03 || v.Recipe.Train.Batch != 20 ||
		!slices.Equal(v.Changes, []string{"train.batch 10→20", "train.lr 0.1→0.03"}) {
		t.Errorf("%s is %+v: %v", v.Name, v.Recipe.Train, v.Changes)
	}
}

func TestSweepsThatAreRefused(t *testing.T) {
	for text, says := range map[string]string{
		"grid: {}":                                      "s.yaml:6: write keys with lists of values",
		"grid: {train.lr: 0.1}":                         "s.yaml:6: train.lr needs a list of values",
		"grid: {train.lr: []}":                          "s.yaml:6: train.lr needs a list of values",
		"grid: {train.rl: [1]}":                         "s.yaml:6",
		"grid: {train.lr: [-1]}":                        "train.lr is -1",
		"grid: {train.lr: [0.2, 0.2]}":                  "variant lr-0.2 is given twice",
		"zip: {train.lr: [0.2, 0.3], train.batch: [5]}": "zip needs lists of one length: train.lr has 2",
		"grid: {data.train: " + numbers(101) + ", data.test: " + numbers(101) + "}": "more than 10000 variants",
	} {
		if _, err := Load(write(t, "s.yaml", sweepBase+text), nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60s: %v; want %q", text, err, says)
		}
	}
}

func numbers(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("9, ", n), ", ") + "]" }

// A part whose shapes do not fit is named with its own line, once.
func TestPartsThatDoNotFit(t *testing.T) {
	t.Parallel()
	_, err := Load(write(t, "s.yaml", `study: s
net:
  net: n
  input: {height: 32, width: 32, channels: 3}
  layers:
    - residual: {name: r, shortcut: identity, layers: [{conv: {filters: 4, kernel: 1, init: {kind: he}}}]}
    - dense: {outputs: 10, init: {kind: he}}
    - softmax_loss: {}
data: {name: shapes}
train: {batch: 10, epochs: 1, lr: 0.1}
seeds: 1
variants: {baseline: {}}
`), nil)
	if err == nil || strings.Count(err.Error(), "s.yaml:") != 1 ||
		!strings.Contains(err.Error(), "s.yaml:6: net n, part r: its layers turn 32×32×3 into 32×32×4") {
		t.Errorf("%v", err)
	}
}
