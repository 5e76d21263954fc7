package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/engine/cpu"
)

// A Verification is what training a run's first steps again came to.
type Verification struct {
	Run         string   `json:"run"`
	Steps       int      `json:"steps"`                 // whose weights were compared
	Differs     int      `json:"differs_at,omitempty"`  // the first step whose weights are others, 0 if none
	Files       []string `json:"files,omitempty"`       // what is wrong with the run's files
	Differences []string `json:"differences,omitempty"` // between now and then: build, kernels, data
}

// OK says that everything that was compared is equal.
func (v Verification) OK() bool { return v.Differs == 0 && len(v.Files) == 0 }

// Verify trains the first steps of a recorded run again and compares the
// weights' digests with those recorded, at most steps of them. It also compares
// the weights file with its digest. Nothing is written.
func Verify(ctx context.Context, rec experiments.Record, dir string, dev *Devices, steps int, now experiments.CaptureOptions) (Verification, error) {
	v := Verification{Run: fmt.Sprintf("%s/%s/%d", rec.Study, rec.Variant, rec.Seed)}
	r, err := recipe.Decode(rec.Recipe)
	if err != nil {
		return v, fmt.Errorf("%s: %w", v.Run, err)
	}
	if len(rec.FirstSteps) == 0 {
		return v, fmt.Errorf("%s: its record holds no digests of first steps", v.Run)
	}
	ds, err := datasets{}.open(ctx, r.Data)
	if err != nil {
		return v, fmt.Errorf("%s: %w", v.Run, err)
	}
	v.Files = checkFiles(rec, dir)
	now.Data, now.CPU, now.Features = ds.Digests, cpu.Model(), cpu.Features()
	v.Differences = differences(rec.Provenance, experiments.Capture(now))
	t, err := newTrainer(r, ds, dev, rec.Seed)
	if err != nil {
		return v, fmt.Errorf("%s: %w", v.Run, err)
	}
	want := rec.FirstSteps[:min(steps, len(rec.FirstSteps))]
	return v, t.compare(ctx, want, &v)
}

// errEnough ends an epoch early.
var errEnough = errors.New("enough steps")

// compare trains as many steps as there are digests, over epochs if need be.
func (t *trainer) compare(ctx context.Context, want []string, v *Verification) error {
	for v.Differs == 0 && v.Steps < len(want) {
		_, err := t.epoch(ctx, func(int) error {
			digest, err := t.digest()
			if err != nil {
				return err
			}
			if digest != want[v.Steps] {
				v.Differs = v.Steps + 1
			}
			if v.Steps++; v.Differs > 0 || v.Steps == len(want) {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
		t.next()
	}
	return nil
}

// checkFiles compares the files of a run that is done with its record.
func checkFiles(rec experiments.Record, dir string) []string {
	if rec.Status != experiments.Done || rec.Result == nil {
		return nil
	}
	var wrong []string
	weights, err := experiments.ReadWeights(experiments.WeightsPath(dir))
	if err != nil {
		wrong = append(wrong, err.Error())
	} else if digest, err := experiments.Digest(weights); err != nil || digest != rec.Result.WeightsSHA256 {
		wrong = append(wrong, "the weights file is not the one that the run wrote")
	}
	predictions, err := experiments.ReadPredictions(experiments.PredictionsPath(dir))
	if err != nil {
		return append(wrong, err.Error())
	}
	var s score
	for _, p := range predictions {
		s.add(p)
	}
	if s.n != rec.Result.TestExamples || experiments.Number(s.top1Error()) != rec.Result.Top1Error {
		wrong = append(wrong, fmt.Sprintf("the predictions give a top-1 error of %v over %d images, the record says %v over %d",
			s.top1Error(), s.n, rec.Result.Top1Error, rec.Result.TestExamples))
	}
	return wrong
}

// differences says in words what could explain other weights.
func differences(then, now *experiments.Provenance) []string {
	if then == nil {
		return []string{"the record says nothing of its build, machine and data"}
	}
	var out []string
	say := func(what, then, now string) {
		if then != now {
			out = append(out, fmt.Sprintf("%s: %s then, %s now", what, known(then), known(now)))
		}
	}
	say("commit", then.Commit, now.Commit)
	say("changes to the commit", then.Patch, now.Patch)
	say("Go", then.Go, now.Go)
	say("system", then.OS+"/"+then.Arch, now.OS+"/"+now.Arch)
	say("CPU", then.CPU, now.CPU)
	say("CPU features", then.Features, now.Features)
	say("forced CPU path", then.Environment["ABLATE_CPU"], now.Environment["ABLATE_CPU"])
	for _, split := range slices.Sorted(maps.Keys(then.Data)) {
		say("data, "+split, then.Data[split], now.Data[split])
	}
	if !slices.Equal(then.Modules, now.Modules) {
		out = append(out, "modules: other versions")
	}
	return out
}

func known(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
