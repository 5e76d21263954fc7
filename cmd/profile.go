package cmd

import (
	"errors"
	"os"
	"runtime"
	"runtime/pprof"

	"github.com/spf13/cobra"
)

// addProfiles adds the flags --cpuprofile and --memprofile to a command.
func addProfiles(c *cobra.Command) {
	var cpu, memory string
	c.Flags().StringVar(&cpu, "cpuprofile", "", "write a CPU profile to `FILE`, for go tool pprof")
	c.Flags().StringVar(&memory, "memprofile", "", "write a heap profile to `FILE` at the end, for go tool pprof")
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		stop, err := startCPUProfile(cpu)
		if err != nil {
			return err
		}
		ran := run(c, args)
		if err := errors.Join(stop(), writeHeapProfile(memory)); ran == nil {
			return err
		}
		return ran
	}
}

// startCPUProfile starts a profile, which stop ends. Without a name it does nothing.
func startCPUProfile(name string) (stop func() error, err error) {
	if name == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

func writeHeapProfile(name string) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	runtime.GC() // so that the profile shows only memory in use
	return errors.Join(pprof.WriteHeapProfile(f), f.Close())
}
