package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"ablate/configs"
	"ablate/experiments"
	"ablate/runner"
	"ablate/runner/device"
)

// A stage is what is trained at a time: a study, or before that the runs that tune it.
type stage struct {
	study    *configs.Study
	declared experiments.Declaration
	jobs     []runner.Job
}

// tuning is the stage in which the variants that have jobs, and the baseline that they are compared with, find their
// own settings.
func (s stage) tuning() (stage, error) {
	part := *s.study
	part.Variants = slices.DeleteFunc(slices.Clone(part.Variants), func(v configs.Variant) bool {
		return !slices.Contains(s.tunes(), v.Name)
	})
	study, err := part.Tuning()
	if err != nil {
		return stage{}, err
	}
	jobs, err := runner.Plan(study)
	return stage{study, declares(study), jobs}, err
}

// tunes are the variants that have jobs, and the baseline.
func (s stage) tunes() []string {
	names := []string{s.study.Variants[0].Name}
	for _, j := range s.jobs {
		if !slices.Contains(names, j.Variant.Name) {
			names = append(names, j.Variant.Name)
		}
	}
	return names
}

// tuned is the stage with the settings that the tuning runs in a store are best with. The error is runner.ErrUntuned
// while some of them are not done.
func (s stage) tuned(store *experiments.Store) (stage, error) {
	chosen, err := runner.Choose(store, s.study, s.tunes())
	if err != nil {
		return s, err
	}
	t := &experiments.Tuning{
		Study: configs.TuningName(s.study.Name), Metric: s.study.Tune.On, Seeds: s.study.Tune.Seeds, Keys: s.study.Tune.Keys,
		Chosen: map[string][]string{},
	}
	for _, setting := range s.study.Tune.Settings {
		t.Tried = append(t.Tried, setting.Values)
	}
	for name, setting := range chosen {
		t.Chosen[name] = setting.Values
	}
	out := stage{declared: s.declared}
	out.declared.Tuning = t
	if out.study, err = s.study.Tuned(chosen); err != nil {
		return s, err
	}
	variants := map[string]configs.Variant{}
	for _, v := range out.study.Variants {
		variants[v.Name] = v
	}
	for _, j := range s.jobs {
		j.Variant = variants[j.Variant.Name]
		out.jobs = append(out.jobs, j)
	}
	return out, nil
}

// next is what is to be trained now by those who train one stage at a time: the tuning runs, until they are done. It
// says so.
func (s stage) next(store *experiments.Store, said io.Writer) (stage, error) {
	if s.study.Tune == nil {
		return s, nil
	}
	tuned, err := s.tuned(store)
	if !errors.Is(err, runner.ErrUntuned) {
		return tuned, err
	}
	fmt.Fprintf(said, "%v: these are the runs that tune %s; when they are done, the same command takes those of "+
		"the study\n", err, s.study.Name)
	return s.tuning()
}

// printStages is the dry run of a study: of the runs that tune it, too, unless they are done.
func (s stage) printStages(ctx context.Context, w io.Writer, store *experiments.Store, devices *device.Pool,
	slots int) error {
	if s.study.Tune == nil {
		return printPlan(ctx, w, s.study, s.jobs, devices, slots)
	}
	tuned, err := s.tuned(store)
	if errors.Is(err, runner.ErrUntuned) {
		first, err := s.tuning()
		if err != nil {
			return err
		}
		if err := printPlan(ctx, w, first.study, first.jobs, devices, slots); err != nil {
			return err
		}
		fmt.Fprintf(w, "\nthen, each variant with its own %s in place of what stands here:\n\n",
			strings.Join(s.study.Tune.Keys, ", "))
		return printPlan(ctx, w, s.study, s.jobs, devices, slots)
	}
	if err != nil {
		return err
	}
	var found []string
	for _, v := range tuned.study.Variants {
		if values, ok := tuned.declared.Tuning.Chosen[v.Name]; ok {
			found = append(found, v.Name+" "+strings.Join(values, ", "))
		}
	}
	fmt.Fprintf(w, "each variant's own %s, by the runs of %s: %s\n\n", strings.Join(s.study.Tune.Keys, ", "),
		tuned.declared.Tuning.Study, strings.Join(found, "; "))
	return printPlan(ctx, w, tuned.study, tuned.jobs, devices, slots)
}
