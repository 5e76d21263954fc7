package runner

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"

	"ablate/arch"
	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/train"
)

// checkRecord compares a record with its recipe, with its folder and, if the run is done, with the
// files beside it. It returns the differences.
func checkRecord(rec experiments.Record, dir string) []string {
	c := comparison{}
	c.folder(rec, dir)
	return append(c.found, CheckFiles(rec, dir)...)
}

// CheckFiles compares a record with its recipe and, if the run is done, with the files beside it,
// wherever they lie. It returns the differences.
func CheckFiles(rec experiments.Record, dir string) []string {
	r, err := recipe.Decode(rec.Recipe)
	switch {
	case err != nil:
		return []string{err.Error()}
	case r.Net == nil:
		return checkMeasured(rec, r, dir)
	}
	return checkOurs(rec, r, dir)
}

// checkOurs does the work of checkRecord for a run that ablate trained, wherever the files lie.
func checkOurs(rec experiments.Record, r recipe.Recipe, dir string) []string {
	c := comparison{}
	c.identity(rec, r)
	if cost, err := r.Net.Cost(); err != nil {
		c.wrong(err)
	} else {
		c.same("params", rec.Params, cost.Params, "the net")
		c.same("macs", rec.MACs, cost.MACs, "the net")
	}
	if rec.Status != experiments.Done {
		return c.found
	}
	if rec.Result == nil {
		return append(c.found, "the run is done, and its record holds no result")
	}
	c.weights(*rec.Result, dir)
	c.predictions(*rec.Result, dir)
	c.metrics(*rec.Result, r, dir)
	return c.found
}

// checkMeasured does the work of checkOurs for an imported run, or one that the user's own program
// trained.
func checkMeasured(rec experiments.Record, r recipe.Recipe, dir string) []string {
	c := comparison{}
	if rec.Imported == nil {
		c.identity(rec, r)
	}
	if rec.Status != experiments.Done {
		return c.found
	}
	if rec.Result == nil {
		return append(c.found, "the run is done, and its record holds no result")
	}
	log, err := experiments.ReadMetrics(experiments.MetricsPath(dir))
	if err != nil {
		c.wrong(err)
		return c.found
	}
	last := map[string]experiments.Number{}
	for _, m := range experiments.Series(log) {
		last[m.Name] = m.Value
	}
	for _, name := range slices.Sorted(maps.Keys(rec.Result.Metrics)) {
		c.same(name, rec.Result.Metrics[name], last[name], "the metrics have")
	}
	if rec.Imported != nil {
		c.same("figures", rec.Imported.SHA256, experiments.DigestMetrics(experiments.Series(log)), "the metrics have")
	}
	if rec.Result.TestExamples > 0 {
		predictions, err := experiments.ReadPredictions(experiments.PredictionsPath(dir))
		if err != nil {
			c.wrong(err)
			return c.found
		}
		c.same("test_examples", rec.Result.TestExamples, len(predictions), "the predictions have")
	}
	return c.found
}

// A comparison lists what contradicts a record.
type comparison struct{ found []string }

func (c *comparison) wrong(err error) { c.found = append(c.found, err.Error()) }

// same compares a value of the record with that of another file, in their written form: NaN equals
// NaN.
func (c *comparison) same(name string, record, other any, file string) {
	if says, is := fmt.Sprint(record), fmt.Sprint(other); says != is {
		c.found = append(c.found, fmt.Sprintf("%s: the record says %s, %s %s", name, says, file, is))
	}
}

// identity compares a record's identity with that of its recipe as it is read today. Records from
// before named keys have another identity; they are compared with the recipe as it is written.
func (c *comparison) identity(rec experiments.Record, r recipe.Recipe) {
	if today, err := r.Identity(); err == nil && today == rec.Identity {
		return
	}
	var text bytes.Buffer
	root, err := json.Marshal(r.Data.Root)
	if err == nil {
		err = json.Compact(&text, rec.Recipe)
	}
	if err != nil {
		c.wrong(err)
		return
	}
	stored := bytes.Replace(text.Bytes(), append([]byte(`"root":`), root...), []byte(`"root":""`), 1)
	c.same("identity", rec.Identity, fmt.Sprintf("%x", sha256.Sum256(stored)), "its recipe has")
}

