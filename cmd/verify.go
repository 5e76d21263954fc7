package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"ablate/experiments"
	"ablate/runner"
	"ablate/runner/device"
)

func newVerify() *cobra.Command {
	var steps int
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify RUN|STUDY",
		Short: "Train a run's first steps again and compare the weights bit for bit",
		Example: `  ablate verify quickstart/baseline/1
  ablate verify quickstart`,
		Long: `verify trains the first steps of a recorded run again and compares the SHA-256 of
the weights after each step with those recorded. For a study it verifies all runs.
It also compares the weights file, the predictions and the digests of the images
with the record. If something differs, it reports differences in build, machine,
CPU kernels and data that may explain it. If a user's program trained a run, or it
was imported, verify compares its files with each other and lists what it cannot
check.

Exit codes: 0 all is equal, 1 something is not, 2 usage, or the data is missing.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			settings, err := settings(c)
			if err != nil {
				return err
			}
			if steps < 1 {
				return fmt.Errorf("--steps %d: want at least 1", steps)
			}
			store, err := experiments.Open(settings.Runs)
			if err != nil {
				return err
			}
			dirs, err := runsNamed(store, args[0])
			if err != nil {
				return err
			}
			group, err := device.Open(settings.Device, settings.Threads)
			if err != nil {
				return err
			}
			defer group.Close()
			verifier := runner.Verifier{Devices: group, Steps: steps, Command: os.Args}
			defer verifier.Close()
			wrong := 0
			for _, dir := range dirs {
				rec, err := experiments.ReadRecord(dir)
				if err != nil {
					return err
				}
				v, err := verifier.Verify(c.Context(), rec, dir)
				if err != nil {
					return errors.Join(err, ctxError(c.Context()))
				}
				if !v.OK() {
					wrong++
				}
				if err := printVerification(c.OutOrStdout(), v, asJSON); err != nil {
					return err
				}
			}
			if wrong > 0 {
				return &exit{exitFailed, fmt.Errorf("%d of %d runs do not match their records", wrong, len(dirs))}
			}
			return nil
		},
	}
	c.Flags().IntVar(&steps, "steps", 3, "train the first `N` of the recorded steps")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each run")
	c.Flags().String("device", "auto", deviceUsage)
	c.Flags().Int("threads", 0, threadsUsage)
	return c
}

// runsNamed returns the folder of a run, or the folders of a study's runs.
func runsNamed(store *experiments.Store, name string) ([]string, error) {
	dir, err := store.Find(name)
	if err == nil {
		return []string{dir}, nil
	}
	records, problems := store.Load(name)
	if len(problems) > 0 {
		return nil, problems[0]
	}
	if len(records) == 0 {
		return nil, err
	}
	var dirs []string
	for _, r := range records {
		dir, err := store.Find(fmt.Sprintf("%s/%s/%d", r.Study, r.Variant, r.Seed))
		if err != nil {
			return nil, err
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

func printVerification(w io.Writer, v runner.Verification, asJSON bool) error {
	if asJSON {
		return printJSON(w, v)
	}
	said := fmt.Sprintf("equal after each of %d steps", v.Steps)
	if v.NotChecked != "" {
		said = "record, params and figures agree; not checked: " + v.NotChecked
		if len(v.Files) > 0 {
			said = "not checked: " + v.NotChecked
		}
	}
	if v.Differs > 0 {
		said = fmt.Sprintf("different weights after step %d", v.Differs)
	}
	lines := append([]string{v.Run + "  " + said}, v.Files...)
	if v.Differs > 0 && len(v.Differences) == 0 {
		lines = append(lines, "build, machine, CPU kernels and data are the same as in the record")
	}
	lines = append(lines, v.Differences...)
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n    "))
	return err
}
