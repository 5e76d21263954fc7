package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ablate/arch"
	"ablate/reports"
)

func newNets() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "nets [NAME]",
		Short: "List the nets, or show one layer by layer",
		Example: `  ablate nets
  ablate nets alexnet
  ablate nets mine.yaml --json`,
		Long: `nets lists the nets that ship with ablate. With a name, or a file, it shows each
layer's output, parameters and multiply-accumulates (in a forward pass over one
image). The layers inside a part are marked with a dot, before the line that ends it.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completes(arch.Nets.Names),
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
		list = append(list, netEntry{Name: name, Title: n.Title, Source: n.Source, Cost: cost})
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
	From   []string   `json:"from,omitempty"`
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
			e := layerEntry{Layer: p.Layer.Name, Kind: p.Layer.Spec.Kind(), Output: p.Out, Params: p.Params, MACs: p.MACs}
			if p.Depth > 0 || len(p.From) > 1 { // in a chain, the order tells
				e.From = names(infos, p.From)
			}
			layers = append(layers, e)
		}
		return printJSON(w, struct {
			Net    string       `json:"net"`
			Title  string       `json:"title"`
			Source string       `json:"source"`
			Layers []layerEntry `json:"layers"`
			Cost   arch.Cost    `json:"cost"`
		}{Net: n.Name, Title: n.Title, Source: n.Source, Layers: layers, Cost: cost})
	}
	fmt.Fprintf(w, "%s · %s\n%s\n\n", n.Name, n.Title, n.Source)
	rows := [][]string{{"layer", "what", "output", "params", "MACs"}, {"input", "", n.Input.String(), "", ""}}
	for _, p := range infos {
		name := strings.Repeat("· ", p.Depth) + p.Layer.Name
		rows = append(rows, []string{name, p.Layer.Spec.Words(p), p.Out.String(), blank(p.Params), blank(p.MACs)})
	}
	rows = append(rows, []string{"total", "", "", reports.Thousands(cost.Params), reports.Thousands(cost.MACs)})
	return printTable(w, rows, "lllrr")
}

// names returns the names of the layers that another layer reads.
func names(infos []arch.LayerInfo, from []int) []string {
	var list []string
	for _, i := range from {
		if i < 0 {
			list = append(list, "input")
		} else {
			list = append(list, infos[i].Layer.Name)
		}
	}
	return list
}
