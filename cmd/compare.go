package cmd

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ablate/experiments/importer"
	"ablate/reports"
	"ablate/reports/page"
	"ablate/reports/render"
)

func newCompare() *cobra.Command {
	var m mapping
	var format, output string
	var shown []string
	c := &cobra.Command{
		Use:   "compare FILE",
		Short: "Print the comparison table of results in a CSV file",
		Example: `  ablate compare results.csv
  ablate compare results.csv --column variant=model --metric accuracy --baseline full
  ablate compare results.csv --format html -o table.html`,
		Long: `compare reads a table with the columns variant, seed, metric and value, or one with a
row for each run (variant, seed, and a column for each figure), and prints the same
comparison table as ablate report. It keeps no records. With a column dataset it prints a
table for each data set, and ranks over all of them. FILE may be - for standard input.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if format = formatNamed(format); !slices.Contains(formats(), format) {
				return fmt.Errorf("--format %s: %w; want one of %s", format, reports.ErrFormat, strings.Join(formats(), ", "))
			}
			if err := m.settle(); err != nil {
				return err
			}
			s, err := importer.CSV(args[0], c.InOrStdin(), m.Mapping)
			if err != nil {
				return err
			}
			m.Choice.Study = tableName(args[0])
			studies, err := s.Studies(m.Choice)
			if err != nil {
				return err
			}
			var b bytes.Buffer
			if err := writeTables(&b, studies, format, shown); err != nil {
				return err
			}
			r := reporter{reportFlags: reportFlags{output: output}, out: c.OutOrStdout()}
			return r.put(b.Bytes())
		},
	}
	m.choices(c)
	m.table(c)
	f := c.Flags()
	f.StringVar(&format, "format", "text", "print as `FORMAT`: "+strings.Join(formats(), ", "))
	f.StringSliceVar(&shown, "columns", nil,
		"show these columns of the table, `NAME,…`: "+strings.Join(render.Columns(), ", "))
	f.StringVarP(&output, "output", "o", "", "write to `FILE`, which is replaced as a whole")
	return c
}

// tableName returns the title for the table of a file.
func tableName(path string) string {
	name := path[strings.LastIndexAny(path, `/\`)+1:]
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		name = name[:i]
	}
	return name
}

// writeTables writes the table of each study, and then the ranks over all of them.
func writeTables(w io.Writer, studies []*importer.Study, format string, columns []string) error {
	var tables []*reports.Comparison
	for _, s := range studies {
		d := s.Declaration
		at, err := reports.ParseAt(d.At)
		if err != nil {
			return fmt.Errorf("--at: %w", err)
		}
		table, err := reports.Table(d.Study, s.Records, reports.Options{
			Variants: d.Variants, Baseline: d.Variants[0], Metric: d.Metric, At: at, Kinds: d.Metrics, Metrics: s.Metrics,
			Columns: columns,
		})
		if err != nil {
			return err
		}
		tables = append(tables, table)
	}
	switch {
	case len(tables) > 1 && format == svg:
		return fmt.Errorf("--format svg: a picture shows one data set; html has one for each")
	case len(tables) > 1 && format == html:
		return page.WriteSeveral(w, tables)
	case len(tables) > 1:
		return render.Several(w, tables, format)
	case format == html:
		return page.Write(w, tables[0], page.Source{Records: studies[0].Records, Metrics: studies[0].Metrics})
	case format == svg:
		return page.WriteForest(w, tables[0])
	}
	return render.Render(w, tables[0], format)
}
