package runner

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"ablate/experiments"
)

// The runs of one study share a data set, which is opened once.
func TestVerifierOpensDataOnce(t *testing.T) {
	t.Parallel()
	store, devices := trainTiny(t, "2")
	group, err := devices.Get("")
	if err != nil {
		t.Fatal(err)
	}
	v := Verifier{Devices: group, Steps: 3}
	defer v.Close()
	for _, seed := range []string{"1", "2"} {
		dir, err := store.Find("tiny/baseline/" + seed)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := experiments.ReadRecord(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Verify(t.Context(), rec, dir); err != nil || !got.OK() || got.Steps != 3 {
			t.Errorf("seed %s: %+v, %v", seed, got, err)
		}
	}
	if len(v.sets.opened) != 1 {
		t.Errorf("%d data sets were opened for two runs of one study", len(v.sets.opened))
	}
}

// Any alteration of a record is noticed: altered errors, losses and recipes used to be believed.
func TestVerifyNoticesAlterations(t *testing.T) {
	t.Parallel()
	store, devices := trainTiny(t, "1")
	group, err := devices.Get("")
	if err != nil {
		t.Fatal(err)
	}
	v := Verifier{Devices: group, Steps: 1}
	defer v.Close()
	dir, err := store.Find("tiny/baseline/1")
	if err != nil {
		t.Fatal(err)
	}
	recipe := func(old, new string) func(*experiments.Record) {
		return func(r *experiments.Record) {
			text := strings.Replace(string(r.Recipe), old, new, 1)
			if text == string(r.Recipe) {
				t.Fatalf("the recipe has no %s", old)
			}
			r.Recipe = []byte(text)
		}
	}
	type result = experiments.Result
	of := func(alter func(*result)) func(*experiments.Record) {
		return func(r *experiments.Record) { alter(r.Result) }
	}
	for says, alter := range map[string]func(*experiments.Record){
		"top1_error: the record says 0.01, the predictions have":     of(func(r *result) { r.Top1Error = 0.01 }),
		"top5_error: the record says 0.01, the predictions have":     of(func(r *result) { r.Top5Error = 0.01 }),
		"test_loss: the record says 0.01, the predictions have":      of(func(r *result) { r.TestLoss = 0.01 }),
		"train_loss: the record says 0.01, the metrics have":         of(func(r *result) { r.TrainLoss = 0.01 }),
		"test_examples: the record says 11, the predictions have 10": of(func(r *result) { r.TestExamples = 11 }),
		"epochs: the record says 3, the recipe 2":                    of(func(r *result) { r.Epochs = 3 }),
		"the weights file is not the one":                            of(func(r *result) { r.WeightsSHA256 = "0" }),
		"params: the record says 1, the net":                         func(r *experiments.Record) { r.Params = 1 },
		"macs: the record says 1, the net":                           func(r *experiments.Record) { r.MACs = 1 },
		"seed: the record says seed-2, its folder seed-1":            func(r *experiments.Record) { r.Seed = 2 },
		"variant: the record says other, its folder baseline":        func(r *experiments.Record) { r.Variant = "other" },
		"its record holds no result":                                 func(r *experiments.Record) { r.Result = nil },
		"identity: the record says":                                  recipe(`"momentum": 0.9`, `"momentum": 0.8`),
	} {
		rec, err := experiments.ReadRecord(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Verify(t.Context(), rec, dir); err != nil || !got.OK() {
			t.Fatalf("before: %+v, %v", got, err)
		}
		alter(&rec)
		got, err := v.Verify(t.Context(), rec, dir)
		if err != nil || got.OK() || !strings.Contains(strings.Join(got.Files, "\n"), says) {
			t.Errorf("%s: %q, %v", says, got.Files, err)
		}
	}
	// The images have changed though the first steps are the same: the figures are not of these
	// images.
	rec, err := experiments.ReadRecord(dir)
	if err != nil {
		t.Fatal(err)
	}
	rec.Provenance.Data["test"] = "other"
	got, err := v.Verify(t.Context(), rec, dir)
	if err != nil || got.OK() || !strings.HasPrefix(strings.Join(got.Differences, "\n"), "data, test: other then, ") {
		t.Errorf("other test images: %+v, %v", got, err)
	}
	path := experiments.WeightsPath(dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	swap := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
	}
	for says, alter := range map[string]func([]byte) []byte{
		"the input in the weights file":   swap("0.02", "0.03"),
		"the classes in the weights file": swap("disc", "dics"),
		"the net in the weights file":     swap("tiny", "tinz"),
		"the mean image or":               func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, // its last value
		"the weights file is not the one": func(b []byte) []byte { b[len(b)-4*32*32*3-1] ^= 1; return b },
	} {
		if err := os.WriteFile(path, alter(bytes.Clone(whole)), 0o644); err != nil {
			t.Fatal(err)
		}
		rec, err := experiments.ReadRecord(dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Verify(t.Context(), rec, dir)
		if err != nil || len(got.Files) != 1 || !strings.Contains(got.Files[0], says) {
			t.Errorf("%s: %q, %v", says, got.Files, err)
		}
	}
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	for says, alter := range map[string]func(*experiments.Record){ // these records cannot even be trained
		"train.epochs is -2":        recipe(`"epochs": 2`, `"epochs": -2`),
		"data.train":                recipe(`"train": 30`, `"train": -4`),
		"data.test":                 recipe(`"test": 10`, `"test": -1`),
		"net":                       recipe(`"net": {`, `"net": null, "was": {`),
		"at most 200000 images":     recipe(`"train": 30`, `"train": 1000000`),
		"data.validation is 30":     recipe(`"train": 30`, `"train": 30, "validation": 30`),
		"data.label_noise":          recipe(`"train": 30`, `"train": 30, "label_noise": 5`),
		"train.batch":               recipe(`"batch": 10`, `"batch": 9223372036854775807`),
		"holds no digests of first": func(r *experiments.Record) { r.FirstSteps = nil },
	} {
		rec, err := experiments.ReadRecord(dir)
		if err != nil {
			t.Fatal(err)
		}
		alter(&rec)
		if _, err := v.Verify(t.Context(), rec, dir); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q: %v", says, err)
		}
	}
}
