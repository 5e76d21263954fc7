package cmd

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ablate/experiments"
	"ablate/experiments/index"
)

func newRuns() *cobra.Command {
	var filter index.Filter
	var status string
	var rebuild, asJSON bool
	c := &cobra.Command{
		Use:   "runs [STUDY]",
		Short: "List the recorded runs",
		Example: `  ablate runs
  ablate runs quickstart --status failed
  ablate runs rm quickstart/baseline/1
  ablate runs gc --dry-run
  ablate runs unlock quickstart/baseline/1`,
		Long: `runs lists the recorded runs by study, variant and seed. The list comes from an
index beside the folders, which is brought up to date first. The index can be
deleted at any time: the folders are the truth.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := openStore(c)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				filter.Study = args[0]
			}
			filter.Status = experiments.Status(status)
			runs, problems, err := index.List(c.Context(), store, filter, rebuild)
			if err != nil {
				return err
			}
			for _, p := range problems {
				complain(c.ErrOrStderr(), fmt.Errorf("left out: %w", p))
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), append([]index.Entry{}, runs...))
			}
			return printRuns(c.OutOrStdout(), runs)
		},
	}
	c.Flags().StringVar(&status, "status", "",
		"list only runs that are `STATUS`: running, done, diverged, failed or interrupted")
	c.Flags().BoolVar(&rebuild, "rebuild", false, "read all records and build the index again")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.AddCommand(newRunsRm(), newRunsGC(), newRunsUnlock())
	return c
}

func openStore(c *cobra.Command) (*experiments.Store, error) {
	settings, err := settings(c)
	if err != nil {
		return nil, err
	}
	return experiments.Open(settings.Runs)
}

func printRuns(w io.Writer, runs []index.Entry) error {
	if len(runs) == 0 {
		_, err := fmt.Fprintln(w, "no runs")
		return err
	}
	rows := [][]string{{"run", "status", "error %", "epochs", "attempts", "started", "hardware"}}
	for _, r := range runs {
		wrong, epochs := "–", "–"
		if r.Top1Error != nil {
			wrong = fmt.Sprintf("%.2f", 100*float64(*r.Top1Error))
		}
		if r.Epochs != nil {
			epochs = fmt.Sprint(*r.Epochs)
		}
		rows = append(rows, []string{fmt.Sprintf("%s/%s/%d", r.Study, r.Variant, r.Seed), string(r.Status), wrong, epochs,
			fmt.Sprint(r.Attempts), r.Started.Local().Format(time.DateTime), r.Hardware})
	}
	return printTable(w, rows, "llrrrll")
}

func newRunsRm() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:     "rm RUN…",
		Short:   "Delete runs",
		Example: `  ablate runs rm quickstart/no-lrn/3`,
		Long: `rm deletes the folders of runs. Reports need the runs that are done or diverged, so
these are deleted only with --force. A run that a process is working on is never
deleted.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := openStore(c)
			if err != nil {
				return err
			}
			var dirs []string
			for _, name := range args { // all of them are looked at before the first is deleted
				dir, err := store.Find(name)
				if err != nil {
					return err
				}
				rec, err := experiments.ReadRecord(dir)
				if err != nil && !force {
					return fmt.Errorf("%w; --force deletes it all the same", err)
				}
				if rec.Status.Final() && !force {
					return fmt.Errorf("%s is %s and belongs to the report of %s; --force deletes it all the same",
						dir, rec.Status, rec.Study)
				}
				dirs = append(dirs, dir)
			}
			for _, dir := range dirs {
				if err := experiments.Remove(dir); err != nil {
					return err
				}
				fmt.Fprintln(c.OutOrStdout(), "deleted", dir)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&force, "force", false, "also delete runs that a report needs")
	return c
}

func newRunsGC() *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use:   "gc",
		Short: "Delete what no report and no later attempt needs",
		Example: `  ablate runs gc --dry-run
  ablate runs gc`,
		Long: `gc deletes runs that --fresh has set aside, checkpoints of runs that have ended,
and files that were never finished. Runs themselves, done or not, stay, and so
does everything of a run whose record cannot be read.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			store, err := openStore(c)
			if err != nil {
				return err
			}
			paths, problems := store.Garbage()
			for _, p := range problems {
				complain(c.ErrOrStderr(), p)
			}
			var freed int64
			for _, path := range paths {
				size, err := sizeOf(path)
				if err != nil {
					return err
				}
				freed += size
				if !dryRun {
					if err := os.RemoveAll(path); err != nil {
						return err
					}
				}
				fmt.Fprintf(c.OutOrStdout(), "%s  %.1f MB\n", path, float64(size)/1e6)
			}
			said := "deleted"
			if dryRun {
				said = "would be deleted"
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%d paths, %.1f MB %s\n", len(paths), float64(freed)/1e6, said)
			return err
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be deleted")
	return c
}

func newRunsUnlock() *cobra.Command {
	return &cobra.Command{
		Use:     "unlock RUN",
		Short:   "Release a run whose process is gone, where ablate cannot tell",
		Example: `  ablate runs unlock quickstart/no-lrn/3`,
		Long: `unlock removes the lock of a run. Where ablate sees that the process is gone, it
takes the lock over by itself. unlock is for a process that ran on another host
or in another container: the run is "held by another process", but you know that
the process is gone. A process that ablate sees running keeps its lock.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := openStore(c)
			if err != nil {
				return err
			}
			dir, err := store.FindFolder(args[0])
			if err != nil {
				return err
			}
			whose, err := experiments.Unlock(dir)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "unlocked %s, which was held by %s\n", dir, plain(whose, longestCell))
			return err
		},
	}
}

// sizeOf is the size of a file, or of all files in a folder.
func sizeOf(path string) (total int64, err error) {
	err = filepath.WalkDir(path, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}

// joined lists words, or a dash for none.
func joined(words []string) string {
	if len(words) == 0 {
		return "–"
	}
	return strings.Join(words, ", ")
}
