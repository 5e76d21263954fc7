package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/guptarohit/asciigraph"
	"github.com/spf13/cobra"

	"ablate/experiments"
)

func newShow() *cobra.Command {
	var metric string
	var asJSON bool
	c := &cobra.Command{
		Use:   "show RUN",
		Short: "Show a run: its recipe, its results, its learning curve",
		Example: `  ablate show quickstart/baseline/1
  ablate show runs/quickstart/no-lrn/seed-2 --metric train_loss`,
		Long: `show prints the record of a run and draws one of its metrics over the epochs. RUN is
STUDY/VARIANT/SEED or the run's folder.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := openStore(c)
			if err != nil {
				return err
			}
			rec, dir, err := store.Read(args[0])
			if err != nil {
				return err
			}
			log, err := experiments.ReadMetrics(experiments.MetricsPath(dir))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			series := experiments.Series(log)
			notes, err := store.Notes(rec)
			if err != nil {
				return err
			}
			if asJSON {
				samples, err := store.Machine(rec)
				if err != nil {
					return err
				}
				return printJSON(c.OutOrStdout(), struct {
					Record  experiments.Record   `json:"record"`
					Metrics []experiments.Metric `json:"metrics"`
					Tags    []string             `json:"tags,omitempty"`
					Notes   []experiments.Note   `json:"notes,omitempty"`
					Machine []experiments.Sample `json:"machine,omitempty"`
				}{Record: rec, Metrics: series, Tags: notes.Tags, Notes: notes.Notes, Machine: samples})
			}
			times, err := store.Times(rec)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err := printRecord(c.OutOrStdout(), rec, times, dir); err != nil {
				return err
			}
			if err := printNotes(c.OutOrStdout(), notes); err != nil {
				return err
			}
			if metric == "" {
				metric = primary(store, rec)
			}
			return printCurve(c.OutOrStdout(), series, metric)
		},
	}
	c.Flags().StringVar(&metric, "metric", "",
		"draw `METRIC` (default: test_top1_error, or what the study declares)")
	c.Flags().BoolVar(&asJSON, "json", false, "print the record and its metrics as JSON")
	return c
}

// primary returns the metric whose curve is drawn.
func primary(store *experiments.Store, r experiments.Record) string {
	d, err := store.Declaration(r.Study)
	if r.Result == nil || r.Result.Metrics == nil || err != nil || d.Metric == "" {
		return "test_top1_error"
	}
	return d.Metric
}

// printRecord prints a run and, if its kernels were timed, how long a step waited for images.
func printRecord(w io.Writer, r experiments.Record, t experiments.Times, dir string) error {
	rows := [][]string{
		{"run", fmt.Sprintf("%s/%s/%d", r.Study, r.Variant, r.Seed)},
		{"folder", dir},
		{"status", strings.TrimSuffix(string(r.Status)+": "+r.Error, ": ")},
		{"changes", joined(r.Changes)},
		{"identity", r.Identity},
	}
	for i, a := range r.Attempts {
		rows = append(rows, []string{fmt.Sprint("attempt ", i+1), describeAttempt(a)})
	}
	if i := r.Imported; i != nil {
		rows = append(rows, []string{"imported", strings.TrimSpace(i.From + " " + i.Source + " " + i.Run)})
	}
	if res := r.Result; res != nil && res.Metrics != nil {
		for _, name := range slices.Sorted(maps.Keys(res.Metrics)) {
			rows = append(rows, []string{plain(name, longestCell), fmt.Sprintf("%.6g", float64(res.Metrics[name]))})
		}
	} else if res != nil {
		rows = append(rows,
			[]string{"top-1 error", fmt.Sprintf("%.2f %% of %d test images", 100*float64(res.Top1Error), res.TestExamples)},
			[]string{"top-5 error", fmt.Sprintf("%.2f %%", 100*float64(res.Top5Error))},
			[]string{"loss", fmt.Sprintf("%.4f in training, %.4f at test, after epoch %d",
				float64(res.TrainLoss), float64(res.TestLoss), res.Epochs)},
			[]string{"images/s", fmt.Sprintf("%.0f", float64(res.ImagesPerSecond))},
			[]string{"weights", res.WeightsSHA256})
		if step := float64(t.Batch) / float64(res.ImagesPerSecond); t.Batch > 0 && t.Waiting > 0 {
			rows = append(rows, []string{"waiting for images", fmt.Sprintf("%.3f ms of a step's %.1f ms (%.2f %%)",
				1e3*float64(t.Waiting), 1e3*step, 100*float64(t.Waiting)/step)})
		}
		if res.BytesMoved > 0 {
			rows = append(rows, []string{"moved in a step", megabytes(res.BytesMoved) + between(r.Attempts)})
		}
	}
	if u := r.Usage(); u != nil {
		rows = append(rows, []string{"machine", describeUsage(*u)})
	}
	if p := r.Provenance; p != nil {
		commit := cmp.Or(p.Commit, strings.TrimSuffix("not known: "+p.NoCommit, ": "))
		if p.Dirty {
			commit += " with changes"
		}
		rows = append(rows, []string{"commit", commit}, []string{"build", p.Go + " " + p.OS + "/" + p.Arch},
			[]string{"cpu", host(p)}, []string{"command", strings.Join(p.Command, " ")})
		rows = append(rows, program(p.Program)...)
	}
	return printTable(w, rows, "ll")
}

// program returns rows that describe the user's program that trained a run, if one did.
func program(p *experiments.Program) [][]string {
	if p == nil {
		return nil
	}
	commit := cmp.Or(p.Commit, strings.TrimSuffix("not known: "+p.NoCommit, ": "))
	if p.Dirty {
		commit += " with changes"
	}
	rows := [][]string{{"program's commit", commit}}
	if p.Python != "" {
		rows = append(rows, []string{"python", fmt.Sprintf("%s, %d packages", p.Python, len(p.Packages))})
	}
	return append(rows, []string{"GPUs", joined(p.GPUs)})
}

// describeUsage formats what a run used of the machine.
func describeUsage(u experiments.Usage) string {
	said := fmt.Sprintf("%.1f s of CPU time", float64(u.CPUSeconds))
	if u.PeakMemory > 0 {
		said += ", at most " + megabytes(u.PeakMemory) + " of memory"
	}
	if u.DiskRead+u.DiskWritten > 0 {
		said += fmt.Sprintf(", %s read, %s written", megabytes(u.DiskRead), megabytes(u.DiskWritten))
	}
	if j := u.Joules(); j > 0 {
		said += fmt.Sprintf(", %.1f kJ", j/1e3)
	}
	return said
}

// host returns the CPU and how many threads computed; on a GPU it leaves out the threads.
func host(p *experiments.Provenance) string {
	if p.Threads == 0 {
		return p.CPU
	}
	return fmt.Sprintf("%s, %d threads", p.CPU, p.Threads)
}

// between names the devices between which the last attempt moved bytes.
func between(attempts []experiments.Attempt) string {
	if len(attempts) == 0 {
		return ""
	}
	return " between " + attempts[len(attempts)-1].Device
}

func describeAttempt(a experiments.Attempt) string {
	said := fmt.Sprintf("%s on %s, %s", a.Started.Local().Format(time.DateTime), a.Host, a.Hardware)
	if a.From > 0 {
		said += fmt.Sprintf(", from step %d", a.From)
	}
	if a.Ended.IsZero() {
		return said + ", end unknown"
	}
	return said + ", " + a.Ended.Sub(a.Started).Round(time.Second).String()
}

// Limits on a curve. asciigraph lays out its axis by the range of the values, and draws at most
// this many columns.
const (
	largestDrawn = 1e9
	mostColumns  = 60
)

// printCurve draws a metric over the epochs. Values that are not finite, or too large for the axis,
// leave a gap.
func printCurve(w io.Writer, series []experiments.Metric, metric string) error {
	var values []float64
	var names []string
	known := map[string]bool{}
	drawn := 0
	for _, m := range series {
		if !known[m.Name] {
			known[m.Name] = true
			names = append(names, m.Name)
		}
		if m.Name != metric {
			continue
		}
		v := float64(m.Value)
		if math.Abs(v) > largestDrawn {
			v = math.NaN()
		}
		if !math.IsNaN(v) {
			drawn++
		}
		values = append(values, v)
	}
	if len(names) > 0 && !known[metric] {
		return fmt.Errorf("--metric %s: the run has %s", metric, strings.Join(names, ", "))
	}
	if len(values) == 0 {
		_, err := fmt.Fprintln(w, "\nno epoch is complete")
		return err
	}
	caption := fmt.Sprintf("%s by epoch, %d in all", plain(metric, longestCell), len(values))
	if drawn == 0 {
		_, err := fmt.Fprintf(w, "\n%s, none of which can be drawn\n", caption)
		return err
	}
	graph := asciigraph.Plot(values, asciigraph.Height(10), asciigraph.Width(min(mostColumns, max(2, 6*len(values)))),
		asciigraph.Precision(3), asciigraph.Caption(caption))
	_, err := fmt.Fprintf(w, "\n%s\n", graph)
	return err
}
