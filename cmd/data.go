package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"ablate/arch"
	"ablate/runner/data"
)

func newData() *cobra.Command {
	c := &cobra.Command{
		Use:   "data",
		Short: "List the data sets, or check one on disk",
		Args:  cobra.NoArgs,
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "List the data sets, where to get them and what data.root must hold",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, s := range data.List() {
				fmt.Fprintf(c.OutOrStdout(), "%s\n  %s\n  from    %s\n  layout  %s\n", s.Name, s.What, s.Where, s.Layout)
				for _, f := range s.Files {
					fmt.Fprintf(c.OutOrStdout(), "  file    %s, %s bytes", f.Name, thousands(f.Bytes))
					if f.MD5 != "" {
						fmt.Fprint(c.OutOrStdout(), ", MD5 ", f.MD5)
					}
					fmt.Fprintln(c.OutOrStdout())
				}
				fmt.Fprintln(c.OutOrStdout())
			}
			return nil
		},
	}
	check := &cobra.Command{
		Use:   "check NAME ROOT",
		Short: "Verify a data set: sizes, digests, labels, class balance, duplicates",
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := data.Check(c.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return printCheck(c, r)
		},
	}
	c.AddCommand(list, check)
	return c
}

func printCheck(c *cobra.Command, r data.Report) error {
	w := c.OutOrStdout()
	ds := r.Dataset
	fmt.Fprintf(w, "%s: %s training and %s test images of %v\n", ds.Name, thousands(int64(ds.Train.Len())), thousands(int64(ds.Test.Len())), arch.Shape(ds.Shape))
	fmt.Fprintf(w, "in both splits: %d; more than once in training: %d\n", r.Shared, r.Repeated)
	fmt.Fprintf(w, "sha256 train %s\nsha256 test  %s\n\n", ds.Digests["train"], ds.Digests["test"])
	rows := [][]string{{"class", "training", "test"}}
	for i, n := range r.Balance {
		rows = append(rows, []string{ds.Classes[i], thousands(int64(n[0])), thousands(int64(n[1]))})
	}
	return printTable(w, rows, "lrr")
}
