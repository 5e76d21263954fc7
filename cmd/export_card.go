package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"ablate/experiments/export"
)

func newExportModelCard() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:     "model-card RUN",
		Short:   "Write a Hugging Face model card for a run's net",
		Example: `  ablate export model-card quickstart/baseline/1 -o model/README.md`,
		Long: `model-card writes the page that the Hugging Face Hub shows for a model: YAML front
matter with the task, the data set and, in its field model-index, the figures of the
run, and Markdown. ablate report --format metafile prints something else: the
metafile.yml of OpenMMLab, for all variants of a study.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			store, err := openStore(c)
			if err != nil {
				return err
			}
			rec, _, err := store.Read(args[0])
			if err != nil {
				return err
			}
			run, err := export.Open(store, rec)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			card, err := export.ModelCard(run)
			if err != nil {
				return err
			}
			if output != "" {
				return writeOutput(output, card)
			}
			_, err = c.OutOrStdout().Write(card)
			return err
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "write to `FILE`, replaced as a whole")
	return c
}
