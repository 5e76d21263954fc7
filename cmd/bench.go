package cmd

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ablate/ablations"
	"ablate/arch"
	"ablate/configs"
	"ablate/recipe"
	"ablate/runner"
	"ablate/runner/device"
	"ablate/runner/engine"
)

func newBench() *cobra.Command {
	var (
		names        []string
		batch, steps int
		list         string
		parallel     string
		precision    string
		threads      int
		whole        bool
		asJSON       bool
	)
	c := &cobra.Command{
		Use:   "bench NET",
		Short: "Time a net's training step, kernel by kernel, against the machine's limits",
		Example: `  ablate bench alexnet
  ablate bench alexnet --ablate no-lrn --batch 64
  ablate bench cifar-quick --threads 1 --json
  ablate bench alexnet --device cpu:0,cpu:1
  ablate bench alexnet --device cuda:0 --batch 256 --precision tf32
  ablate bench alexnet --whole                  # images a second, without the kernels`,
		Long: `bench measures the limits of the machine (fused multiply-adds and memory traffic per
second, with all threads). Then it times whole training steps of a net on random
images in memory: forward, loss, backward, update. For each kernel it prints the
share of the limit that binds it.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completes(arch.Nets.Names),
		RunE: func(c *cobra.Command, args []string) error {
			net, err := ablated(args[0], names)
			if err != nil {
				return err
			}
			if batch < 1 || steps < 1 {
				return fmt.Errorf("--batch is %d and --steps is %d: both must be at least 1", batch, steps)
			}
			train := recipe.Train{Batch: batch}
			if train.MicroBatches, err = configs.Parallel(parallel).Chunks(0); err != nil {
				return fmt.Errorf("--parallel: %w", err)
			}
			if train.Precision, err = recipe.ParsePrecision(precision); err != nil {
				return fmt.Errorf("--precision: %w", err)
			}
			group, err := device.Open(list, threads)
			if err != nil {
				return err
			}
			defer group.Close()
			b, err := runner.Benchmark(c.Context(), net, group, train, steps, whole)
			if errors.Is(err, engine.ErrPlacement) {
				return err
			}
			if err != nil {
				return &exit{exitFailed, err}
			}
			if len(names) > 0 {
				b.Net += " " + strings.Join(names, " ")
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), b)
			}
			return printBench(c.OutOrStdout(), b)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&names, "ablate", nil, "apply these ablations to the net first: `NAME,…`")
	f.IntVar(&batch, "batch", 128, "train `N` images in a step")
	f.IntVar(&steps, "steps", 5, "time `N` steps, after a warm-up")
	f.StringVar(&list, "device", "auto", deviceUsage)
	f.StringVar(&parallel, "parallel", "", parallelUsage)
	f.StringVar(&precision, "precision", recipe.Float32.String(),
		"multiply in `PRECISION`: float32, or on a GPU tf32 or bf16")
	f.IntVar(&threads, "threads", 0, threadsUsage)
	f.BoolVar(&whole, "whole", false, "time whole steps alone, without kernels and limits")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	addProfiles(c)
	return c
}

// ablated returns a net, by its registered name or from a file, with ablations applied.
func ablated(name string, names []string) (*arch.Net, error) {
	net, err := arch.Nets.Load(name)
	if err != nil {
		return nil, err
	}
	recipe := recipe.Defaults()
	recipe.Net = net
	for _, n := range names {
		a, err := ablations.Catalogue.Get(n)
		if err != nil {
			return nil, err
		}
		if recipe, err = ablations.Apply(recipe, a.For(net.Name)...); err != nil {
			return nil, fmt.Errorf("%s on %s: %w", n, net.Name, err)
		}
	}
	return recipe.Net, nil
}

func printBench(w io.Writer, b *runner.Bench) error {
	fmt.Fprintf(w, "%s · batch %d · %s\n", b.Net, b.Batch, b.Hardware)
	if b.Kernels == nil {
		_, err := fmt.Fprintf(w, "%.1f images/s · %.3f ms a step · %.0f GFLOP/s · %.0f MiB of activations\n",
			b.ImagesPerSecond, 1e3*float64(b.Batch)/b.ImagesPerSecond, b.GFLOPS, b.ActivationsMiB)
		return err
	}
	fmt.Fprintf(w, "limits, measured: %.0f GFLOP/s, %.1f GB/s\n", b.PeakGFLOPS, b.PeakGBs)
	fmt.Fprintf(w, "%.1f images/s · %.0f GFLOP/s, %.0f %% of the limit · %.0f MiB of activations",
		b.ImagesPerSecond, b.GFLOPS,
		100*b.GFLOPS/b.PeakGFLOPS, b.ActivationsMiB)
	if b.PeakRSSMiB > 0 {
		fmt.Fprintf(w, " · %d MiB resident at most", b.PeakRSSMiB)
	}
	if b.BytesMoved > 0 {
		fmt.Fprintf(w, "\neach step moves %s between %s, in %.1f ms",
			megabytes(b.BytesMoved), b.Device, 1e3*moving(b.Kernels))
	}
	fmt.Fprintf(w, "\nroofline: the step is at %.0f %% of its limits; %s binds %.0f %% of it\n\n",
		100*b.Roofline.OfLimit, b.Roofline.Limit, 100*b.Roofline.Share)
	var total float64
	for _, k := range b.Kernels {
		total += k.Seconds
	}
	rows := [][]string{{"kernel", "ms", "share", "GFLOP/s", "GB/s", "limit", "of limit"}}
	align := "lrrrrlr"
	if b.BytesMoved > 0 {
		rows[0], align = append(rows[0], "moved"), align+"r"
	}
	libraries := slices.ContainsFunc(b.Kernels, func(k runner.Kernel) bool { return k.By != "" })
	if libraries {
		rows[0], align = append(rows[0], "by"), align+"l"
	}
	for _, k := range b.Kernels {
		gflops := ""
		if k.GFLOPS > 0 {
			gflops = fmt.Sprintf("%.1f", k.GFLOPS)
		}
		row := []string{k.Name, fmt.Sprintf("%.3f", 1e3*k.Seconds), fmt.Sprintf("%.1f %%", 100*k.Seconds/total),
			gflops, fmt.Sprintf("%.1f", k.GBs), k.Limit, fmt.Sprintf("%.0f %%", 100*k.OfLimit)}
		if b.BytesMoved > 0 {
			row = append(row, "")
			if k.Moved > 0 {
				row[len(row)-1] = megabytes(k.Moved)
			}
		}
		if libraries {
			row = append(row, k.By)
		}
		rows = append(rows, row)
	}
	return printTable(w, rows, align)
}

func megabytes(n int64) string { return fmt.Sprintf("%.2f MB", float64(n)/1e6) }

// moving returns the time of the transfers between devices, in seconds.
func moving(kernels []runner.Kernel) (seconds float64) {
	for _, k := range kernels {
		if k.Moved > 0 {
			seconds += k.Seconds
		}
	}
	return seconds
}
