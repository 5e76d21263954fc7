package cmd

import (
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ablate/configs"
	"ablate/reports/render"
)

func newSchema() *cobra.Command {
	known := append(slices.Clone(configs.Schemas), "report")
	return &cobra.Command{
		Use:   "schema [" + strings.Join(known, "|") + "]",
		Short: "Print the JSON Schema of studies, nets, ablations or reports",
		Long: `schema prints the JSON Schema (draft 2020-12) of the files that ablate reads: every
key with its type, default, range and meaning. Editors use it to complete and check.
For the YAML language server, save it beside a study and begin the study with

  # yaml-language-server: $schema=study.schema.json

docs/studies.md has the same as tables. The schema report describes the output of
ablate report --format json.`,
		Example: `  ablate schema > study.schema.json
  ablate schema net > net.schema.json`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: known,
		RunE: func(c *cobra.Command, args []string) error {
			of := configs.Schemas[0]
			if len(args) == 1 {
				of = args[0]
			}
			if of == "report" {
				_, err := io.WriteString(c.OutOrStdout(), render.JSONSchema)
				return err
			}
			s, err := configs.Schema(of)
			if err != nil {
				return err
			}
			return printJSON(c.OutOrStdout(), s)
		},
	}
}
