package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"ablate/configs"
	"ablate/experiments"
	"ablate/reports"
	"ablate/runner"
	"ablate/runner/device"
)

type runOptions struct {
	sets     []string
	variants []string
	seeds    int
	dryRun   bool
	fresh    bool
	failFast bool
	yes      bool
	only     []string
	every    string
	parallel string
}

func newRun() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run STUDY",
		Short: "Train what a study asks for and print its comparison table",
		Example: `  ablate run configs/quickstart.yaml
  ablate run quickstart --set train.epochs=1 --seeds 1
  ablate run cifar10-norm --variants no-lrn --dry-run`,
		Long: `run trains every variant of a study under every seed, one run after the other,
and prints the comparison table. STUDY is a file or the name of a study that
ships with ablate. Runs that are done are skipped, and a run that was stopped,
by Ctrl-C or by a crash, continues from its last checkpoint when the same command
is given again. The result is the same to the last bit. Processes that run one
study at the same time divide its runs among them.

Records and the table are written under runs/STUDY/.

Exit codes: 0 all runs are done, 1 a run failed or diverged, 2 usage, config or
data, 3 interrupted, 75 try again later: other processes hold what is left, the
record cannot be written, or a device was lost.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completes(configs.Names),
		RunE:              func(c *cobra.Command, args []string) error { return runStudy(c, args[0], o) },
	}
	f := c.Flags()
	f.StringArrayVar(&o.sets, "set", nil, "override a key of the study: `KEY=VALUE`, such as train.epochs=1 (repeatable)")
	f.StringSliceVar(&o.variants, "variants", nil, "run only these variants, and the baseline: `NAME,…`")
	f.IntVar(&o.seeds, "seeds", 0, "run only the first `N` seeds")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan and train nothing")
	f.BoolVar(&o.fresh, "fresh", false, "set the recorded runs aside and train again")
	f.StringSliceVar(&o.only, "only", nil, "train only these runs, `VARIANT/SEED` (repeatable)")
	f.BoolVar(&o.failFast, "fail-fast", false, "end with the first run that fails or diverges")
	f.StringVar(&o.every, "checkpoint-every", "",
		"save an unfinished run every `INTERVAL`: 10m, 2 epochs, 100 steps, or never (only on Ctrl-C);\n"+
			"without the flag as the study says, or every 10m")
	f.BoolVar(&o.yes, "yes", false, "train even if that is predicted to take more than a year")
	f.String("device", "auto", deviceUsage)
	f.StringVar(&o.parallel, "parallel", "", parallelUsage)
	f.Int("threads", 0, threadsUsage)
	addProfiles(c)
	return c
}

func runStudy(c *cobra.Command, name string, o runOptions) error {
	settings, err := settings(c)
	if err != nil {
		return err
	}
	if o.parallel != "" {
		o.sets = append(o.sets, "parallel="+o.parallel)
	}
	study, err := configs.Load(name, o.sets)
	if err != nil {
		return err
	}
	declared := declares(study) // before flags leave out some of it: they change no family of comparisons
	if _, err := reports.ParseAt(declared.At); err != nil {
		return fmt.Errorf("study %s: report.at: %w", study.Name, err)
	}
	if err := o.narrow(study); err != nil {
		return err
	}
	if o.every != "" {
		if study.Checkpoint, err = configs.ParseInterval(o.every); err != nil {
			return fmt.Errorf("--checkpoint-every: %w", err)
		}
	}
	jobs, err := runner.Plan(study)
	if err != nil {
		return err
	}
	if jobs, err = o.pick(jobs); err != nil {
		return err
	}
	if v := study.PinnedVariant(); v != "" && c.Flags().Changed("device") {
		return fmt.Errorf("--device %s: the study says itself where its variants train (%s); leave it out",
			settings.Device, v)
	}
	list := settings.Device
	if list == "auto" && study.Device != "" {
		list = study.Device
	}
	devices := device.NewPool(list, settings.Threads)
	defer devices.Close()
	if o.dryRun {
		return interrupted(c, printPlan(c.Context(), c.OutOrStdout(), study, jobs, devices))
	}
	store, err := experiments.Open(settings.Runs)
	if err != nil {
		return err
	}
	// Whoever reads the progress may be gone: the run is then saved as after Ctrl-C.
	// The signal stays caught, or the last message would end the process by it.
	ctx, _ := signal.NotifyContext(c.Context(), syscall.SIGPIPE)
	progress := newProgress(c.ErrOrStderr())
	outcome, err := runner.Execute(ctx, jobs, runner.Options{
		Study: study, Declares: declared, Store: store, Devices: devices.Get, Fresh: o.fresh, FailFast: o.failFast,
		Checkpoint: study.Checkpoint, Command: os.Args, Progress: progress, Confirm: o.confirm,
	})
	progress.close()
	if errors.Is(err, runner.ErrRecord) {
		return &exit{exitLater, fmt.Errorf("%w; what is saved is kept; continue with: %s", err, command(os.Args))}
	}
	if err != nil {
		return err
	}
	return finishStudy(ctx, c.OutOrStdout(), c.ErrOrStderr(), study, store, outcome)
}

// What --device, --parallel and --threads take.
const (
	deviceUsage   = "train on `DEVICE`: auto, cpu, cuda:0, or several that share a run, such as cuda:0,cuda:1"
	parallelUsage = "divide among devices `WHAT`: columns of the net (the default), or data, the images of a batch"
	threadsUsage  = "train with `N` CPU threads, 0 for all cores; the result does not depend on it"
)

// narrow keeps the variants and seeds asked for. The baseline always stays: all others are compared with it.
func (o runOptions) narrow(s *configs.Study) error {
	if o.seeds < 0 || o.seeds > len(s.Seeds) {
		return fmt.Errorf("--seeds %d: the study has %d; for more write --set seeds=%d",
			o.seeds, len(s.Seeds), max(o.seeds, 1))
	}
	if o.seeds > 0 {
		s.Seeds = s.Seeds[:o.seeds]
	}
	if len(o.variants) == 0 {
		return nil
	}
	names := variantNames(s)
	for _, want := range o.variants {
		if !slices.Contains(names, want) {
			return fmt.Errorf("--variants %s: the study has %s", want, strings.Join(names, ", "))
		}
	}
	baseline := s.Variants[0].Name
	s.Variants = slices.DeleteFunc(s.Variants, func(v configs.Variant) bool {
		return v.Name != baseline && !slices.Contains(o.variants, v.Name)
	})
	return nil
}

// confirm refuses a study that takes longer than anybody waits, unless --yes says that it is meant.
func (o runOptions) confirm(predicted time.Duration) error {
	if predicted < year || o.yes {
		return nil
	}
	return fmt.Errorf("training is predicted to take %s, %s; give --yes if that is meant",
		about(predicted), until(time.Now(), predicted))
}

// pick keeps the runs that --only names.
func (o runOptions) pick(jobs []runner.Job) ([]runner.Job, error) {
	if len(o.only) == 0 {
		return jobs, nil
	}
	var picked []runner.Job
	for _, want := range o.only {
		i := slices.IndexFunc(jobs, func(j runner.Job) bool {
			return fmt.Sprintf("%s/%d", j.Variant.Name, j.Seed) == want
		})
		if i < 0 {
			return nil, fmt.Errorf("--only %s: the study has no such run; write VARIANT/SEED, as in --only %s/%d",
				want, jobs[0].Variant.Name, jobs[0].Seed)
		}
		picked = append(picked, jobs[i])
	}
	return picked, nil
}

// finishStudy prints and writes the table and turns the outcome into an exit code.
func finishStudy(ctx context.Context, w, warnings io.Writer, study *configs.Study, store *experiments.Store,
	out runner.Outcome) error {
	if out.Interrupted {
		return &exit{exitInterrupted, fmt.Errorf("interrupted; what is trained is kept; continue with: %s",
			command(os.Args))}
	}
	if out.Lost != nil {
		return &exit{exitLater, fmt.Errorf("%w; what is trained is kept; continue with: %s",
			out.Lost, command(os.Args))}
	}
	if out != (runner.Outcome{Held: out.Held}) { // else there may be nothing to print yet
		if err := writeReports(store, study, warnings); err != nil {
			return err
		}
		if err := printReport(w, warnings, store, study); err != nil {
			return err
		}
	}
	if n := out.Failed + out.Diverged; n > 0 {
		return &exit{exitFailed, fmt.Errorf("%d of %d runs did not finish (%d diverged, %d failed); the table says which",
			n, n+out.Done+out.Skipped, out.Diverged, out.Failed)}
	}
	if out.Held > 0 {
		return &exit{exitLater, fmt.Errorf("%d of %d runs are held by other processes; try again later with: %s",
			out.Held, out.Held+out.Done+out.Skipped, command(os.Args))}
	}
	return ctxError(ctx)
}

func ctxError(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return &exit{exitInterrupted, ctx.Err()}
	}
	return nil
}

// command is a command line as a shell takes it, the program by its bare name.
func command(args []string) string {
	words := []string{"ablate"}
	for _, a := range args[1:] {
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$`*?[](){}<>|&;~#!") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}
