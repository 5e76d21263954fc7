package cmd

import (
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"ablate/runner/engine/cpu"
	"ablate/runner/engine/cuda"
	"ablate/runner/engine/cuda/nvidia"
)

// devices describes the values of --device on n cores.
func devices(cores int) string {
	if cores < 2 {
		return "cpu"
	}
	return fmt.Sprintf("cpu, or equal shares of its cores: cpu:0 to cpu:%d", cores-1)
}

// tf32 names a variable that changes what NVIDIA's libraries compute, whatever a program says.
const tf32 = "NVIDIA_TF32_OVERRIDE"

// gpus returns the rows about GPUs: first the libraries, each with what is missing, then the
// devices.
func gpus() [][]string {
	var rows [][]string
	libs := nvidia.Look()
	for _, f := range libs.Findings {
		row := []string{f.Name, f.Path}
		switch {
		case f.Err != nil:
			row[1] = f.Err.Error()
		case f.Version != "":
			row[1] = f.Version + ", " + f.Path
		}
		rows = append(rows, row)
	}
	switch os.Getenv(tf32) {
	case "0":
		rows = append(rows, []string{tf32, "tf32 computes as float32: unset this variable"})
	case "1":
		rows = append(rows, []string{tf32, "float32 computes as tf32: unset this variable"})
	}
	if libs.Driver == nil || libs.NVRTC == nil {
		return append(rows, []string{"GPUs", "none can be used, see above"})
	}
	names, err := cuda.Devices(libs)
	if err != nil {
		return append(rows, []string{"GPUs", err.Error()})
	}
	for i, name := range names {
		rows = append(rows, []string{fmt.Sprintf("cuda:%d", i), name})
	}
	return rows
}

func newDoctor() *cobra.Command {
	return &cobra.Command{
		Use:     "doctor",
		Short:   "Show what this machine has: cores, CPU features, GPUs and their libraries",
		Example: `  ablate doctor`,
		Long: `doctor lists the devices to train on. For GPUs it reports where it found NVIDIA's
libraries, or what to install. It searches the folders of ` + nvidia.Variable + `,
CUDA_HOME and /usr/local/cuda, the places that the system's loader knows, and
Python's packages (pip install nvidia-cublas ...).`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dev, err := cpu.New("cpu", 0)
			if err != nil {
				return err
			}
			defer dev.Close()
			return printTable(c.OutOrStdout(), append([][]string{
				{"what", "found"},
				{"system", runtime.GOOS + "/" + runtime.GOARCH + ", " + runtime.Version()},
				{"cpu", cpu.Model()},
				{"cores", fmt.Sprint(runtime.NumCPU())},
				{"features", cpu.Features()},
				{"kernels", cpu.Kernels()},
				{"devices", devices(runtime.GOMAXPROCS(0))},
			}, gpus()...), "ll")
		},
	}
}
