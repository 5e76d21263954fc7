package cmd

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"ablate/runner/engine/cpu"
)

// devices names what --device takes on so many cores.
func devices(cores int) string {
	if cores < 2 {
		return "cpu"
	}
	return fmt.Sprintf("cpu, or equal shares of its cores: cpu:0 to cpu:%d", cores-1)
}

func newDoctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine has: cores, CPU features, devices",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dev, err := cpu.New("cpu", 0)
			if err != nil {
				return err
			}
			defer dev.Close()
			return printTable(c.OutOrStdout(), [][]string{
				{"what", "found"},
				{"system", runtime.GOOS + "/" + runtime.GOARCH + ", " + runtime.Version()},
				{"cpu", cpu.Model()},
				{"cores", fmt.Sprint(runtime.NumCPU())},
				{"features", cpu.Features()},
				{"kernels", cpu.Kernels()},
				{"devices", devices(runtime.GOMAXPROCS(0))},
			}, "ll")
		},
	}
}
