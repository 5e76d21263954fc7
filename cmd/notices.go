package cmd

import (
	_ "embed"
	"io"

	"github.com/spf13/cobra"
)

//go:generate sh -c "cd .. && go run ./scripts/notices >cmd/notices.txt"

// notices are the licences of Go and of the modules that are linked.
//
//go:embed notices.txt
var notices string

func newNotices() *cobra.Command {
	return &cobra.Command{
		Use:     "notices",
		Short:   "Print the licences of what this program is made of",
		Example: `  ablate notices`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := io.WriteString(c.OutOrStdout(), notices)
			return err
		},
	}
}
