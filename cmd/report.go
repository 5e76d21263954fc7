package cmd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ablate/arch"
	"ablate/configs"
	"ablate/experiments"
	"ablate/reports"
	"ablate/reports/page"
	"ablate/reports/render"
	"ablate/reports/stats"
)

// reportFlags holds the flags of report.
type reportFlags struct {
	format, shape, metric, at, against, output string
	columns                                    []string
	watch, selfCheck, perClass, unadjusted     bool
}

func newReport() *cobra.Command {
	var o reportFlags
	c := &cobra.Command{
		Use:   "report STUDY…",
		Short: "Print a study's comparison table from its records",
		Example: `  ablate report quickstart
  ablate report quickstart --format md > table.md
  ablate report quickstart --format html -o quickstart.html
  ablate report quickstart --columns changed,error,delta,wins,verdict
  ablate report quickstart --metric test_loss --at best
  ablate report quickstart --against quickstart-long
  ablate report quickstart --watch --format json -o table.json
  ablate report quickstart --self-check
  ablate report shapes-norm cifar10-norm --format html -o norm.html`,
		Long: `report reads the records in runs/STUDY/ and prints the comparison table: the error
over the seeds, the difference to the baseline under the same seeds with its
interval, and what the statistics allow one to say. It trains nothing.

--shape delta compares each variant with the baseline; matrix does the same and has
a column for each ablation; cumulative compares each row with the one above it.
--against compares each variant with the one of the same name in another study.
--self-check applies the test to the study's own differences minus their means, which
contain no effect. It exits with 1 if the test claims one too often, or if it tells
the baseline from itself under other seeds (ablate run --aa).
Several studies are printed one after the other, each with its own family of
comparisons. If they use several data sets, ranks over these follow.
--watch waits for the study's first run and writes the report again whenever a
record changes. It ends when all runs have ended, when an ablate run that it saw
training some of them has ended, or on Ctrl-C.`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completes(configs.Names),
		RunE:              func(c *cobra.Command, args []string) error { return report(c, args, o) },
	}
	f := c.Flags()
	f.StringVar(&o.format, "format", "text", "print as `FORMAT`: "+strings.Join(formats(), ", "))
	f.StringVar(&o.shape, "shape", reports.Shapes[0], "compare in `SHAPE`: "+strings.Join(reports.Shapes, ", "))
	f.StringSliceVar(&o.columns, "columns", nil, "show these columns, `NAME,…`: "+strings.Join(render.Columns(), ", "))
	f.StringVar(&o.metric, "metric", "",
		"compare `METRIC`: "+strings.Join(reports.Metrics(), ", ")+"; the default is what the study declares")
	f.StringVar(&o.at, "at", "",
		"compare the figures of `EPOCH`: "+reports.AtWords+"; the default is what the study declares")
	f.StringVar(&o.against, "against", "", "compare with the variants of the same name in `STUDY`")
	f.StringVarP(&o.output, "output", "o", "", "write to `FILE`, which is replaced as a whole")
	f.BoolVar(&o.watch, "watch", false, "write the report again whenever a record changes")
	f.BoolVar(&o.perClass, "per-class", false,
		"print the error on each class, the confusion matrix, and the images whose answers changed")
	f.BoolVar(&o.unadjusted, "unadjusted", false, "show each difference with the interval of its row alone")
	f.BoolVar(&o.selfCheck, "self-check", false, "check the test on the study's own residuals")
	c.MarkFlagsMutuallyExclusive("watch", "self-check", "per-class")
	c.MarkFlagsMutuallyExclusive("against", "self-check")
	c.MarkFlagsMutuallyExclusive("shape", "self-check")
	c.MarkFlagsMutuallyExclusive("columns", "self-check")
	c.MarkFlagsMutuallyExclusive("unadjusted", "self-check", "per-class")
	return c
}

func report(c *cobra.Command, studies []string, o reportFlags) error {
	store, err := openStore(c)
	if err != nil {
		return err
	}
	o.format = formatNamed(o.format)
	r := reporter{store: store, reportFlags: o, out: c.OutOrStdout(), warnings: c.ErrOrStderr()}
	if !slices.Contains(formats(), o.format) {
		return fmt.Errorf("--format %s: %w; want one of %s", o.format, reports.ErrFormat, strings.Join(formats(), ", "))
	}
	if o.selfCheck && o.format == svg {
		return fmt.Errorf("--self-check: want --format text, md, tex, csv, json or html")
	}
	if len(o.columns) > 0 && (o.format == "json" || o.format == "metafile") {
		return fmt.Errorf("--columns: %s has no columns; want --format text, md, tex or csv", o.format)
	}
	if len(studies) > 1 {
		return r.several(studies)
	}
	if r.study, r.plan, err = order(studies[0]); err != nil {
		return err
	}
	switch {
	case o.selfCheck:
		return r.selfCheck()
	case o.perClass:
		return r.perClass()
	case o.watch:
		return r.watch(c.Context())
	}
	text, _, err := r.render()
	if err != nil {
		return err
	}
	return r.put(text)
}

