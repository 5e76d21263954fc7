package export

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"ablate/experiments"
)

// WriteRuns writes a line a run: what it is, every key of the recipes that
// differs between the runs, and how it ended. Columns that have no value are empty.
func WriteRuns(w io.Writer, runs []Run) error {
	keys := Varying(runs)
	head := slices.Concat([]string{"study", "variant", "seed", "status", "attempts", "identity", "changes", "params",
		"macs"},
		keys, resultHead, []string{"device", "hardware", "commit", "started", "seconds"})
	rows := [][]string{head}
	for _, r := range runs {
		row := []string{
			r.Study, r.Variant, strconv.FormatUint(r.Seed, 10), string(r.Status), strconv.Itoa(len(r.Attempts)),
			r.Identity, strings.Join(r.Changes, " · "), strconv.FormatInt(r.Params, 10), strconv.FormatInt(r.MACs, 10),
		}
		for _, k := range keys {
			row = append(row, cell(r.Keys[k]))
		}
		row = append(row, result(r.Result)...)
		rows = append(rows, append(row, r.where()...))
	}
	return csv.NewWriter(w).WriteAll(rows)
}

var resultHead = []string{
	"epochs", "train_loss", "test_loss", "top1_error", "top5_error", "test_examples", "images_per_second",
	"weights_sha256",
}

func result(r *experiments.Result) []string {
	if r == nil {
		return make([]string, len(resultHead))
	}
	return []string{
		strconv.Itoa(r.Epochs), number(r.TrainLoss), number(r.TestLoss), number(r.Top1Error), number(r.Top5Error),
		strconv.Itoa(r.TestExamples), number(r.ImagesPerSecond), r.WeightsSHA256,
	}
}

// where is the last attempt's device and hardware, the program's commit, when
// the first attempt began and how long all of them took.
func (r Run) where() []string {
	commit := ""
	if r.Provenance != nil {
		commit = r.Provenance.Commit
	}
	if len(r.Attempts) == 0 {
		return []string{"", "", commit, "", ""}
	}
	var took time.Duration
	for _, a := range r.Attempts {
		if !a.Ended.IsZero() {
			took += a.Ended.Sub(a.Started)
		}
	}
	last := r.Attempts[len(r.Attempts)-1]
	return []string{
		last.Device, last.Hardware, commit, r.Attempts[0].Started.UTC().Format(time.RFC3339Nano),
		strconv.FormatFloat(took.Seconds(), 'f', 3, 64),
	}
}

// WriteMetrics writes a line a measurement, without what a later attempt measured again.
func WriteMetrics(w io.Writer, runs []Run) error {
	rows := [][]string{{"study", "variant", "seed", "attempt", "epoch", "step", "name", "value", "seconds"}}
	for _, r := range runs {
		for _, m := range r.Metrics {
			rows = append(rows, []string{
				r.Study, r.Variant, strconv.FormatUint(r.Seed, 10), strconv.Itoa(m.Attempt), strconv.Itoa(m.Epoch),
				strconv.FormatInt(m.Step, 10), m.Name, number(m.Value), strconv.FormatFloat(m.Seconds, 'g', -1, 64),
			})
		}
	}
	return csv.NewWriter(w).WriteAll(rows)
}

// WritePredictions writes a line a test image and run. Runs without predictions have none.
func WritePredictions(w io.Writer, store *experiments.Store, runs []Run) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"study", "variant", "seed", "index", "label", "predicted", "rank",
		"log_prob"}); err != nil {
		return err
	}
	for _, r := range runs {
		predictions, err := store.Predictions(r.Record)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.Name(), err)
		}
		for _, p := range predictions {
			err := out.Write([]string{
				r.Study, r.Variant, strconv.FormatUint(r.Seed, 10), strconv.Itoa(p.Index), strconv.Itoa(p.Label),
				strconv.Itoa(p.Predicted), strconv.Itoa(p.Rank), strconv.FormatFloat(p.LogProb, 'g', -1, 64),
			})
			if err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

// number writes a figure so that it reads back the same; NaN and the infinities
// as pandas and polars read them.
func number(n experiments.Number) string { return strconv.FormatFloat(float64(n), 'g', -1, 64) }

// cell writes a recipe's value.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}
