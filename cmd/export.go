package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ablate/experiments"
	"ablate/experiments/export"
	"ablate/experiments/export/tensorboard"
)

func newExport() *cobra.Command {
	c := &cobra.Command{
		Use:   "export",
		Short: "Write records and weights for other programs",
		Example: `  ablate export tensorboard quickstart logs
  ablate export mlflow quickstart --to http://127.0.0.1:5000
  ablate export runs quickstart -o runs.csv
  ablate export onnx quickstart/baseline/1 model.onnx
  ablate export torch quickstart/baseline/1 model`,
		Long: `export writes records in the formats of other programs. It never changes the records.`,
	}
	c.AddCommand(newExportTensorBoard(), newExportMLflow(), newExportONNX(), newExportTorch(),
		newExportModelCard())
	for _, t := range []struct {
		name, what string
		table      func(*experiments.Store, []export.Run) export.Table
	}{
		{"runs", "a row for each run, with the recipe keys that differ and the result",
			func(_ *experiments.Store, runs []export.Run) export.Table { return export.RunTable(runs) }},
		{"metrics", "a row for each measurement",
			func(_ *experiments.Store, runs []export.Run) export.Table { return export.MetricTable(runs) }},
		{"predictions", "a row for each test image in each run", export.PredictionTable},
	} {
		c.AddCommand(newExportTable(t.name, t.what, t.table))
	}
	return c
}

func newExportTensorBoard() *cobra.Command {
	return &cobra.Command{
		Use:     "tensorboard STUDY DIR",
		Short:   "Write TensorBoard event files",
		Example: `  ablate export tensorboard quickstart logs`,
		Long: `tensorboard writes an event file for each attempt to DIR/VARIANT/seed-N; view them
with "tensorboard --logdir DIR". If you run the command again, it adds what has
been logged since. Each variant is a group, so TensorBoard's page HPARAMS averages
over its seeds. Other programs can read the files as well: wandb sync, aim
convert, swanlab convert.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			_, runs, err := exported(c, args[0])
			if err != nil {
				return err
			}
			study := export.Study{Name: args[0], Runs: runs, Keys: export.Varying(runs)}
			return tensorboard.New(args[1]).Sync(c.Context(), study)
		},
	}
}

func newExportTable(name, what string, table func(*experiments.Store, []export.Run) export.Table) *cobra.Command {
	var output, format string
	c := &cobra.Command{
		Use:   name + " STUDY",
		Short: "Write a long table as CSV or Parquet, for pandas or polars: " + what,
		Example: "  ablate export " + name + " quickstart > " + name + ".csv\n" +
			"  ablate export " + name + " quickstart --format parquet -o " + name + ".parquet",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			write, ok := map[string]func(export.Table, io.Writer) error{
				"csv": export.Table.WriteCSV, "parquet": export.Table.WriteParquet,
			}[format]
			if !ok {
				return fmt.Errorf("--format %s: want csv or parquet", format)
			}
			store, runs, err := exported(c, args[0])
			if err != nil {
				return err
			}
			f, isFile := asFile(c.OutOrStdout())
			if format == "parquet" && output == "" {
				if !isFile || term.IsTerminal(int(f.Fd())) {
					return errors.New("--format parquet is binary: name a file with --output, or redirect it")
				}
			}
			var b bytes.Buffer
			if err := write(table(store, runs), &b); err != nil {
				return err
			}
			switch {
			case output != "":
				return writeOutput(output, b.Bytes())
			case format == "parquet": // binary, while standard output escapes control characters
				_, err = f.Write(b.Bytes())
			default:
				_, err = c.OutOrStdout().Write(b.Bytes())
			}
			return err
		},
	}
	c.Flags().StringVar(&format, "format", "csv", "write as `FORMAT`: csv, parquet")
	c.Flags().StringVarP(&output, "output", "o", "", "write to `FILE`, replaced as a whole")
	return c
}

// exported reads a study's runs. It names on stderr those that cannot be read.
func exported(c *cobra.Command, study string) (*experiments.Store, []export.Run, error) {
	store, err := openStore(c)
	if err != nil {
		return nil, nil, err
	}
	runs, problems := export.Runs(store, study)
	for _, p := range problems {
		complain(c.ErrOrStderr(), fmt.Errorf("left out: %w", p))
	}
	if len(runs) == 0 {
		return nil, nil, fmt.Errorf("no runs of %s under %s: train them with ablate run %s", study, store.Root, study)
	}
	return store, runs, nil
}
