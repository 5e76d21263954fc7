package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"ablate/ablations"
)

func newAblations() *cobra.Command {
	return &cobra.Command{
		Use:   "ablations [NAME]",
		Short: "List what can be taken away, or show one ablation with its references",
		Long: `ablations lists the catalogue. With a name it shows what the ablation does, its
edits, and where it was claimed or tried. In a study an ablation is used as

  variants:
    no-lrn: {ablate: [no-lrn]}

and several in one variant are made one after the other.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			w := c.OutOrStdout()
			if len(args) == 0 {
				rows := [][]string{{"ablation", "what it does"}}
				for _, name := range ablations.Catalogue.Names() {
					a, err := ablations.Catalogue.Get(name)
					if err != nil {
						return err
					}
					rows = append(rows, []string{name, a.Does})
				}
				return printTable(w, rows, "ll")
			}
			a, err := ablations.Catalogue.Get(args[0])
			if err != nil {
				return err
			}
			fmt.Fprint(w, ablations.Catalogue.Text(a.Name))
			return nil
		},
	}
}
