package cmd

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"ablate/ablations"
	"ablate/experiments"
	"ablate/runner"
	"ablate/runner/device"
)

func newTask() *cobra.Command {
	var slot, report bool
	group := -1
	c := &cobra.Command{
		Use:   "task PLAN TASK…",
		Short: "Train tasks of a plan, for batch systems",
		Example: `  ablate plan cifar10-norm -o plan.json
  ablate task plan.json 7
  ablate task plan.json 0-3,8 --device cuda:0
  ablate task plan.json --group "$AWS_BATCH_JOB_ARRAY_INDEX"
  ablate task plan.json --report`,
		Long: `task trains runs of a plan that ablate plan has made, by their numbers from 0. It
writes only the folders of these runs: no table, no index. Runs that are done are
skipped, and unfinished ones continue. Any batch system that can start a command and
check its exit code can train a study in this way; docs/cluster.md shows how. --group
trains the runs that ablate plan --pack put together. --report trains nothing: it
writes the same table as ablate run.

Exit codes: 0 all are done, 1 one failed or diverged, 2 usage, plan or data, 3
interrupted and saved: start the same task again, 75 try again later: another
process holds the run, the record cannot be written, or a device was lost.`,
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case slot:
				return cobra.NoArgs(c, args)
			case report, group >= 0:
				return cobra.ExactArgs(1)(c, args)
			}
			return cobra.MinimumNArgs(2)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if slot {
				return serveSlot(c)
			}
			plan, err := runner.OpenFrozen(args[0])
			if err != nil {
				return err
			}
			var tasks []int
			switch {
			case report:
				return reportPlan(c, plan)
			case group >= 0:
				tasks, err = plan.Group(group)
			default:
				tasks, err = runner.ParseTasks(args[1:])
			}
			if err != nil {
				return err
			}
			return trainTasks(c, plan, tasks)
		},
	}
	c.Flags().IntVar(&group, "group", -1, "train group `N` of the plan, from 0")
	c.Flags().BoolVar(&report, "report", false, "train nothing, but write report.txt and report.md of the study")
	c.MarkFlagsMutuallyExclusive("group", "report")
	c.Flags().String("device", "auto", deviceUsage)
	c.Flags().Int("threads", 0, threadsUsage)
	c.Flags().BoolVar(&slot, "slot", false, "take tasks from an ablate run --devices, by standard input and output")
	c.Flags().Lookup("slot").Hidden = true // for processes that this program starts itself
	return c
}

func serveSlot(c *cobra.Command) error {
	settings, err := settings(c)
	if err != nil {
		return err
	}
	store, err := experiments.Open(settings.Runs)
	if err != nil {
		return err
	}
	devices := device.NewPool(settings.Device, settings.Threads)
	defer devices.Close()
	out, ok := asFile(c.OutOrStdout())
	if !ok {
		out = os.Stdout
	}
	return runner.ServeSlot(c.Context(), os.Stdin, out, store, devices.Get, settings.Device)
}

// reportPlan writes the table of a plan's study.
func reportPlan(c *cobra.Command, plan *runner.Frozen) error {
	store, err := openStore(c)
	if err != nil {
		return err
	}
	all, err := runner.ParseTasks([]string{fmt.Sprintf("0-%d", len(plan.Tasks)-1)})
	if err != nil {
		return err
	}
	study, _, err := plan.Thaw(all)
	if err != nil {
		return err
	}
	study.Design = ablations.Design(plan.Study.Design)
	return writeReports(store, study, c.ErrOrStderr())
}

func trainTasks(c *cobra.Command, plan *runner.Frozen, tasks []int) error {
	settings, err := settings(c)
	if err != nil {
		return err
	}
	program, err := runner.DigestProgram("")
	if err != nil {
		return err
	}
	if err := plan.CheckProgram(program); err != nil {
		return err
	}
	study, jobs, err := plan.Thaw(tasks)
	if err != nil {
		return err
	}
	store, err := experiments.Open(settings.Runs)
	if err != nil {
		return err
	}
	devices := device.NewPool(deviceOf(settings, study), settings.Threads)
	defer devices.Close()
	ctx := withBrokenPipe(c.Context())
	progress := newProgress(c.ErrOrStderr(), 1)
	outcome, err := runner.Execute(ctx, jobs, runner.Options{
		Study: study, Store: store, Devices: devices.Get, Checkpoint: study.Checkpoint, Command: os.Args,
		Progress: progress, Device: deviceOf(settings, study),
	})
	progress.close()
	if err != nil {
		return refused(err)
	}
	return ended(ctx, outcome, "ablate runs "+study.Name+" lists them")
}

// withBrokenPipe returns a context that also ends when the reader of the progress has gone; the run
// is then saved as after Ctrl-C. The signal stays caught, because otherwise the last message would
// end the process.
func withBrokenPipe(ctx context.Context) context.Context {
	ctx, _ = signal.NotifyContext(ctx, syscall.SIGPIPE)
	return ctx
}
