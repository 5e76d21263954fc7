package cmd

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ablate/experiments"
	"ablate/experiments/index"
	"ablate/reports"
)

// runsFlags holds the flags of runs.
type runsFlags struct {
	filter          index.Filter
	where           string
	sort, columns   []string
	rebuild, asJSON bool
}

func newRuns() *cobra.Command {
	var o runsFlags
	var status string
	c := &cobra.Command{
		Use:   "runs [STUDY]",
		Short: "List the recorded runs",
		Example: `  ablate runs
  ablate runs quickstart --status failed
  ablate runs --where 'train.lr > 0.01 and status = done and tag = paper' --sort top1_error
  ablate runs --columns run,train.lr,top1_error,tag --sort -started
  ablate runs rm quickstart/baseline/1
  ablate runs gc --dry-run
  ablate runs unlock quickstart/baseline/1`,
		Long: `runs lists the recorded runs by study, variant and seed. It reads an index beside the
folders, which it first brings up to date. You can delete the index at any time: the
folders are the truth.

--where, --sort and --columns accept anything that is recorded: the columns of
ablate export runs, every key of a recipe (train.lr, net.layers.conv1.filters),
tag, note, host, threads, and metric.NAME, the last value of a metric. --where
compares with = != < <= > >= and ~ (contains), and combines with and, or, not and
brackets. 12% means 0.12; times are written as 2006-01-02, '2006-01-02 15:04',
today or yesterday.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.filter.Study = args[0]
			}
			o.filter.Status = experiments.Status(status)
			return listRuns(c, o)
		},
	}
	f := c.Flags()
	f.StringVar(&status, "status", "",
		"list only runs that are `STATUS`: running, done, diverged, failed or interrupted")
	f.StringVar(&o.where, "where", "", "list only runs for which `EXPRESSION` is true")
	f.StringSliceVar(&o.sort, "sort", nil, "sort by `NAME,…`; -NAME sorts in descending order")
	f.StringSliceVar(&o.columns, "columns", nil, "show `NAME,…`")
	f.BoolVar(&o.rebuild, "rebuild", false, "read all records and build the index again")
	f.BoolVar(&o.asJSON, "json", false, "print JSON")
	c.AddCommand(newRunsImport(), newRunsRm(), newRunsGC(), newRunsUnlock())
	return c
}

func listRuns(c *cobra.Command, o runsFlags) error {
	store, err := openStore(c)
	if err != nil {
		return err
	}
	runs, problems, err := index.List(c.Context(), store, o.filter, o.rebuild)
	if err != nil {
		return err
	}
	found, unread, err := search(store, runs, o)
	if err != nil {
		return err
	}
	for _, p := range append(problems, unread...) {
		complain(c.ErrOrStderr(), fmt.Errorf("left out: %w", p))
	}
	w := c.OutOrStdout()
	switch {
	case len(o.columns) > 0 && o.asJSON:
		return printFields(w, found, o.columns)
	case o.asJSON:
		return printEntries(w, store, found)
	case len(found) == 0:
		_, err := fmt.Fprintln(w, "no runs")
		return err
	case len(o.columns) > 0:
		return printColumns(w, found, o.columns)
	}
	return printRuns(w, store, found)
}

func openStore(c *cobra.Command) (*experiments.Store, error) {
	settings, err := settings(c)
	if err != nil {
		return nil, err
	}
	return experiments.Open(settings.Runs)
}

func printRuns(w io.Writer, store *experiments.Store, runs []foundRun) error {
	show := moment(w)
	tagged := slices.ContainsFunc(runs, func(r foundRun) bool { return len(r.notes.Tags)+len(r.notes.Notes) > 0 })
	figures := figuresOf(store, runs)
	rows := [][]string{{"run", "status", "error %", "epochs", "attempts", "started", "hardware"}}
	if slices.ContainsFunc(figures, figure.named) {
		rows[0][2] = "figure"
	}
	if tagged {
		rows[0] = append(rows[0], "tags and notes")
	}
	for i, f := range runs {
		r := f.entry
		wrong, epochs := "–", "–"
		switch {
		case figures[i].named():
			wrong = figures[i].String()
		case r.Top1Error != nil && rows[0][2] == "figure":
			wrong = fmt.Sprintf("top-1 error %.2f %%", 100*float64(*r.Top1Error))
		case r.Top1Error != nil:
			wrong = fmt.Sprintf("%.2f", 100*float64(*r.Top1Error))
		}
		if r.Epochs != nil && *r.Epochs > 0 { // imported runs may have no epochs
			epochs = fmt.Sprint(*r.Epochs)
		}
		row := []string{fmt.Sprintf("%s/%s/%d", r.Study, r.Variant, r.Seed), string(r.Status), wrong, epochs,
			fmt.Sprint(r.Attempts), show(r.Started), r.Hardware}
		if tagged {
			row = append(row, said(f.notes))
		}
		rows = append(rows, row)
	}
	return printTable(w, rows, "llrrrlll"[:len(rows[0])])
}

// A figure is the metric by which a study compares its runs, if that is not ablate's own error.
type figure struct {
	metric reports.Metric
	value  experiments.Number
}

func (f figure) named() bool { return f.metric.Name != "" }

// String formats a figure with its name, such as "accuracy 91.27 %" or "compressed bytes 3608.0
// bytes".
func (f figure) String() string {
	v := float64(f.value)
	switch {
	case f.metric.Share:
		return f.metric.Title + " " + f.metric.Figure(v) + " %"
	case f.metric.Format == "":
		return strings.TrimSpace(fmt.Sprintf("%s %.6g %s", f.metric.Title, v, f.metric.Unit))
	}
	return strings.TrimSpace(f.metric.Title + " " + f.metric.Figure(v) + " " + f.metric.Unit)
}

// figuresOf returns the figures of runs that were imported or trained by a user's program, in the
// order of the runs.
func figuresOf(store *experiments.Store, runs []foundRun) []figure {
	declared := map[string]experiments.Declaration{}
	figures := make([]figure, len(runs))
	for i, f := range runs {
		e := f.entry
		if !e.Status.Final() || e.Top1Error != nil {
			continue
		}
		rec, err := experiments.ReadRecord(filepath.Join(store.Root, filepath.FromSlash(e.Dir)))
		if err != nil || rec.Result == nil || rec.Result.Metrics == nil { // diverged, or reported as damaged
			continue
		}
		d, ok := declared[e.Study]
		if !ok {
			d, _ = store.Declaration(e.Study) // without a declaration there is no figure
			declared[e.Study] = d
		}
		if v, ok := rec.Result.Metrics[d.Metric]; ok {
			m := reports.NamedMetric(d.Metric, d.Metrics, []experiments.Metric{{Name: d.Metric, Value: v}})
			figures[i] = figure{metric: m, value: v}
		}
	}
	return figures
}

// printEntries prints a JSON object for each run, with the figure that its study compares.
func printEntries(w io.Writer, store *experiments.Store, runs []foundRun) error {
	type entry struct {
		index.Entry
		Metric string              `json:"metric,omitempty"`
		Value  *experiments.Number `json:"value,omitempty"`
	}
	figures := figuresOf(store, runs)
	list := []entry{}
	for i, r := range runs {
		e := entry{Entry: r.entry}
		if f := &figures[i]; f.named() {
			e.Metric, e.Value = f.metric.Name, &f.value
		}
		list = append(list, e)
	}
	return printJSON(w, list)
}

// said returns the tags and notes of a run, on one line.
func said(n experiments.Notes) string {
	line := strings.Join(n.Tags, ", ")
	for i, note := range n.Notes {
		if i > 0 || line != "" {
			line += " · "
		}
		line += note.Text
	}
	return line
}

func newRunsRm() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:     "rm RUN…",
		Short:   "Delete runs",
		Example: `  ablate runs rm quickstart/no-lrn/3`,
		Long: `rm deletes the folders of runs. Reports need the runs that are done or diverged, so
deleting these takes --force. A run that a process is working on is never deleted.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := openStore(c)
			if err != nil {
				return err
			}
			var dirs []string
			for _, name := range args { // check all of them before deleting the first
				dir, err := store.Find(name)
				if err != nil {
					return err
				}
				rec, err := experiments.ReadRecord(dir)
				if err != nil && !force {
					return fmt.Errorf("%w; --force deletes it anyway", err)
				}
				if rec.Status.Final() && !force {
					return fmt.Errorf("%s is %s and belongs to the report of %s; --force deletes it anyway",
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
		Short: "Delete files that neither a report nor a later attempt needs",
		Example: `  ablate runs gc --dry-run
  ablate runs gc`,
		Long: `gc deletes runs that --fresh has moved aside, checkpoints of runs that have ended,
and unfinished files. It keeps the runs themselves, done or not, and everything of a
run whose record cannot be read.`,
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
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only list what would be deleted")
	return c
}

func newRunsUnlock() *cobra.Command {
	return &cobra.Command{
		Use:     "unlock RUN",
		Short:   "Release a run whose process has died, if ablate cannot tell",
		Example: `  ablate runs unlock quickstart/no-lrn/3`,
		Long: `unlock removes the lock of a run. If ablate can see that the process has died, it
takes over the lock by itself. unlock is for a process that ran on another host or in
another container: the run is "held by another process", but you know that the
process is gone. unlock refuses if ablate can see the process running.`,
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

// sizeOf returns the size of a file, or of all files in a folder.
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

// joined joins words with commas; without any it returns a dash.
func joined(words []string) string {
	if len(words) == 0 {
		return "–"
	}
	return strings.Join(words, ", ")
}
