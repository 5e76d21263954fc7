package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ablate/experiments"
	"ablate/experiments/export"
	"ablate/experiments/export/onnx"
	"ablate/experiments/export/peer"
	"ablate/experiments/export/torch"
	"ablate/recipe"
	"ablate/runner"
	"ablate/runner/device"
)

func newExportONNX() *cobra.Command {
	var preprocess, check bool
	c := &cobra.Command{
		Use:   "onnx RUN FILE",
		Short: "Write a run's trained net as an ONNX model",
		Example: `  ablate export onnx quickstart/baseline/1 model.onnx
  ablate export onnx quickstart/baseline/1 model.onnx --preprocess --check`,
		Long: `onnx writes the net as it evaluates images (opset 17). Its input is NCHW, with the
mean subtracted and scaled as the recipe says; its output is the logarithm of each
class's probability. With --preprocess the input is images as the data set holds
them, bytes of [N, height, width, channels], and the model crops their centre,
subtracts the mean image and scales them. A layer kind without ONNX operators is an
error that names it.

--check runs the model with onnxruntime on a batch of test images before the file
is written, and compares each log probability with that of ablate's own net.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := trained(c, args[0])
			if err != nil {
				return err
			}
			var images *export.Images
			if preprocess {
				if images, err = export.ReadImages(r.dir); err != nil {
					return fmt.Errorf("--preprocess: %w", err)
				}
			}
			model, err := onnx.Model(r.recipe.Net, r.weights, images)
			if err != nil {
				return err
			}
			if check {
				err := r.check(c, func(ctx context.Context, s peer.Sample) (peer.Check, error) {
					return peer.ONNX(ctx, model, preprocess, s)
				})
				if err != nil {
					return err
				}
			}
			return writeOutput(args[1], model)
		},
	}
	c.Flags().BoolVar(&preprocess, "preprocess", false, "let the model take raw images and prepare them itself")
	c.Flags().BoolVar(&check, "check", false, "compare with ablate's own net, using Python and onnxruntime")
	return c
}

func newExportTorch() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use:   "torch RUN DIR",
		Short: "Write a run's trained net for PyTorch: weights in its layout, and the code that builds it",
		Example: `  ablate export torch quickstart/baseline/1 model
  ablate export torch quickstart/baseline/1 model --check`,
		Long: `torch writes DIR/model.safetensors, a state dict in PyTorch's layout, and
DIR/model.py, which builds the net and loads it without ablate. A net trained from
alexnet-torchvision has torchvision's parameter names.

--check runs both with PyTorch on a batch of test images before they are written,
and compares each log probability with that of ablate's own net.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := trained(c, args[0])
			if err != nil {
				return err
			}
			model, err := torch.New(r.recipe.Net, r.weights)
			if err != nil {
				return err
			}
			if check {
				err := r.check(c, func(ctx context.Context, s peer.Sample) (peer.Check, error) {
					return checkTorch(ctx, model, s)
				})
				if err != nil {
					return err
				}
			}
			if err := os.MkdirAll(args[1], 0o755); err != nil {
				return err
			}
			return writeTorch(args[1], model)
		},
	}
	c.Flags().BoolVar(&check, "check", false, "compare with ablate's own net, using Python and PyTorch")
	return c
}

func writeTorch(dir string, model torch.Model) error {
	path := filepath.Join(dir, "model.safetensors")
	err := experiments.SaveTensors(path, model.Tensors, map[string]string{"format": "pt"})
	if err != nil {
		return err
	}
	return experiments.WriteFile(filepath.Join(dir, "model.py"), model.Source)
}

func checkTorch(ctx context.Context, model torch.Model, s peer.Sample) (peer.Check, error) {
	dir, err := os.MkdirTemp("", "ablate-torch-")
	if err != nil {
		return peer.Check{}, err
	}
	defer os.RemoveAll(dir)
	if err := writeTorch(dir, model); err != nil {
		return peer.Check{}, err
	}
	return peer.Torch(ctx, dir, s)
}

// A trainedRun is a finished run with its weights.
type trainedRun struct {
	name, dir string
	record    experiments.Record
	recipe    recipe.Recipe
	weights   export.Weights
}

// trained reads a finished run.
func trained(c *cobra.Command, name string) (trainedRun, error) {
	r := trainedRun{name: name}
	store, err := openStore(c)
	if err != nil {
		return r, err
	}
	if r.record, r.dir, err = store.Read(name); err != nil {
		return r, err
	}
	if r.record.Status != experiments.Done {
		return r, fmt.Errorf("%s is %s: only a finished run has weights", name, r.record.Status)
	}
	if r.recipe, err = recipe.Decode(r.record.Recipe); err != nil {
		return r, fmt.Errorf("%s: %w", name, err)
	}
	r.weights, err = export.ReadWeights(r.dir)
	return r, err
}

// check has a peer run the exported net, and compares the result with that of ablate's own net on
// the same images.
func (r trainedRun) check(c *cobra.Command, by func(context.Context, peer.Sample) (peer.Check, error)) error {
	group, err := device.Open("cpu", 0)
	if err != nil {
		return err
	}
	defer group.Close()
	sample, err := runner.Sample(c.Context(), r.record, r.dir, group)
	if err != nil {
		return fmt.Errorf("--check %s: %w", r.name, err)
	}
	said, err := by(c.Context(), sample)
	if errors.Is(err, peer.ErrUnequal) {
		return &exit{exitFailed, fmt.Errorf("--check %s: %w; nothing was written", r.name, err)}
	}
	if err != nil {
		return fmt.Errorf("--check %s: %w; nothing was written", r.name, err)
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", r.name, said)
	return err
}