// several prints the reports of more than one study.
func (r reporter) several(studies []string) error {
	switch {
	case r.reportFlags.watch:
		return errors.New("--watch follows only one study")
	case r.reportFlags.perClass:
		return errors.New("--per-class takes only one study")
	case r.reportFlags.selfCheck:
		return errors.New("--self-check takes only one study")
	case r.against != "":
		return errors.New("--against compares one study with another")
	case r.format == svg:
		return errors.New("--format svg: a picture shows one study; html has one for each")
	}
	var tables []*reports.Comparison
	for _, name := range studies {
		var err error
		if r.study, r.plan, err = order(name); err != nil {
			return err
		}
		if slices.ContainsFunc(tables, func(c *reports.Comparison) bool { return c.Study == r.study }) {
			return fmt.Errorf("study %s is named twice", r.study)
		}
		table, _, err := r.table()
		if err != nil {
			return err
		}
		tables = append(tables, table)
	}
	var b bytes.Buffer
	var err error
	if r.format == html {
		err = page.WriteSeveral(&b, tables)
	} else {
		err = render.Several(&b, tables, r.format)
	}
	if err != nil {
		return err
	}
	return r.put(b.Bytes())
}

// Formats with pictures: the page, which is also made from the runs' folders, and the picture of
// the differences alone.
const (
	html = "html"
	svg  = "svg"
)

func formats() []string { return append(render.Formats(), html, svg) }

// formatNamed is the format that a user means. The metafile was called model-index, as by Papers with Code; on
// Hugging Face that is a field of a model card, which ablate export model-card writes.
func formatNamed(name string) string {
	if name == "model-index" {
		return "metafile"
	}
	return name
}

// order returns a study's name, and the study itself if its file can be found. The variants of a
// study without a file are reported in alphabetical order.
func order(study string) (string, *configs.Study, error) {
	s, err := configs.LoadLenient(study)
	switch {
	case err == nil:
		return s.Name, s, nil
	case errors.Is(err, configs.ErrUnknown) && !arch.IsPath(study):
		return study, nil, nil
	default:
		return "", nil, err
	}
}

func variantNames(s *configs.Study) []string {
	if s == nil {
		return nil
	}
	var names []string
	for _, v := range s.Variants {
		names = append(names, v.Name)
	}
	return names
}

// declaration returns what a study declared before its first run, together with what its file adds
// to that. If no run recorded a declaration, the study's file is its only source; without a file
// either, nothing was declared.
func declaration(store *experiments.Store, name string, plan *configs.Study) (experiments.Declaration, error) {
	d, err := store.Declaration(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d, err
	}
	if plan != nil {
		d = d.Extend(declares(plan))
	}
	return d, nil
}

// departures lists what a study's file declares today that differs from its first declaration.
func departures(d experiments.Declaration, plan *configs.Study) []string {
	if plan == nil {
		return nil
	}
	return d.Departures(declares(plan))
}

// declares returns what a study sets out to compare.
func declares(s *configs.Study) experiments.Declaration {
	d := experiments.Declaration{
		Study: s.Name, Design: string(s.Design), Variants: variantNames(s), Seeds: s.Seeds,
		Metric: s.Report.Metric, At: s.Report.At, Also: s.Report.Also, Margin: s.Report.Margin, Family: s.Report.Family,
		Looks: s.Report.Sequential.Looks, Spending: s.Report.Sequential.Spending,
	}
	if len(s.Metrics) > 0 {
		d.Metrics = map[string]experiments.MetricKind{}
	}
	for name, m := range s.Metrics {
		d.Metrics[name] = experiments.MetricKind(m)
	}
	return d
}

// A reporter prints one study's report.
type reporter struct {
	reportFlags
	store    *experiments.Store
	study    string
	plan     *configs.Study // nil if there are only records
	out      io.Writer
	warnings io.Writer
}

