// Package cmd is the command line. It has one file for each command, with its flags, its output and
// its exit codes.
package cmd

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"ablate/configs"
	"ablate/experiments"
	"ablate/experiments/export/mlflow"
	"ablate/runner/engine"
)

// Exit codes, the same for every command.
const (
	exitDone        = 0
	exitFailed      = 1 // a run failed or diverged, or the output cannot be written
	exitUsage       = 2 // a flag, a config or the data is wrong; nothing was started
	exitInterrupted = 3 // stopped by Ctrl-C, SIGTERM or SIGHUP; the same command continues
	// held by another process, record not writable, device lost, server down: try later (EX_TEMPFAIL of sysexits.h)
	exitLater = 75
)

// An exit is an error that chooses its own exit code.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

// stopSignals are the signals that cancel the work: Ctrl-C, SIGTERM and SIGHUP. SIGHUP, the end of
// a terminal, is left out if it is ignored, as under nohup.
func stopSignals() []os.Signal {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// Execute runs the command line and returns the process's exit code. Signals cancel the work.
func Execute(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process without a checkpoint
	out := &printable{w: stdout}
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil && out.err != nil {
		err = out.err
	}
	if err == nil {
		return exitDone
	}
	if err.Error() != "" {
		complain(stderr, err)
	}
	if out.err != nil && errors.Is(err, out.err) {
		return exitFailed
	}
	return exitCode(err)
}

// exitCode returns the exit code for an error: its own, if it has one, or that of its kind.
func exitCode(err error) int {
	var chosen *exit
	var unwritten *experiments.WriteError
	switch {
	case errors.As(err, &chosen):
		return chosen.code
	case errors.As(err, &unwritten), errors.Is(err, experiments.ErrBusy), errors.Is(err, experiments.ErrLost),
		errors.Is(err, engine.ErrDeviceLost), errors.Is(err, mlflow.ErrUnavailable):
		return exitLater
	}
	return exitUsage
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "ablate",
		Short: "Find out which parts of a network earn their place",
		Example: `  ablate run quickstart          train a small study and print its table
  ablate report quickstart       print the table again
  ablate nets alexnet            show a net, layer by layer
  ablate ablations               list the ablations, and who claimed what`,
		Long: `ablate reads a study in YAML, trains a net and its ablated variants under the
same seeds, records every run and prints a comparison that says which differences
are real.

Settings also come from the environment (ABLATE_RUNS, ABLATE_DEVICE,
ABLATE_THREADS) and from ablate.yaml in the current folder.

Exit codes: 0 done, 1 a run failed, 2 usage or config, 3 interrupted (the same
command continues), 75 try again later (another process holds the run, the
record cannot be written, or a device was lost).`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate(usageTemplate)
	root.Version = version()
	root.SetVersionTemplate("ablate {{.Version}}\n")
	root.PersistentFlags().String("runs", "runs", "keep the records of runs in `FOLDER`")
	for _, group := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"studies", "Studies:", []*cobra.Command{
			newRun(), newReport(), newCompare(), newServe(), newVerify(), newEvaluate(), newPredict(),
		}},
		{"records", "Records:", []*cobra.Command{
			newRuns(), newShow(), newDiff(), newNote(), newTag(), newImport(), newExport(),
		}},
		{"reference", "Reference:", []*cobra.Command{newNets(), newAblations(), newLedger(), newData(), newSchema()}},
		{"cluster", "Clusters:", []*cobra.Command{newPlan(), newTask(), newSubmit(), newStatus(), newCancel()}},
		{"machine", "This machine:", []*cobra.Command{newBench(), newDoctor()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.id, Title: group.title})
		for _, c := range group.commands {
			c.GroupID = group.id
			root.AddCommand(c)
		}
	}
	root.AddCommand(newNotices())
	return root
}

// settings combines the flags, the environment and ablate.yaml.
func settings(c *cobra.Command) (configs.Settings, error) { return configs.LoadSettings(c.Flags()) }
