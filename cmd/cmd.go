// Package cmd is the command line: one file a command, flags, printing and exit codes.
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
	exitUsage       = 2 // a flag, a config or the data is wrong; nothing was begun
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

// stopSignals are the signals that cancel what runs: Ctrl-C, SIGTERM and, where it
// is not ignored as under nohup, a terminal that is closed.
func stopSignals() []os.Signal {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// Execute runs the command line and returns the process's exit code. Signals cancel what runs.
func Execute(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	defer stop()
	context.AfterFunc(ctx, stop) // who asks twice does not want to wait for the checkpoint
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

// exitCode is the exit code of an error: what it chose itself, or what kind it is of.
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
  ablate nets alexnet            a net, layer by layer
  ablate ablations               what can be taken away, and who claimed what`,
		Long: `ablate reads a study in YAML, trains a net and its ablated variants under the
same seeds, records every run and prints a comparison that says what is a real
difference and what is not.

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
	root.PersistentFlags().String("runs", "runs", "keep the record of runs in `FOLDER`")
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
		{"reference", "What there is:", []*cobra.Command{newNets(), newAblations(), newLedger(), newData(), newSchema()}},
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

// settings joins flags, environment and ablate.yaml.
func settings(c *cobra.Command) (configs.Settings, error) { return configs.LoadSettings(c.Flags()) }
