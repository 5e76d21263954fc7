package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
	"github.com/spf13/cobra"

	"ablate/arch"
	"ablate/reports"
)

func newNets() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "nets [NAME]",
		Short: "List the nets, or show one layer by layer",
		Long: `nets lists the nets that ship with ablate. With a name, or a file, it shows each
layer's output, parameters and multiply-accumulates (forward, for one image).

  ablate nets
  ablate nets alexnet
  ablate nets mine.yaml --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				n, err := arch.Nets.Load(args[0])
				if err != nil {
					return err
				}
				return showNet(c.OutOrStdout(), n, asJSON)
			}
			return listNets(c.OutOrStdout(), asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

type netEntry struct {
	Name   string    `json:"name"`
	Title  string    `json:"title"`
	Source string    `json:"source"`
	Cost   arch.Cost `json:"cost"`
}

func listNets(w io.Writer, asJSON bool) error {
	var list []netEntry
	for _, name := range arch.Nets.Names() {
		n, err := arch.Nets.Load(name)
		if err != nil {
			return err
		}
		cost, err := n.Cost()
		if err != nil {
			return err
		}
		list = append(list, netEntry{name, n.Title, n.Source, cost})
	}
	if asJSON {
		return printJSON(w, list)
	}
	rows := [][]string{{"net", "params", "MACs", "what it is"}}
	for _, e := range list {
		rows = append(rows, []string{e.Name, reports.Thousands(e.Cost.Params), reports.Thousands(e.Cost.MACs), e.Title})
	}
	return printTable(w, rows, "lrrl")
}

type layerEntry struct {
	Layer  string     `json:"layer"`
	Kind   string     `json:"kind"`
	Output arch.Shape `json:"output"`
	Params int64      `json:"params"`
	MACs   int64      `json:"macs"`
}

func showNet(w io.Writer, n *arch.Net, asJSON bool) error {
	infos, err := n.Infer()
	if err != nil {
		return err
	}
	cost, err := n.Cost()
	if err != nil {
		return err
	}
	if asJSON {
		var layers []layerEntry
		for _, p := range infos {
			layers = append(layers, layerEntry{p.Layer.Name, p.Layer.Spec.Kind(), p.Out, p.Params, p.MACs})
		}
		return printJSON(w, struct {
			Net    string       `json:"net"`
			Title  string       `json:"title"`
			Source string       `json:"source"`
			Layers []layerEntry `json:"layers"`
			Cost   arch.Cost    `json:"cost"`
		}{n.Name, n.Title, n.Source, layers, cost})
	}
	fmt.Fprintf(w, "%s · %s\n%s\n\n", n.Name, n.Title, n.Source)
	rows := [][]string{{"layer", "what", "output", "params", "MACs"}, {"input", "", n.Input.String(), "", ""}}
	for _, p := range infos {
		rows = append(rows, []string{p.Layer.Name, p.Layer.Spec.Words(p), p.Out.String(), blank(p.Params), blank(p.MACs)})
	}
	rows = append(rows, []string{"total", "", "", reports.Thousands(cost.Params), reports.Thousands(cost.MACs)})
	return printTable(w, rows, "lllrr")
}

func blank(n int64) string {
	if n == 0 {
		return ""
	}
	return reports.Thousands(n)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printTable draws rows without rules; align has l or r for each column. The first row is the head.
func printTable(w io.Writer, rows [][]string, align string) error {
	var columns tw.Alignment
	for _, a := range align {
		if a == 'r' {
			columns = append(columns, tw.AlignRight)
		} else {
			columns = append(columns, tw.AlignLeft)
		}
	}
	var b strings.Builder
	t := tablewriter.NewTable(&b,
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithAlignment(columns),
		tablewriter.WithHeaderAlignmentConfig(tw.CellAlignment{PerColumn: columns}),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Settings: tw.Settings{Lines: tw.LinesNone, Separators: tw.SeparatorsNone},
		})))
	for i, row := range rows {
		rows[i] = slices.Clone(row)
		for j, cell := range row {
			rows[i][j] = plain(cell, longestCell)
		}
	}
	t.Header(rows[0])
	if err := t.Bulk(rows[1:]); err != nil {
		return err
	}
	if err := t.Render(); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(strings.TrimPrefix(line, " "), " \n")); err != nil {
			return err
		}
	}
	return nil
}
