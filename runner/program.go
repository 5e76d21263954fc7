package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"ablate/experiments"
	"ablate/runner/engine/cpu"
	"ablate/runner/external"
)

// split separates the jobs that ablate trains from those that the user's own programs train.
func split(jobs []Job) (ours, programs []Job) {
	for _, j := range jobs {
		if j.Variant.Recipe.IsProgram() {
			programs = append(programs, j)
		} else {
			ours = append(ours, j)
		}
	}
	return ours, programs
}

// checkPrograms reports whether the programs of jobs can be started.
func checkPrograms(jobs []Job) error {
	seen := map[string]bool{}
	for _, j := range jobs {
		if seen[j.Variant.Name] {
			continue
		}
		seen[j.Variant.Name] = true
		if err := external.Check(j.Variant.Recipe); err != nil {
			return fmt.Errorf("variant %s: %w", j.Variant.Name, err)
		}
	}
	return nil
}

// setUp runs the setup commands of unfinished jobs, each command once.
func setUp(ctx context.Context, jobs []Job, o Options) error {
	seen := map[string]bool{}
	for _, j := range jobs {
		t := j.Variant.Recipe.Trainer
		key := fmt.Sprintf("%q in %q", t.Setup, t.Dir)
		if len(t.Setup) == 0 || seen[key] {
			continue
		}
		if rec, err := o.Store.Record(o.Study.Name, j.Variant.Name, j.Seed); err == nil && rec.Status.Final() && !o.Fresh {
			continue
		}
		seen[key] = true
		if err := external.SetUp(ctx, *t); err != nil {
			return err
		}
	}
	return nil
}

// executeProgram lets a program train one run, and records it. If the program fails and the study
// allows it, the program starts again. An empty status means that nothing was begun.
func executeProgram(ctx context.Context, j Job, o Options) (experiments.Status, error) {
	r := j.Variant.Recipe
	run := external.Run{
		Study: o.Study.Name, Variant: j.Variant.Name, Seed: j.Seed, Device: deviceOf(j, o), Recipe: r,
	}
	for tried := 0; ; tried++ {
		rec, err := programRecord(j, run.Device, o)
		if err != nil {
			return "", err
		}
		status, err := attempt(ctx, j, rec, o, func(recorder *experiments.Recorder) (*experiments.Result, error) {
			return external.Train(ctx, run, recorder, func(p external.Progress) { o.Progress.Program(j, p) })
		})
		if status != experiments.Failed || tried >= r.Trainer.Retries {
			return status, err
		}
		o.Fresh = false // the next attempt continues from what this one left
	}
}

// deviceOf returns the device that a program is to train on.
func deviceOf(j Job, o Options) string {
	if j.Variant.Device != "" {
		return j.Variant.Device
	}
	return o.Device
}

// programRecord returns what is known about a program's run before it begins.
func programRecord(j Job, device string, o Options) (experiments.Record, error) {
	v := j.Variant
	text, err := json.Marshal(v.Recipe)
	if err != nil {
		return experiments.Record{}, fmt.Errorf("store the params of %s: %w", v.Name, err)
	}
	identity, err := v.Recipe.Identity()
	if err != nil {
		return experiments.Record{}, err
	}
	p := experiments.Capture(experiments.CaptureOptions{
		Command: o.Command, Threads: runtime.NumCPU(), CPU: cpu.Model(), Features: cpu.Features(),
	})
	command, err := v.Recipe.Expand(v.Recipe.Trainer.Command, map[string]string{
		"recipe": "", "seed": "", "run": "", "study": "", "variant": "", "device": "",
	})
	if err != nil {
		return experiments.Record{}, err
	}
	p.CaptureProgram(v.Recipe.Trainer.Dir, command)
	return experiments.Record{
		Study: o.Study.Name, Variant: v.Name, Seed: j.Seed,
		Identity: identity, Recipe: text, Ablations: v.Ablations, Edited: v.Edited, Changes: v.Changes,
		Attempts:   []experiments.Attempt{{Device: device, Hardware: hardware(p), Threads: p.Threads}},
		Provenance: p,
	}, nil
}

// hardware returns the key under which a program's speeds are compared.
func hardware(p *experiments.Provenance) string {
	key := fmt.Sprintf("%s, %d threads", p.CPU, p.Threads)
	var gpus []string
	for _, g := range p.Program.GPUs {
		name, _, _ := strings.Cut(g, " (UUID")
		if _, model, ok := strings.Cut(name, ": "); ok && !slices.Contains(gpus, model) {
			gpus = append(gpus, model)
		}
	}
	return strings.Join(append([]string{key}, gpus...), ", ")
}

// notOurs describes what cannot be checked of a run that ablate did not train.
func notOurs(rec experiments.Record) string {
	if rec.Imported != nil {
		return "how the figures came about: they were imported from " + rec.Imported.From
	}
	return "how the program came to its figures: ablate cannot train a program's steps again"
}
