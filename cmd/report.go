package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ablate/arch"
	"ablate/configs"
	"ablate/experiments"
	"ablate/reports"
)

func newReport() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "report STUDY",
		Short: "Print a study's comparison table from its records",
		Long: `report reads the records under runs/STUDY/ and prints the comparison table:
top-1 error over the seeds, the difference to the baseline under the same seeds
with its interval, and what the statistics allow one to say. It trains nothing.

  ablate report quickstart
  ablate report quickstart --format md > table.md`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			settings, err := settings(c)
			if err != nil {
				return err
			}
			store, err := experiments.Open(settings.Runs)
			if err != nil {
				return err
			}
			name, variants, err := order(args[0])
			if err != nil {
				return err
			}
			return printReport(c.OutOrStdout(), store, name, format, variants)
		},
	}
	c.Flags().StringVar(&format, "format", "text", "text or md")
	return c
}

// order gives a study's name and its variants as its file has them. A name whose
// file is gone, or asks for data that is not here, can still be reported, in the order of names.
func order(study string) (string, []string, error) {
	s, err := configs.Load(study, nil)
	switch {
	case err == nil:
		return s.Name, variantNames(s), nil
	case arch.IsPath(study):
		return "", nil, err
	default:
		return study, nil, nil
	}
}

func variantNames(s *configs.Study) []string {
	var names []string
	for _, v := range s.Variants {
		names = append(names, v.Name)
	}
	return names
}

// compare builds a study's table from its records. Records that cannot be read are named on stderr.
func compare(store *experiments.Store, study string, variants []string, o reports.Options) (*reports.Comparison, error) {
	records, problems := store.Load(study)
	for _, p := range problems {
		fmt.Fprintln(os.Stderr, "ablate: left out:", p)
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("no runs of %s under %s: train them with ablate run %s", study, store.Root, study)
	}
	o.Variants = variants
	return reports.Table(study, records, o)
}

// printReport prints a study's table, speeds included.
func printReport(w io.Writer, store *experiments.Store, study, format string, variants []string) error {
	o := reports.Options{Speed: true}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			o.Width = width
		}
	}
	table, err := compare(store, study, variants, o)
	if err != nil {
		return err
	}
	return reports.Render(w, table, format)
}

// writeReports leaves the table beside the records. Speeds are left out, so that
// equal runs give equal files.
func writeReports(store *experiments.Store, study string, variants []string) error {
	table, err := compare(store, study, variants, reports.Options{})
	if err != nil {
		return err
	}
	for file, format := range map[string]string{"report.txt": "text", "report.md": "md"} {
		var b bytes.Buffer
		if err := reports.Render(&b, table, format); err != nil {
			return err
		}
		path := filepath.Join(store.Study(study), file)
		if err := experiments.WriteFile(path, b.Bytes()); err != nil {
			return errors.Join(fmt.Errorf("write the report"), err)
		}
	}
	return nil
}
