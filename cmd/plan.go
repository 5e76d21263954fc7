package cmd

import (
	"bytes"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ablate/configs"
	"ablate/experiments"
	"ablate/runner"
)

func newPlan() *cobra.Command {
	var s selection
	var output, program string
	var pack int
	c := &cobra.Command{
		Use:   "plan STUDY",
		Short: "Freeze a study, so that other machines can train its runs",
		Example: `  ablate plan cifar10-norm -o plan.json
  ablate task plan.json 0-3
  ablate plan study.yaml --set train.epochs=1 --program ./ablate-linux > plan.json`,
		Long: `plan writes everything that the runs of a study need: recipes with every default,
seeds, and the runs as numbered tasks, all variants of the first seed first.
ablate task trains tasks of the plan. Later edits of the study, of a net or of
ablate.yaml do not change the tasks. A plan names the build of ablate that trains
it, and other builds refuse it.

A study that tunes (tune:) has two plans. The first is for the runs that tune it;
once these are done, the same command makes the plan of the study itself.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completes(configs.Names),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := openStore(c)
			if err != nil {
				return err
			}
			plan, err := s.freeze(args[0], program, store, c.ErrOrStderr())
			if err != nil {
				return err
			}
			if pack < 0 {
				return fmt.Errorf("--pack %d: want at least 1", pack)
			}
			if pack > 0 {
				all := make([]int, len(plan.Tasks))
				for i := range all {
					all[i] = i
				}
				plan.Pack(all, pack, nil, 0)
			}
			var text bytes.Buffer
			if err := plan.Write(&text); err != nil {
				return err
			}
			if output != "" {
				return writeOutput(output, text.Bytes())
			}
			_, err = c.OutOrStdout().Write(text.Bytes())
			return err
		},
	}
	s.flags(c)
	c.Flags().StringVarP(&output, "output", "o", "", "write to `FILE`, which is replaced as a whole")
	c.Flags().IntVar(&pack, "pack", 0, "put `N` runs into each group, for ablate task --group")
	c.Flags().StringVar(&program, "program", "", programUsage)
	return c
}

const programUsage = "train with the program in `FILE`, such as a build for another system (default: this one)"

// freeze makes a plan from the selected runs of a study, or from the runs that tune it until these are done.
func (s *selection) freeze(name, program string, store *experiments.Store, said io.Writer) (*runner.Frozen, error) {
	all, err := s.load(name)
	if err != nil {
		return nil, err
	}
	now, err := all.next(store, said)
	if err != nil {
		return nil, err
	}
	digest, err := runner.DigestProgram(program)
	if err != nil {
		return nil, err
	}
	return runner.Freeze(now.study, now.declared, now.jobs, digest)
}
