package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ablate/reports/ledger"
)

func newLedger() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "ledger [SEARCH…]",
		Short: "List what has been published about parts of these nets",
		Long: `ledger lists every published comparison and figure that ablate knows, from the
paper, its authors' run diaries and later studies, with the images, views and runs
behind it and what confounds it. With words it lists the entries that contain all
of them, anywhere: in the source, an ablation, a net, a data set.

Reports show these figures beside your own where they can be compared.`,
		Example: `  ablate ledger
  ablate ledger paper
  ablate ledger mishkin batch
  ablate ledger no-lrn --json`,
		ValidArgsFunction: completes(ledgerWords),
		RunE: func(c *cobra.Command, args []string) error {
			claims := ledger.Search(args...)
			if asJSON {
				return printJSON(c.OutOrStdout(), append([]ledger.Claim{}, claims...))
			}
			return listClaims(c.OutOrStdout(), claims)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// listClaims prints a table of claims, and below it what does not fit into the table.
func listClaims(w io.Writer, claims []ledger.Claim) error {
	if len(claims) == 0 {
		fmt.Fprintln(w, "No entry of the ledger contains these words.")
		return nil
	}
	rows := [][]string{{"source", "compared", "net", "images", "views", "runs", "top-1 error %", "Δ top-1", "Δ top-5"}}
	var notes []string
	for _, c := range claims {
		row := claimRow(c, &notes)
		rows = append(rows, append(row[:6:6], top1Error(c), row[6], row[7]))
	}
	if err := printTable(w, rows, "llllrrrrr"); err != nil {
		return err
	}
	for _, n := range notes {
		fmt.Fprintln(w, n)
	}
	fmt.Fprintf(w, "%s; Δ: change of the error in percentage points\n", entries(len(claims)))
	return nil
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// top1Error formats the claim's own top-1 error; an accuracy is converted.
func top1Error(c ledger.Claim) string {
	for _, f := range c.Figures {
		if f.Value == nil || f.ErrorMetric() != "top1_error" {
			continue
		}
		v := *f.Value
		if f.Metric != f.ErrorMetric() {
			v = 100 - v
		}
		return fmt.Sprintf("%.2f", v)
	}
	return ""
}

// ledgerWords returns useful words to search for: the sources, and the ablations with published
// figures.
func ledgerWords() []string {
	var words []string
	seen := map[string]bool{"": true}
	for _, c := range ledger.Claims() {
		for _, word := range []string{c.Key, c.Ablation} {
			if !seen[word] && !strings.Contains(word, " ") {
				seen[word] = true
				words = append(words, word)
			}
		}
	}
	return words
}
