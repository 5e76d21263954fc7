package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"ablate/configs"
	"ablate/recipe"
	"ablate/reports"
	"ablate/runner"
	"ablate/runner/data"
	"ablate/runner/device"
)

// printPlan prints the dry run: the runs, and how each variant differs from the baseline. If the
// data is missing, it prints the plan without times and returns the error. slots is the number of
// runs that are trained at a time; 0 means one.
func printPlan(ctx context.Context, w io.Writer, s *configs.Study, jobs []runner.Job, devices *device.Pool,
	slots int) error {
	first := s.Variants[0].Recipe
	if first.IsProgram() {
		return printProgramPlan(w, s, jobs)
	}
	fmt.Fprintf(w, "%s · %s on %s · epochs %d · batch %d · %d variants × %d seeds = %d runs\n\n",
		s.Name, first.Net.Name, first.Data.Name, first.Train.Epochs, first.Train.Batch,
		len(s.Variants), len(s.Seeds), len(jobs))
	predicted, missing := runner.Predict(ctx, s, devices.Get)
	if missing != nil && !errors.Is(missing, data.ErrMissing) {
		return missing
	}
	runs := map[string]int{}
	for _, j := range jobs {
		runs[j.Variant.Name]++
	}
	rows := [][]string{{"variant", "changed", "params", "MACs", "predicted"}}
	var total time.Duration
	for i, v := range s.Variants {
		cost, err := v.Recipe.Net.Cost()
		if err != nil {
			return err
		}
		changed, takes := strings.Join(v.Changes, " · "), "–"
		if changed == "" {
			changed = "–"
		}
		if missing == nil {
			all := runner.Times(runs[v.Name], predicted[i].Run)
			if total += all; total < 0 { // longer than the longest duration
				total = math.MaxInt64
			}
			takes = about(all)
		}
		rows = append(rows, []string{v.Name, changed, reports.Thousands(cost.Params), reports.Thousands(cost.MACs), takes})
	}
	if err := printTable(w, rows, "llrrr"); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if missing != nil {
		fmt.Fprintf(w, "seeds %s · no times, because the data is missing\n", joinSeeds(s.Seeds))
		return missing
	}
	printInputs(w, s, predicted)
	at := ""
	if slots > 0 {
		total /= time.Duration(slots)
		at = fmt.Sprintf("%d at a time ", slots)
	}
	fmt.Fprintf(w, "seeds %s · predicted to take %s %son %s, %s\nnothing was trained\n",
		joinSeeds(s.Seeds), about(total), at, devices.Hardware(), until(time.Now(), total))
	return nil
}

// printProgramPlan prints the dry run of a study whose trainer is a user's program.
func printProgramPlan(w io.Writer, s *configs.Study, jobs []runner.Job) error {
	first := s.Variants[0].Recipe
	fmt.Fprintf(w, "%s · %s in %s · %d variants × %d seeds = %d runs\n\n", s.Name,
		reports.CommandLine(first.Trainer.Command), first.Trainer.Dir, len(s.Variants), len(s.Seeds), len(jobs))
	rows := [][]string{{"variant", "changed"}}
	for _, v := range s.Variants {
		rows = append(rows, []string{v.Name, cmp.Or(strings.Join(v.Changes, " · "), "–")})
	}
	if err := printTable(w, rows, "ll"); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nseeds %s · compared by %s, %s is better · the time of a program is unknown\n"+
		"nothing was trained\n", joinSeeds(s.Seeds), first.Trainer.Metric.Name, first.Trainer.Metric.Better)
	return err
}

// printInputs prints how the images of the baseline become inputs, and those of the variants that
// differ in it, and which keys of the recipe no variant reads.
func printInputs(w io.Writer, s *configs.Study, predicted []runner.Prediction) {
	said := map[string]bool{}
	for i, p := range predicted {
		line := p.Input
		if p.LeftOver > 0 {
			line += fmt.Sprintf("; %s batches an epoch, which leave out the last %d images of its order",
				reports.Thousands(p.Batches), p.LeftOver)
		}
		if said[line] {
			continue
		}
		said[line] = true
		name := "images"
		if i > 0 {
			name += " of " + s.Variants[i].Name
		}
		fmt.Fprintf(w, "%s: %s\n", name, line)
	}
	var all []recipe.Recipe
	for _, v := range s.Variants {
		all = append(all, v.Recipe)
	}
	if unread := recipe.NeverRead(all); len(unread) > 0 {
		fmt.Fprintf(w, "never read: %s\n", strings.Join(unread, ", "))
	}
}

func joinSeeds(seeds []uint64) string {
	var words []string
	for _, s := range seeds {
		words = append(words, fmt.Sprint(s))
	}
	return strings.Join(words, ", ")
}
