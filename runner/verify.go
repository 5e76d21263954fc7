package runner

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/train"
)

// A Verification is the result of training a run's first steps again.
type Verification struct {
	Run         string   `json:"run"`
	Steps       int      `json:"steps"`                 // whose weights were compared
	Differs     int      `json:"differs_at,omitempty"`  // the first step whose weights differ, 0 if none
	Files       []string `json:"files,omitempty"`       // contradictions between the run's files
	OtherData   bool     `json:"other_data,omitempty"`  // the images are not those that the run saw
	NotChecked  string   `json:"not_checked,omitempty"` // what cannot be checked of a run that ablate did not train
	Differences []string `json:"differences,omitempty"` // between then and now: build, kernels, data
}

// OK reports whether everything that was compared is equal.
func (v Verification) OK() bool { return v.Differs == 0 && len(v.Files) == 0 && !v.OtherData }

// A Verifier compares recorded runs with what this program makes of their recipes. It keeps the
// data sets that it opens until it is closed.
type Verifier struct {
	Devices *engine.Group
	Steps   int      // the largest number of first steps to train again
	Command []string // what the user typed
	sets    datasets
}

// Close closes the data sets.
func (v *Verifier) Close() { v.sets.close() }

// Verify trains the first steps of a recorded run again and compares the digests of the weights
// with the recorded ones. It also compares the record with the files beside it. It writes nothing.
func (v *Verifier) Verify(ctx context.Context, rec experiments.Record, dir string) (Verification, error) {
	out := Verification{Run: fmt.Sprintf("%s/%s/%d", rec.Study, rec.Variant, rec.Seed)}
	if err := v.verify(ctx, rec, dir, &out); err != nil {
		return out, fmt.Errorf("%s: %w", out.Run, err)
	}
	return out, nil
}

func (v *Verifier) verify(ctx context.Context, rec experiments.Record, dir string, out *Verification) error {
	r, err := recipe.Decode(rec.Recipe)
	if err != nil {
		return err
	}
	if r.Net == nil {
		out.Files, out.NotChecked = checkRecord(rec, dir), notOurs(rec)
		return nil
	}
	if err := r.Validate(); err != nil {
		return fmt.Errorf("the recipe that is stored cannot be trained: %w", err)
	}
	if len(rec.FirstSteps) == 0 {
		return fmt.Errorf("its record holds no digests of first steps")
	}
	ds, err := v.sets.open(ctx, r.Data)
	if err != nil {
		return err
	}
	out.Files = checkRecord(rec, dir)
	out.OtherData = otherData(rec.Provenance, ds.Digests)
	out.Differences = differences(rec.Provenance, provenance(v.Command, v.Devices, ds.Digests))
	t, err := train.New(ctx, r, ds, v.Devices, rec.Seed)
	if err != nil {
		return err
	}
	if rec.Status == experiments.Done {
		now, err := t.Weights()
		if err != nil {
			return err
		}
		out.Files = append(out.Files, checkInput(dir, now)...)
	}
	want := rec.FirstSteps[:min(v.Steps, len(rec.FirstSteps))]
	for digest, err := range t.Digests(ctx) {
		if err != nil {
			return err
		}
		if digest != want[out.Steps] {
			out.Differs = out.Steps + 1
		}
		if out.Steps++; out.Differs > 0 || out.Steps == len(want) {
			break
		}
	}
	return nil
}

// otherData reports whether a split of images now has another digest than in the record. The
// record also has digests of other things, such as the initial weights, which now does not have.
func otherData(then *experiments.Provenance, now map[string]string) bool {
	if then == nil {
		return false
	}
	for split, digest := range now {
		if recorded, ok := then.Data[split]; ok && recorded != digest {
			return true
		}
	}
	return false
}

// differences describes in words what could explain different weights.
func differences(then, now *experiments.Provenance) []string {
	if then == nil {
		return []string{"the record says nothing of its build, machine and data"}
	}
	var out []string
	say := func(what, then, now string) {
		if then != now {
			out = append(out, fmt.Sprintf("%s: %s then, %s now", what, orNone(then), orNone(now)))
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

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
