package ablations

import (
	"fmt"
	"strings"
)

// A Design turns a study's components into variants.
type Design string

// The designs.
const (
	Each        Design = "each"          // the variants as written
	LeaveOneOut Design = "leave-one-out" // a variant for each component, without it
	Cumulative  Design = "cumulative"    // each variant lacks one more component
	Factorial   Design = "factorial"     // every combination of components
)

// Designs lists the words that a study may use.
var Designs = []Design{Each, LeaveOneOut, Cumulative, Factorial}

// maxFactors bounds a factorial design: 2^6 variants are 64.
const maxFactors = 6

// Combinations returns the lists of components that the design's variants leave out, in order. The
// baseline, which leaves out none, is not among them.
func (d Design) Combinations(components []string) ([][]string, error) {
	if len(components) == 0 {
		return nil, fmt.Errorf("design %s needs components: a list of ablations", d)
	}
	var out [][]string
	switch d {
	case LeaveOneOut:
		for _, c := range components {
			out = append(out, []string{c})
		}
	case Cumulative:
		for i := range components {
			out = append(out, components[:i+1])
		}
	case Factorial:
		if len(components) > maxFactors {
			return nil, fmt.Errorf("design factorial over %d components is %d variants; at most %d components are allowed",
				len(components), 1<<len(components), maxFactors)
		}
		for mask := 1; mask < 1<<len(components); mask++ {
			var c []string
			for i, name := range components {
				if mask>>i&1 == 1 {
					c = append(c, name)
				}
			}
			out = append(out, c)
		}
	default:
		return nil, fmt.Errorf("design %s takes no components", d)
	}
	return out, nil
}

// CombinationName returns a variant's name: its components joined by +.
func CombinationName(components []string) string { return strings.Join(components, "+") }
