package configs

import (
	"slices"
	"strings"
	"testing"
)

const tuneBase = `study: s
net: alexnet-32
data: {name: shapes, train: 100, test: 20, validation: 20}
train: {batch: 10, epochs: 2, lr: 0.1}
seeds: 2
variants: {flat: {ablate: [no-lrn]}}
`

// Every variant tries the same settings, and takes its own.
func TestTuning(t *testing.T) {
	t.Parallel()
	s, err := Load(write(t, "s.yaml", tuneBase+"tune: {train.lr: [0.1, 0.03], train.momentum: [0, 0.9], seeds: 2}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	tuning, err := s.Tuning()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range tuning.Variants {
		names = append(names, strings.ReplaceAll(v.Name, "momentum", "m"))
	}
	if got, want := strings.Join(names, " "), "baseline+lr-0.1+m-0 baseline+lr-0.1+m-0.9 baseline+lr-0.03+m-0 "+
		"baseline+lr-0.03+m-0.9 flat+lr-0.1+m-0 flat+lr-0.1+m-0.9 flat+lr-0.03+m-0 flat+lr-0.03+m-0.9"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if !slices.Equal(tuning.Seeds, []uint64{2_000_001, 2_000_002}) || tuning.Name != "s.tuning" || tuning.Tune != nil ||
		tuning.Report.Metric != "validation_top1_error" {
		t.Errorf("%+v", tuning)
	}
	tuned, err := s.Tuned(map[string]Setting{"baseline": s.Tune.Settings[0], "flat": s.Tune.Settings[3]})
	if err != nil {
		t.Fatal(err)
	}
	base, flat := tuned.Variants[0], tuned.Variants[1]
	if base.Recipe.Train.LR != 0.1 || base.Recipe.Train.Momentum != 0 || flat.Recipe.Train.LR != 0.03 ||
		flat.Recipe.Train.Momentum != 0.9 || s.Variants[1].Recipe.Train.LR != 0.1 {
		t.Errorf("%+v, %+v", base.Recipe.Train, flat.Recipe.Train)
	}
	if got := strings.Join(flat.Changes, " · "); !strings.Contains(got, "train.lr 0.1→0.03 · train.momentum 0→0.9") {
		t.Errorf("flat changes %s", got)
	}
}

// A bounded search keeps both ends and spreads what is between.
func TestTrials(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"tune: {train.lr: [1, 2, 3, 4, 5, 6, 7], trials: 3}": "lr-1 lr-4 lr-7",
		"tune: {train.lr: [1, 2, 3, 4], trials: 9}":          "lr-1 lr-2 lr-3 lr-4",
	} {
		s, err := Load(write(t, "s.yaml", tuneBase+text), nil)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, setting := range s.Tune.Settings {
			names = append(names, setting.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s tries %s, want %s", text, got, want)
		}
	}
}

func TestTuningThatIsRefused(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"tune: 3":                                "s.yaml:7: write keys with lists of values",
		"tune: {on: validation}":                 "s.yaml:7: write keys with lists of values",
		"tune: {train.lr: [0.1]}":                "s.yaml:7: tune: there is only one setting",
		"tune: {train.lr: [0.1, 0.1]}":           "lr-0.1 appears twice",
		"tune: {train.lr: [0.1, -1]}":            "train.lr is -1",
		"tune: {train.rl: [0.1, 1]}":             "train.rl",
		"tune: {train.lr: [0.1, 1], on: test}":   "want validation, the images",
		"tune: {train.lr: [0.1, 1], seeds: [1]}": "1 is also a seed of the study",
		"tune: {train.lr: [0.1, 1], trials: 0}":  "tune.trials is 0",
		"tune: {data.validation: [10, 20]}":      "data.validation decides which images there are",
		"tune: {train.lr: [0.1, 1]}\ngrid: {train.lr: [0.2]}": "variant lr-0.2 sets train.lr itself, but all variants " +
			"must try the same values of train.lr",
		"tune: {train.optimizer: [adam, sgd]}\ngrid: {train.optimizer.beta1: [0.8]}": "s.yaml",
		"tune: {train.schedule.patience: [3, 4]}": "variants baseline+patience-3 and baseline+patience-4 are the same " +
			"recipe: train.schedule.patience is never read",
	} {
		if _, err := Load(write(t, "s.yaml", tuneBase+text), nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", text, err, says)
		}
	}
	without := strings.Replace(tuneBase, ", validation: 20", "", 1)
	if _, err := Load(write(t, "s.yaml", without+"tune: {train.lr: [0.1, 1]}"), nil); err == nil ||
		!strings.Contains(err.Error(), "variant baseline: tune needs held-out images; set data.validation") {
		t.Errorf("without held-out images: %v", err)
	}
}