// folder compares a record with the folder in which it was found.
func (c *comparison) folder(rec experiments.Record, dir string) {
	if path, err := filepath.Abs(dir); err == nil {
		variant := filepath.Dir(path)
		c.same("seed", fmt.Sprintf("seed-%d", rec.Seed), filepath.Base(path), "its folder")
		c.same("variant", rec.Variant, filepath.Base(variant), "its folder")
		c.same("study", rec.Study, filepath.Base(filepath.Dir(variant)), "its folder")
	}
}

func (c *comparison) weights(result experiments.Result, dir string) {
	weights, err := experiments.ReadWeights(dir)
	if err != nil {
		c.wrong(err)
		return
	}
	if digest, err := experiments.Digest(weights.Params); err != nil || digest != result.WeightsSHA256 {
		c.found = append(c.found, "the weights file is not the one that the run wrote")
	}
}

func (c *comparison) predictions(result experiments.Result, dir string) {
	predictions, err := experiments.ReadPredictions(experiments.PredictionsPath(dir))
	if err != nil {
		c.wrong(err)
		return
	}
	var s train.Score
	for _, p := range predictions {
		s.Add(p)
	}
	const file = "the predictions have"
	c.same("test_examples", result.TestExamples, s.Images, file)
	c.same("top1_error", result.Top1Error, experiments.Number(s.Top1Error()), file)
	c.same("top5_error", result.Top5Error, experiments.Number(s.Top5Error()), file)
	c.same("test_loss", result.TestLoss, experiments.Number(s.Loss()), file)
}

// metrics compares the result with the last epoch of the metric series.
func (c *comparison) metrics(result experiments.Result, r recipe.Recipe, dir string) {
	log, err := experiments.ReadMetrics(experiments.MetricsPath(dir))
	if err != nil {
		c.wrong(err)
		return
	}
	last := map[string]experiments.Number{}
	epochs := map[string]int{}
	for _, m := range experiments.Series(log) {
		last[m.Name] = m.Value
		epochs[m.Name]++
	}
	const file = "the metrics have"
	if r.Train.EarlyStopping == 0 || result.Epochs > r.Train.Epochs {
		c.same("epochs", result.Epochs, r.Train.Epochs, "the recipe")
	}
	c.same("epochs", result.Epochs, epochs["train_loss"], file)
	c.same("train_loss", result.TrainLoss, last["train_loss"], file)
	c.same("test_loss", result.TestLoss, last["test_loss"], file)
	c.same("top1_error", result.Top1Error, last["test_top1_error"], file)
	c.same("top5_error", result.Top5Error, last["test_top5_error"], file)
}

// checkInput compares the part of a weights file beside the parameters with what training writes
// today. It compares meanings, since the keys of a net have grown over time.
func checkInput(dir string, now experiments.Weights) []string {
	stored, err := experiments.ReadWeights(dir)
	if err != nil || stored.About == nil { // reported before, or a file of an earlier format
		return nil
	}
	var found []string
	for key, as := range map[string]func() any{
		"net":     func() any { return new(arch.Net) },
		"classes": func() any { return new([]string) },
		"input":   func() any { return new(data.Input) },
	} {
		then, today := as(), as()
		err := json.Unmarshal([]byte(now.About[key]), today)
		if err == nil {
			err = json.Unmarshal([]byte(stored.About[key]), then)
		}
		if err != nil || !reflect.DeepEqual(then, today) {
			found = append(found, fmt.Sprintf("the %s in the weights file is not that of the run", key))
		}
	}
	slices.Sort(found)
	same := func(a, b experiments.Tensor) bool {
		return a.Name == b.Name && slices.Equal(a.Shape, b.Shape) && slices.Equal(a.Data, b.Data)
	}
	if !slices.EqualFunc(stored.Input, now.Input, same) {
		found = append(found, "the mean image or the colour axes in the weights file "+
			"are not those of the images that were trained on")
	}
	return found
}
