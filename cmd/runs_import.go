package cmd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ablate/experiments"
	"ablate/runner"
)

func newRunsImport() *cobra.Command {
	return &cobra.Command{
		Use:   "import DIR…",
		Short: "Copy run folders from other machines",
		Example: `  ablate runs import /mnt/node1/runs /mnt/node2/runs
  ablate runs import copied/quickstart/baseline/seed-3`,
		Long: `import copies runs into the folder of runs. DIR is the folder of a run, of a study, or
of several studies. It first checks every run: its identity against its recipe, and its
weights, predictions and figures against their digests and the record. If a check fails,
or if a different run is already in its place, nothing is copied. Runs that are already
there are left alone, so you can repeat the command.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := openStore(c)
			if err != nil {
				return err
			}
			var dirs []string
			for _, arg := range args {
				found, err := experiments.RunsIn(arg)
				if err != nil {
					return err
				}
				dirs = append(dirs, found...)
			}
			if err := checkGathered(store, dirs); err != nil {
				return err
			}
			copied := 0
			for _, dir := range dirs {
				written, err := store.Gather(dir)
				if err != nil {
					return err
				}
				if written {
					copied++
				}
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%d runs copied, %d were there already\n", copied, len(dirs)-copied)
			return err
		},
	}
}

// checkGathered refuses runs that do not match their records, and runs that would go to the same
// place.
func checkGathered(store *experiments.Store, dirs []string) error {
	var problems []error
	from := map[string]string{}
	for _, dir := range dirs {
		rec, err := experiments.ReadRecord(dir)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if wrong := runner.CheckFiles(rec, dir); len(wrong) > 0 {
			problems = append(problems, fmt.Errorf("%s: %s", dir, strings.Join(wrong, "; ")))
		}
		if _, err := store.Gatherable(dir); err != nil {
			problems = append(problems, err)
		}
		name := fmt.Sprintf("%s/%s/%d", rec.Study, rec.Variant, rec.Seed)
		if before, twice := from[name]; twice {
			problems = append(problems, fmt.Errorf("%s: %w: %s is the same run; name one of them", dir, experiments.ErrConflict,
				before))
		}
		from[name] = dir
	}
	return errors.Join(problems...)
}