// options returns the options of a table that the flags ask for.
func (r *reporter) options() (reports.Options, error) {
	declared, err := declaration(r.store, r.study, r.plan)
	if err != nil {
		return reports.Options{}, err
	}
	o, err := tableOptions(r.store, declared)
	if err != nil {
		return o, err
	}
	o.Departures = departures(declared, r.plan)
	o.Metric, o.Shape, o.Columns = cmp.Or(r.metric, o.Metric), reports.Shape(r.shape), r.columns
	o.Speed, o.Unadjusted = true, r.unadjusted
	if r.at != "" {
		if o.At, err = reports.ParseAt(r.at); err != nil {
			return o, fmt.Errorf("--at: %w", err)
		}
	}
	if f, ok := asFile(r.out); ok && r.output == "" && term.IsTerminal(int(f.Fd())) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			o.Width = width
		}
	}
	if r.against != "" {
		if o.Against, _, err = order(r.against); err != nil {
			return o, err
		}
		o.AgainstRecords, err = load(r.store, o.Against, r.warnings)
	}
	return o, err
}

// tableOptions returns the options of the table that a study declares.
func tableOptions(store *experiments.Store, d experiments.Declaration) (reports.Options, error) {
	at, err := reports.ParseAt(d.At)
	if err != nil {
		return reports.Options{}, fmt.Errorf("study %s: report.at: %w", d.Study, err)
	}
	o := reports.Options{
		Variants: d.Variants, Metric: d.Metric, At: at, Kinds: d.Metrics, Looked: d.Looked, Tuning: d.Tuning,
		Metrics: store.Metrics, Predictions: store.Predictions,
	}
	if len(d.Variants) > 0 {
		o.Baseline = d.Variants[0]
	}
	if d.Metric != "" {
		o.Primary = &reports.Primary{Metric: d.Metric, At: at, Also: d.Also, Margin: d.Margin, Family: d.Family,
			Looks: d.Looks, Spending: d.Spending}
	}
	return o, nil
}

// table returns the study's comparison and the records it was made from.
func (r *reporter) table() (*reports.Comparison, []experiments.Record, error) {
	o, err := r.options()
	if err != nil {
		return nil, nil, err
	}
	records, err := load(r.store, r.study, r.warnings)
	if err != nil {
		return nil, nil, err
	}
	table, err := reports.Table(r.study, records, o)
	return table, records, err
}

// render returns the report and the records it was made from.
func (r *reporter) render() ([]byte, []experiments.Record, error) {
	table, records, err := r.table()
	if err != nil {
		return nil, nil, err
	}
	var b bytes.Buffer
	switch r.format {
	case html:
		err = page.Write(&b, table, page.Source{Records: records, Metrics: r.store.Metrics, Filters: r.store.Filters,
			Times: r.store.Times, Features: r.store.Features, Notes: r.store.Notes, Classes: r.classes(table, records)})
	case svg:
		err = page.WriteForest(&b, table)
	default:
		err = render.Render(&b, table, r.format)
	}
	return b.Bytes(), records, err
}

// mostAnswers bounds the answers to test images that a page reads to tell classes apart.
const mostAnswers = 8 << 20

// classes are what the nets make of each class, for a page: nil where there are no predictions, or too many.
func (r *reporter) classes(table *reports.Comparison, records []experiments.Record) *reports.PerClass {
	answers := 0
	for _, rec := range records {
		if rec.Result != nil {
			answers += rec.Result.TestExamples
		}
	}
	if answers == 0 || answers > mostAnswers {
		return nil
	}
	p, err := reports.ByClass(r.study, records, table.Options, classNames(r.store, records))
	if err != nil { // no run has predictions
		return nil
	}
	return p
}

// put writes the report to its destination.
func (r *reporter) put(text []byte) error {
	if r.output != "" {
		return writeOutput(r.output, text)
	}
	_, err := r.out.Write(text)
	return err
}

func (r *reporter) selfCheck() error {
	o, err := r.options()
	if err != nil {
		return err
	}
	records, err := load(r.store, r.study, r.warnings)
	if err != nil {
		return err
	}
	check, err := reports.CheckSelf(r.study, records, o)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if r.format == html {
		err = page.WriteSelfCheck(&b, check, page.Source{Records: records})
	} else {
		err = render.SelfCheck(&b, check, r.format)
	}
	if err != nil {
		return err
	}
	if err := r.put(b.Bytes()); err != nil {
		return err
	}
	if check.Again.Claims() {
		return &exit{exitFailed, fmt.Errorf("self-check %s: the baseline under other seeds is called %s than itself", r.study,
			check.Again.Verdict.Word)}
	}
	if !check.Holds() {
		return &exit{exitFailed,
			fmt.Errorf("self-check %s: where nothing differs the test claims a difference in %.3f of the studies, at level %v",
				r.study, check.Share(), stats.Alpha)}
	}
	return nil
}

