// Ablate finds out which parts of a network earn their place: it trains a net
// and its ablations from a YAML study and compares them.
package main

import (
	"os"

	"ablate/cmd"
)

func main() { os.Exit(cmd.Execute(os.Args[1:], os.Stdout, os.Stderr)) }
