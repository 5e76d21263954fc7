package cmd

import (
	_ "embed"
	"io"

	"github.com/spf13/cobra"
)

//go:generate sh -c "cd .. && go run ./scripts/notices >cmd/notices.txt"

// notices holds the licences of Go and of the linked modules.
//
//go:embed notices.txt
var notices string

func newNotices() *cobra.Command {
	return &cobra.Command{
		Use:     "notices",
		Short:   "Print the licences of the software in this program",
		Example: `  ablate notices`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := io.WriteString(c.OutOrStdout(), notices)
			return err
		},
	}
}