// watchEvery is how often a watched study's records are read again.
const watchEvery = 2 * time.Second

// clearScreen moves a terminal's cursor home and clears what lies below (ECMA-48, CUP and ED).
const clearScreen = "\x1b[H\x1b[J"

// watch writes the report whenever it changes, until the study has ended or the
// context is done. Where there is no record yet it waits for the first.
func (r *reporter) watch(ctx context.Context) error {
	f, isFile := asFile(r.out)
	if r.output == "" && !(isFile && term.IsTerminal(int(f.Fd()))) {
		return errors.New("--watch: the output is no terminal; name a file with --output")
	}
	var last []byte
	seen := false // a run in progress
	for waiting := false; ; {
		if records, _ := r.store.Load(r.study); len(records) == 0 {
			if !waiting {
				fmt.Fprintf(r.warnings, "ablate: waiting for the first run of %s under %s\n", r.study, r.store.Root)
			}
			waiting, seen = true, true
		} else {
			text, records, err := r.render()
			if err != nil {
				return err
			}
			if !bytes.Equal(text, last) {
				last = text
				if r.output == "" {
					fmt.Fprint(f, clearScreen)
				}
				if err := r.put(text); err != nil {
					return err
				}
			}
			seen = seen || slices.ContainsFunc(records,
				func(rec experiments.Record) bool { return rec.Status == experiments.Running })
			if r.ended(records, seen) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return nil // the reader has gone; the report is written
		case <-time.After(watchEvery):
		}
	}
}

// ended reports whether no more runs will end. That is so if all planned runs (or, without a plan,
// all runs that were begun) are done, diverged or failed; or if an `ablate run` of some of them,
// which this watch saw training, has written its report after the last of them.
func (r *reporter) ended(records []experiments.Record, seen bool) bool {
	over, last := 0, time.Time{}
	for _, rec := range records {
		switch rec.Status {
		case experiments.Done, experiments.Diverged, experiments.Failed:
			over++
		}
		for _, a := range rec.Attempts {
			if a.Ended.After(last) {
				last = a.Ended
			}
		}
	}
	if r.plan == nil || over >= len(r.plan.Variants)*len(r.plan.Seeds) {
		return over == len(records)
	}
	info, err := os.Stat(filepath.Join(r.store.Study(r.study), textReport))
	const tick = 100 * time.Millisecond // a file's time may be a clock tick old
	return seen && over == len(records) && err == nil && info.ModTime().After(last.Add(-tick))
}

// load reads a study's records. It prints a warning for each that cannot be read; if there is none
// at all, it returns an error.
func load(store *experiments.Store, study string, warnings io.Writer) ([]experiments.Record, error) {
	records, problems := store.Load(study)
	for _, p := range problems {
		complain(warnings, fmt.Errorf("left out: %w", p))
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("no runs of %s under %s: train them with ablate run %s", study, store.Root, study)
	}
	return records, nil
}

// printReport prints a study's table, speeds included.
func printReport(w, warnings io.Writer, store *experiments.Store, study *configs.Study) error {
	r := reporter{
		reportFlags: reportFlags{format: "text"}, store: store, study: study.Name, plan: study,
		out: w, warnings: warnings,
	}
	text, _, err := r.render()
	if err != nil {
		return err
	}
	return r.put(text)
}

// textReport names the table that ablate run writes to a study's folder at the end.
const textReport = "report.txt"

// writeReports writes the table beside the records. It leaves out speeds, so that equal runs
// produce equal files.
func writeReports(store *experiments.Store, study *configs.Study, warnings io.Writer) error {
	records, err := load(store, study.Name, warnings)
	if err != nil {
		return err
	}
	seeds, _ := reports.EndedSeeds(records)
	if err := store.Look(study.Name, seeds); err != nil {
		return err
	}
	declared, err := declaration(store, study.Name, study)
	if err != nil {
		return err
	}
	options, err := tableOptions(store, declared)
	if err != nil {
		return err
	}
	options.Departures = departures(declared, study)
	table, err := reports.Table(study.Name, records, options)
	if err != nil {
		return err
	}
	for file, format := range map[string]string{textReport: "text", "report.md": "md"} {
		var b bytes.Buffer
		if err := render.Render(&b, table, format); err != nil {
			return err
		}
		path := filepath.Join(store.Study(study.Name), file)
		if err := experiments.WriteFile(path, b.Bytes()); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}
