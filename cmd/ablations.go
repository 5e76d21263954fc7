package cmd

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ablate/ablations"
	"ablate/reports/ledger"
)

func newAblations() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "ablations [NAME]",
		Short: "List the ablations, or show one with what has been published about it",
		Long: `ablations lists the catalogue. With a name it shows what the ablation does, its
edits, where it was claimed or tried, and every published number: what was
compared, on which images, and what confounds it. A study uses an ablation as in

  variants:
    no-lrn: {ablate: [no-lrn]}

Several ablations in one variant are applied in the order of the list.`,
		Example: `  ablate ablations
  ablate ablations no-lrn
  ablate ablations no-lrn --json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completes(ablations.Catalogue.Names),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listAblations(c.OutOrStdout(), asJSON)
			}
			a, err := ablations.Catalogue.Get(args[0])
			if err != nil {
				return err
			}
			return showAblation(c.OutOrStdout(), a, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

type ablationEntry struct {
	Ablation   string   `json:"ablation"`
	Does       string   `json:"does"`
	References []string `json:"references"`
}

func listAblations(w io.Writer, asJSON bool) error {
	var list []ablationEntry
	for _, name := range ablations.Catalogue.Names() {
		a, err := ablations.Catalogue.Get(name)
		if err != nil {
			return err
		}
		list = append(list, ablationEntry{a.Name, a.Does, a.References})
	}
	if asJSON {
		return printJSON(w, list)
	}
	rows := [][]string{{"ablation", "what it does"}}
	for _, e := range list {
		rows = append(rows, []string{e.Ablation, e.Does})
	}
	return printTable(w, rows, "ll")
}

func showAblation(w io.Writer, a ablations.Ablation, asJSON bool) error {
	claims := ledger.Of(a.Name)
	if asJSON {
		return printJSON(w, struct {
			ablationEntry
			File      string         `json:"file"` // which contains its edits
			Published []ledger.Claim `json:"published"`
		}{ablationEntry{a.Name, a.Does, a.References}, ablations.Catalogue.Text(a.Name), append([]ledger.Claim{}, claims...)})
	}
	fmt.Fprint(w, ablations.Catalogue.Text(a.Name))
	if len(claims) == 0 {
		fmt.Fprintln(w, "\nNo figures have been published about it.")
		return nil
	}
	fmt.Fprintln(w, "\nPublished, as changes of the error in percentage points:")
	rows := [][]string{{"source", "compared", "net", "images", "views", "runs", "Δ top-1", "Δ top-5"}}
	var notes []string
	for _, c := range claims {
		rows = append(rows, claimRow(c, &notes))
	}
	if err := printTable(w, rows, "llllrrrr"); err != nil {
		return err
	}
	for _, n := range notes {
		fmt.Fprintln(w, n)
	}
	return nil
}

// claimRow returns the cells of a claim's row. Remarks that do not fit into a cell are added to
// notes.
func claimRow(c ledger.Claim, notes *[]string) []string {
	compared := c.Name
	if c.Base != "" {
		compared += " against " + c.Base
	}
	var remarks []string
	if len(c.Figures) == 0 {
		remarks = append(remarks, c.Is)
	}
	for _, f := range c.Figures {
		if words, ok := otherFigures[f.Metric]; ok {
			remarks = append(remarks, fmt.Sprintf(words, figureValues(f)))
		}
	}
	if c.Confounded != "" {
		remarks = append(remarks, "confounded: "+c.Confounded)
	}
	if c.Note != "" {
		remarks = append(remarks, c.Note)
	}
	if c.Memory {
		remarks = append(remarks, "quoted from memory")
	}
	source := c.Key + ": " + c.Where
	if len(remarks) > 0 {
		n := strconv.Itoa(len(*notes) + 1)
		source += " [" + n + "]"
		*notes = append(*notes, "["+n+"] "+strings.Join(remarks, "; "))
	}
	return []string{
		source, compared, strings.Join(c.Nets, ", "), c.Data + " " + c.Split, number(c.Views), number(c.Seeds),
		errorDelta(c, "top1"), errorDelta(c, "top5"),
	}
}

// otherFigures are the words for figures that the table has no column for.
var otherFigures = map[string]string{
	"times_faster": "%s times as fast", "minutes": "%s minutes of training",
	"train_top1_error": "top-1 training error %s %%",
}

// figureValues writes "35.1 → 41.8".
func figureValues(f ledger.Figure) string {
	var values []string
	for _, v := range []*float64{f.Baseline, f.Value} {
		if v != nil {
			values = append(values, strconv.FormatFloat(*v, 'f', -1, 64))
		}
	}
	if f.Delta != nil && len(values) == 0 {
		values = append(values, strconv.FormatFloat(*f.Delta, 'f', -1, 64))
	}
	return strings.Join(values, " → ")
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// errorDelta formats the change of a claim's error rate, such as "+1.37", "> +1.00" or "≈ +2.00".
func errorDelta(c ledger.Claim, of string) string {
	for _, f := range c.Figures {
		d, ok := f.ErrorDelta()
		if !ok || f.ErrorMetric() != of+"_error" {
			continue
		}
		bound := map[string]string{"over": "> ", "about": "≈ "}[f.Bound]
		return bound + strings.Replace(fmt.Sprintf("%+.2f", d), "-", "−", 1)
	}
	return ""
}
