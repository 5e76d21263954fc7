package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"ablate/experiments"
	"ablate/experiments/export"
	"ablate/experiments/export/mlflow"
)

func newExportMLflow() *cobra.Command {
	var address string
	var weights, noFiles bool
	c := &cobra.Command{
		Use:   "mlflow STUDY",
		Short: "Send a study to an MLflow tracking server",
		Example: `  ablate export mlflow quickstart --to http://127.0.0.1:5000
  MLFLOW_TRACKING_URI=https://mlflow.example.org ablate export mlflow quickstart --weights`,
		Long: `mlflow sends a study to a tracking server. The study becomes an experiment, each
variant a run, and each seed a child run of its variant, with parameters, metrics,
inputs, tags and files. The run "report" holds the table and the page.

The command sends only what the server does not have yet. You can interrupt it, and
repeat it after more training. If --to is not set, MLFLOW_TRACKING_URI names the
server. Credentials come from MLFLOW_TRACKING_USERNAME and
MLFLOW_TRACKING_PASSWORD, or from MLFLOW_TRACKING_TOKEN.

If a server is down or limits its clients, the command tries for 15 seconds. Then
it ends with exit code 75, and the same command sends the rest.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			address = cmp.Or(address, os.Getenv(mlflow.AddressVariable))
			if address == "" {
				return fmt.Errorf("no server: use --to http://HOST:PORT, or set %s", mlflow.AddressVariable)
			}
			name, _, err := order(args[0])
			if err != nil {
				return err
			}
			store, runs, err := exported(c, name)
			if err != nil {
				return err
			}
			sink, err := mlflow.New(address, store)
			if err != nil {
				return err
			}
			sink.Weights, sink.NoFiles = weights, noFiles
			study := export.Study{Name: name, Runs: runs, Keys: export.Varying(runs)}
			if study.Files, err = reportFiles(store, args[0], c.ErrOrStderr()); err != nil {
				return err
			}
			if err := sink.Sync(c.Context(), study); err != nil {
				if c.Context().Err() != nil {
					return &exit{exitInterrupted, errors.New("interrupted; the same command sends the rest")}
				}
				return err
			}
			return printSent(c.OutOrStdout(), sink, runs)
		},
	}
	f := c.Flags()
	f.StringVar(&address, "to", "", "send to the tracking server at `URL`")
	f.BoolVar(&weights, "weights", false, "also send the trained weights")
	f.BoolVar(&noFiles, "no-files", false, "send no files (records, predictions, table, page)")
	c.MarkFlagsMutuallyExclusive("weights", "no-files")
	return c
}

func printSent(w io.Writer, sink *mlflow.Sink, runs []export.Run) error {
	_, err := fmt.Fprintf(w, "%s has %d runs of %s\n", sink.Name(), len(runs), runs[0].Study)
	if n := mlflow.Infinities(runs); n > 0 && err == nil {
		_, err = fmt.Fprintf(w, "%d infinite measurements were sent as ±1.797e308; the tag ablate.not_finite names them\n",
			n)
	}
	return err
}

// reportFiles returns a study's table and page, made from its records.
func reportFiles(store *experiments.Store, study string, warnings io.Writer) ([]export.File, error) {
	r := reporter{store: store, warnings: warnings, out: io.Discard}
	var err error
	if r.study, r.plan, err = order(study); err != nil {
		return nil, err
	}
	return r.files()
}

// files returns the report in the formats that other programs show or read.
func (r *reporter) files() ([]export.File, error) {
	var files []export.File
	for _, f := range []struct{ name, format string }{
		{"report.txt", "text"}, {"report.md", "md"}, {"report.json", "json"}, {"report.html", html},
	} {
		r.format = f.format
		text, _, err := r.render()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		files = append(files, export.File{Name: f.name, Text: text})
	}
	return files, nil
}
