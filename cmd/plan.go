package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"ablate/configs"
	"ablate/reports"
	"ablate/runner"
	"ablate/runner/data"
	"ablate/runner/device"
)

// printPlan is the dry run: what would be trained and what differs from the
// baseline. Without the data it is still a plan, only without times.
func printPlan(ctx context.Context, w io.Writer, s *configs.Study, jobs []runner.Job, devices *device.Pool) error {
	first := s.Variants[0].Recipe
	fmt.Fprintf(w, "%s · %s on %s · epochs %d · batch %d · %d variants × %d seeds = %d runs\n\n", s.Name, first.Net.Name, first.Data.Name,
		first.Train.Epochs, first.Train.Batch, len(s.Variants), len(s.Seeds), len(jobs))
	predicted, missing := runner.Predict(ctx, s, devices.Get)
	if missing != nil && !errors.Is(missing, data.ErrMissing) {
		return missing
	}
	rows := [][]string{{"variant", "changed", "params", "MACs", "predicted"}}
	for i, v := range s.Variants {
		cost, err := v.Recipe.Net.Cost()
		if err != nil {
			return err
		}
		changed := strings.Join(v.Changes, " · ")
		if changed == "" {
			changed = "–"
		}
		rows = append(rows, []string{v.Name, changed, reports.Thousands(cost.Params), reports.Thousands(cost.MACs), "–"})
		if missing == nil {
			rows[i+1][4] = about(predicted[i])
		}
	}
	if err := printTable(w, rows, "llrrr"); err != nil {
		return err
	}
	if missing != nil {
		fmt.Fprintf(w, "\nseeds %s · no times, they are measured on the data: %v\nnothing was trained\n", joinSeeds(s.Seeds), missing)
		return nil
	}
	var total time.Duration
	for _, p := range predicted {
		total += p
	}
	fmt.Fprintf(w, "\nseeds %s · predicted %s on %s\nnothing was trained\n", joinSeeds(s.Seeds), about(total), devices.Hardware())
	return nil
}

func joinSeeds(seeds []uint64) string {
	var words []string
	for _, s := range seeds {
		words = append(words, fmt.Sprint(s))
	}
	return strings.Join(words, ", ")
}

// about drops the digits of a duration that nobody reads: 2h59m, 36s, 1.25s.
func about(d time.Duration) string {
	switch {
	case d >= time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	case d > 10*time.Second:
		return d.Round(time.Second).String()
	default:
		return d.Round(10 * time.Millisecond).String()
	}
}
