package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ablate/configs"
	"ablate/experiments"
	"ablate/runner"
	"ablate/runner/device"
)

type runOptions struct {
	selection
	dryRun   bool
	fresh    bool
	failFast bool
	yes      bool
	devices  string
	retries  int
	sinks    configs.Sinks
	serve    string
}

func newRun() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run STUDY",
		Short: "Train the runs of a study and print its comparison table",
		Example: `  ablate run configs/quickstart.yaml
  ablate run quickstart --set train.epochs=1 --seeds 1
  ablate run cifar10-norm --variants no-lrn --dry-run
  ablate run quickstart --aa
  ablate run cifar10-norm --devices auto`,
		Long: `run trains every variant of a study under every seed, one run after the other or,
with --devices, several at a time. Then it prints the comparison table. STUDY is a
file, or the name of a study that ships with ablate. Runs that are done are skipped.
A run that was stopped, by Ctrl-C or by a crash, continues from its last checkpoint
when you give the same command again, and its result is the same to the last bit.
Processes that run one study at the same time divide its runs among them.

A study that tunes (tune:) first trains its tuning runs, as STUDY.tuning.

Records and the table are written to runs/STUDY/.

Exit codes: 0 all runs are done, 1 a run failed or diverged, 2 usage, config or
data, 3 interrupted, 75 try again later: other processes hold the remaining runs,
the record cannot be written, or a device was lost.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completes(configs.Names),
		RunE:              func(c *cobra.Command, args []string) error { return runStudy(c, args[0], o) },
	}
	o.selection.flags(c)
	f := c.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "print the plan and train nothing")
	f.BoolVar(&o.fresh, "fresh", false, "move the recorded runs aside and train them again")
	f.BoolVar(&o.failFast, "fail-fast", false, "stop after the first run that fails or diverges")
	f.BoolVar(&o.yes, "yes", false, "train even if it is predicted to take more than a year")
	f.StringVar(&o.sinks.TensorBoard, "tensorboard", "", "write TensorBoard event files under `DIR` while training")
	f.StringVar(&o.sinks.MLflow, "mlflow", "", "send the records to the MLflow server at `URL` while training")
	f.StringVar(&o.serve, "serve", "", "show the records folder as pages while training, at `HOST:PORT`")
	f.Lookup("serve").NoOptDefVal = usualAddress
	f.String("device", "auto", deviceUsage)
	f.StringVar(&o.devices, "devices", "",
		"train a run on each device of `LIST` at the same time, each in its own process, such as\n"+
			"cuda:0,cuda:1 or cpu:0,cpu:1; auto lists every GPU, or shares of the cores without one")
	f.IntVar(&o.retries, "retries", 2,
		"with --devices, continue a run up to `N` times after a crash or the loss of its GPU")
	c.MarkFlagsMutuallyExclusive("device", "devices")
	f.Int("threads", 0, threadsUsage)
	addProfiles(c)
	return c
}

func runStudy(c *cobra.Command, name string, o runOptions) error {
	settings, err := settings(c)
	if err != nil {
		return err
	}
	stage, err := o.load(name)
	if err != nil {
		return err
	}
	slots, err := o.slots(c, stage.study, settings, len(stage.jobs))
	if err != nil {
		return err
	}
	devices := device.NewPool(deviceOf(settings, stage.study), settings.Threads)
	if slots != nil { // measure the time on one slot and extrapolate
		devices = device.NewPool(slots[0].Device, slots[0].Threads)
	}
	defer devices.Close()
	store, err := experiments.Open(settings.Runs)
	if err != nil {
		return err
	}
	if o.dryRun {
		return interrupted(c, stage.printStages(c.Context(), c.OutOrStdout(), store, devices, len(slots)))
	}
	ctx := withBrokenPipe(c.Context())
	stopServing, err := o.servePages(ctx, store, c.ErrOrStderr())
	if err != nil {
		return err
	}
	defer stopServing()
	t := training{runOptions: o, settings: settings, store: store, devices: devices, slots: slots,
		out: c.OutOrStdout(), said: c.ErrOrStderr()}
	if stage.study.Tune != nil {
		first, err := stage.tuning()
		if err != nil {
			return err
		}
		fmt.Fprintf(t.said, "first the runs that tune %s, as study %s\n", stage.study.Name, first.study.Name)
		tuning := t
		tuning.failFast = false // a setting that diverges is an answer
		if err := tuning.stage(ctx, first, t.endTuning); err != nil {
			return err
		}
		if stage, err = stage.tuned(store); err != nil {
			return &exit{exitFailed, err}
		}
	}
	return t.stage(ctx, stage, t.endStudy)
}

// A training is what an ablate run trains with.
type training struct {
	runOptions
	settings  configs.Settings
	store     *experiments.Store
	devices   *device.Pool
	slots     []device.Slot
	out, said io.Writer
}

// stage trains one stage. end says what the outcome comes to.
func (t *training) stage(ctx context.Context, s stage,
	end func(context.Context, *configs.Study, runner.Outcome) error) error {
	outward, err := followed(t.sinks, t.settings, s.study, t.store, t.said)
	if err != nil {
		return err
	}
	progress := newProgress(t.said, len(t.slots))
	options := runner.Options{
		Study: s.study, Declares: s.declared, Store: t.store, Devices: t.devices.Get, Fresh: t.fresh, FailFast: t.failFast,
		Checkpoint: s.study.Checkpoint, Command: os.Args, Progress: progress, Confirm: t.confirm,
		Device: deviceOf(t.settings, s.study),
	}
	var outcome runner.Outcome
	if t.slots == nil {
		outcome, err = runner.Execute(ctx, s.jobs, options)
	} else {
		outcome, err = runner.ExecuteOn(ctx, s.jobs, options, runner.Pool{
			Slots: processes(t.slots, t.settings.Runs), Retries: t.retries, Release: t.devices.Close,
		})
	}
	progress.close()
	if err == nil {
		err = end(ctx, s.study, outcome)
	} else {
		err = refused(err)
	}
	outward.ended(outcome, err)
	return err
}

// endStudy prints and writes the table.
func (t *training) endStudy(ctx context.Context, study *configs.Study, out runner.Outcome) error {
	return finishStudy(ctx, t.out, t.said, study, t.store, out)
}

// endTuning reports whether every setting was tried. A setting whose run diverged counts as tried.
func (t *training) endTuning(ctx context.Context, study *configs.Study, out runner.Outcome) error {
	out.Done, out.Diverged = out.Done+out.Diverged, 0
	return ended(ctx, out, "ablate runs "+study.Name+" lists them")
}

// servePages serves the records folder, if --serve asks for it, until the returned function is called.
func (o runOptions) servePages(ctx context.Context, store *experiments.Store, said io.Writer) (stop func(), err error) {
	if o.serve == "" {
		return func() {}, nil
	}
	l, address, token, err := serveFlags{addr: o.serve}.listen()
	if err != nil {
		return nil, fmt.Errorf("--serve: %w", err)
	}
	fmt.Fprintf(said, "%s shows %s while this trains\n", address, store.Root)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := newServer(store, token, false).Serve(ctx, l); err != nil {
			complain(said, fmt.Errorf("--serve: %w; training continues", err))
		}
	}()
	return func() {
		cancel()
		<-ended
	}, nil
}

// slots returns the shares of the machine that --devices asks for, and none without the flag.
func (o runOptions) slots(c *cobra.Command, study *configs.Study, settings configs.Settings,
	runs int) ([]device.Slot, error) {
	for _, name := range []string{"device", "devices"} {
		if v := study.PinnedVariant(); v != "" && c.Flags().Changed(name) {
			return nil, fmt.Errorf("--%s %s: the study sets the devices of its variants itself (%s); drop the flag",
				name, c.Flag(name).Value, v)
		}
	}
	if o.retries < 0 {
		return nil, fmt.Errorf("--retries %d: want at least 0", o.retries)
	}
	if o.devices == "" {
		if c.Flags().Changed("retries") {
			return nil, errors.New("--retries needs --devices; without it, repeat the command")
		}
		return nil, nil
	}
	slots, err := device.Slots(o.devices, settings.Threads, runs)
	if err != nil {
		return nil, fmt.Errorf("--devices: %w", err)
	}
	return slots, nil
}

// processes returns how to start a process of this program for each slot.
func processes(slots []device.Slot, runs string) []runner.PoolSlot {
	var list []runner.PoolSlot
	for _, s := range slots {
		list = append(list, runner.PoolSlot{Name: s.Name, Command: func() *exec.Cmd {
			program, err := os.Executable()
			if err != nil {
				program = os.Args[0]
			}
			threads := fmt.Sprint(s.Threads)
			c := exec.Command(program, "task", "--slot", "--runs", runs, "--device", s.Device, "--threads", threads)
			c.Env = append(os.Environ(), "GOMAXPROCS="+threads) // image loading also stays within the slot's share
			return c
		}})
	}
	return list
}

// Help texts of --device, --parallel and --threads.
const (
	deviceUsage   = "train on `DEVICE`: auto, cpu, cuda:0, or several that share each run, such as cuda:0,cuda:1"
	parallelUsage = "divide `WHAT` among the devices: columns of the net (the default), or data, the images of a batch"
	threadsUsage  = "train with `N` CPU threads, 0 for all cores; the result does not depend on it"
)

// deviceOf returns the devices that a study's runs share: those of the settings, or, if these say
// auto, those of the study.
func deviceOf(settings configs.Settings, study *configs.Study) string {
	if settings.Device == "auto" && study.Device != "" {
		return study.Device
	}
	return settings.Device
}

// confirm refuses a study that would take longer than a year, unless the user gives --yes.
func (o runOptions) confirm(predicted time.Duration) error {
	if predicted < year || o.yes {
		return nil
	}
	return fmt.Errorf("training is predicted to take %s, %s; use --yes to train it anyway",
		about(predicted), until(time.Now(), predicted))
}

// finishStudy prints and writes the table, and turns the outcome into an exit code.
func finishStudy(ctx context.Context, w, warnings io.Writer, study *configs.Study, store *experiments.Store,
	out runner.Outcome) error {
	begun := out != (runner.Outcome{Held: out.Held}) // otherwise there may be nothing to print yet
	if begun && !out.Interrupted && out.Lost == nil {
		if err := writeReports(store, study, warnings); err != nil {
			return err
		}
		if err := printReport(w, warnings, store, study); err != nil {
			return err
		}
	}
	return ended(ctx, out, "the table lists them")
}

// refused adds to the error of a run that cannot be recorded how to continue it.
func refused(err error) error {
	if errors.Is(err, runner.ErrRecord) {
		return &exit{exitLater, fmt.Errorf("%w; saved runs are kept; continue with: %s", err, command(os.Args))}
	}
	return err
}

// ended turns an outcome into an exit code. which tells the user where to see the runs that did not
// finish.
func ended(ctx context.Context, out runner.Outcome, which string) error {
	if out.Interrupted {
		return &exit{exitInterrupted, fmt.Errorf("interrupted; the progress is saved; continue with: %s",
			command(os.Args))}
	}
	if out.Lost != nil {
		return &exit{exitLater, fmt.Errorf("%w; the progress is saved; continue with: %s",
			out.Lost, command(os.Args))}
	}
	if n := out.Failed + out.Diverged; n > 0 {
		return &exit{exitFailed, fmt.Errorf("%d of %d runs did not finish (%d diverged, %d failed); %s",
			n, n+out.Done+out.Skipped, out.Diverged, out.Failed, which)}
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

// command quotes a command line for a shell, with the program by its bare name.
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
