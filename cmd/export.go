package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ablate/experiments"
	"ablate/experiments/export"
	"ablate/experiments/export/onnx"
	"ablate/experiments/export/tensorboard"
	"ablate/experiments/export/torch"
	"ablate/recipe"
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
		Long: `export writes what was recorded in the form that another program reads. The
records stay as they are.`,
	}
	c.AddCommand(newExportTensorBoard(), newExportMLflow(), newExportONNX(), newExportTorch())
	for _, t := range []struct {
		name, what string
		write      func(io.Writer, *experiments.Store, []export.Run) error
	}{
		{"runs", "a line a run: what differs between the recipes, and how it ended",
			func(w io.Writer, _ *experiments.Store, runs []export.Run) error {
				return export.WriteRuns(w, runs)
			}},
		{"metrics", "a line a measurement", func(w io.Writer, _ *experiments.Store, runs []export.Run) error {
			return export.WriteMetrics(w, runs)
		}},
		{"predictions", "a line a test image and run", export.WritePredictions},
	} {
		c.AddCommand(newExportTable(t.name, t.what, t.write))
	}
	return c
}

func newExportTensorBoard() *cobra.Command {
	return &cobra.Command{
		Use:     "tensorboard STUDY DIR",
		Short:   "Write TensorBoard event files: scalars, and hyperparameters with a group for each variant",
		Example: `  ablate export tensorboard quickstart logs`,
		Long: `tensorboard writes DIR/VARIANT/seed-N, an event file for each attempt, which
"tensorboard --logdir DIR" shows. Given again, it adds what was logged since and
repeats nothing. TensorBoard's page HPARAMS averages over the seeds of a variant,
since each variant is a group there. What reads event files takes them too: wandb
sync, aim convert, swanlab convert.`,
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

func newExportTable(name, what string, write func(io.Writer, *experiments.Store, []export.Run) error) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     name + " STUDY",
		Short:   "Write a long table as CSV, for pandas or polars: " + what,
		Example: "  ablate export " + name + " quickstart > " + name + ".csv",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			store, runs, err := exported(c, args[0])
			if err != nil {
				return err
			}
			var b bytes.Buffer
			if err := write(&b, store, runs); err != nil {
				return err
			}
			if output != "" {
				return writeOutput(output, b.Bytes())
			}
			_, err = c.OutOrStdout().Write(b.Bytes())
			return err
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "write to `FILE`, replaced as a whole")
	return c
}

func newExportONNX() *cobra.Command {
	return &cobra.Command{
		Use:     "onnx RUN FILE",
		Short:   "Write a run's trained net as an ONNX model",
		Example: `  ablate export onnx quickstart/baseline/1 model.onnx`,
		Long: `onnx writes the net as it evaluates images (opset 17): NCHW in, mean subtracted
and scaled as the recipe says, and the logarithm of each class's probability out.
A kind of layer that ONNX has no operators for is an error that names it.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			r, weights, err := trained(c, args[0])
			if err != nil {
				return err
			}
			model, err := onnx.Model(r.Net, weights)
			if err != nil {
				return err
			}
			return writeOutput(args[1], model)
		},
	}
}

func newExportTorch() *cobra.Command {
	return &cobra.Command{
		Use:     "torch RUN DIR",
		Short:   "Write a run's trained net for PyTorch: weights in its layout, and the code that builds it",
		Example: `  ablate export torch quickstart/baseline/1 model`,
		Long: `torch writes DIR/model.safetensors, a state dict in PyTorch's layout, and
DIR/model.py, which builds the net and loads it without ablate. Trained from
alexnet-torchvision, the names are torchvision's.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			r, weights, err := trained(c, args[0])
			if err != nil {
				return err
			}
			model, err := torch.New(r.Net, weights)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(args[1], 0o755); err != nil {
				return err
			}
			return errors.Join(
				experiments.SaveTensors(filepath.Join(args[1], "model.safetensors"), model.Tensors,
					map[string]string{"format": "pt"}),
				experiments.WriteFile(filepath.Join(args[1], "model.py"), model.Source))
		},
	}
}

// exported reads a study's runs. Those that cannot be read are named on stderr.
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

// trained reads the recipe and the weights of a run that is done.
func trained(c *cobra.Command, name string) (recipe.Recipe, export.Weights, error) {
	store, err := openStore(c)
	if err != nil {
		return recipe.Recipe{}, nil, err
	}
	dir, err := store.Find(name)
	if err != nil {
		return recipe.Recipe{}, nil, err
	}
	rec, err := experiments.ReadRecord(dir)
	if err != nil {
		return recipe.Recipe{}, nil, err
	}
	if rec.Status != experiments.Done {
		return recipe.Recipe{}, nil, fmt.Errorf("%s is %s: only a run that is done has weights", name, rec.Status)
	}
	r, err := recipe.Decode(rec.Recipe)
	if err != nil {
		return r, nil, fmt.Errorf("%s: %w", name, err)
	}
	weights, err := export.ReadWeights(dir)
	return r, weights, err
}
