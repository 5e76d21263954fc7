package cmd

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ablate/experiments"
)

func newNote() *cobra.Command {
	var remove int
	var asJSON bool
	c := &cobra.Command{
		Use:   "note RUN|STUDY [TEXT]",
		Short: "Write a note on a run or a study",
		Example: `  ablate note quickstart/baseline/1 "the loss jumps in epoch 3: look at the data"
  ablate note quickstart "for the paper, table 2"
  ablate note quickstart
  ablate note quickstart --remove 1`,
		Long: `note adds a note to a run or a study, or lists the notes. They are kept in
notes.json in its folder, can be written during training, and change no result.
ablate runs, show, the page and exports show them.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := annotated(c, args[0])
			if err != nil {
				return err
			}
			switch {
			case remove != 0 && len(args) > 1:
				return fmt.Errorf("--remove takes no text")
			case remove != 0:
				return experiments.ChangeNotes(dir, func(n *experiments.Notes) error {
					if remove < 1 || remove > len(n.Notes) {
						return fmt.Errorf("--remove %d: %s has %d notes", remove, args[0], len(n.Notes))
					}
					n.Notes = slices.Delete(n.Notes, remove-1, remove)
					return nil
				})
			case len(args) > 1:
				return experiments.ChangeNotes(dir, func(n *experiments.Notes) error { return n.Say(args[1]) })
			}
			n, err := experiments.ReadNotes(dir)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), n)
			}
			return printNotes(c.OutOrStdout(), n)
		},
	}
	c.Flags().IntVar(&remove, "remove", 0, "remove note `N` of the list")
	c.Flags().BoolVar(&asJSON, "json", false, "print notes and tags as JSON")
	return c
}

func newTag() *cobra.Command {
	var remove []string
	c := &cobra.Command{
		Use:   "tag RUN|STUDY [TAG…]",
		Short: "Tag a run or a study",
		Example: `  ablate tag quickstart paper
  ablate tag quickstart/no-lrn/3 odd look-again
  ablate tag quickstart/no-lrn/3 --remove odd
  ablate runs --where 'tag = paper'`,
		Long: `tag adds tags to a run or a study, or lists them. A tag on a study applies to all of
its runs. ablate runs --where finds runs by tag.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := annotated(c, args[0])
			if err != nil {
				return err
			}
			if len(args) == 1 && len(remove) == 0 {
				n, err := experiments.ReadNotes(dir)
				if err == nil && len(n.Tags) > 0 {
					_, err = fmt.Fprintln(c.OutOrStdout(), strings.Join(n.Tags, "\n"))
				}
				return err
			}
			return experiments.ChangeNotes(dir, func(n *experiments.Notes) error {
				for _, tag := range remove {
					if !n.Untag(tag) {
						return fmt.Errorf("--remove %s: %s has no such tag", tag, args[0])
					}
				}
				for _, tag := range args[1:] {
					if err := n.Tag(tag); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	c.Flags().StringSliceVar(&remove, "remove", nil, "remove these tags, `TAG,…`")
	return c
}

// annotated returns the folder of a run or a study.
func annotated(c *cobra.Command, name string) (string, error) {
	store, err := openStore(c)
	if err != nil {
		return "", err
	}
	return store.FindNotes(name)
}

func printNotes(w io.Writer, n experiments.Notes) error {
	if len(n.Tags) > 0 {
		if _, err := fmt.Fprintln(w, "tags:", strings.Join(n.Tags, ", ")); err != nil {
			return err
		}
	}
	for i, note := range n.Notes {
		_, err := fmt.Fprintf(w, "%d  %s  %s\n", i+1, note.At.Local().Format(time.DateTime), plain(note.Text, longestMessage))
		if err != nil {
			return err
		}
	}
	return nil
}
