package page

import (
	"fmt"
	"strings"

	"ablate/experiments"
	"ablate/reports/stats"
)

// said returns the tags and notes on a study's runs, and each run's use of the machine.
func (b *Pictures) said() []Fact {
	var facts []Fact
	var cpu, memory, joules []float64
	for _, r := range b.s.Records {
		if u := r.Usage(); u != nil {
			cpu, memory = append(cpu, float64(u.CPUSeconds)), append(memory, float64(u.PeakMemory))
			if j := u.Joules(); j > 0 {
				joules = append(joules, j)
			}
		}
		if b.s.Notes == nil {
			continue
		}
		n, err := b.s.Notes(r)
		if err != nil {
			b.problems = append(b.problems, err.Error())
			continue
		}
		if text := remarks(n); text != "" {
			facts = append(facts, Fact{fmt.Sprintf("notes on %s, seed %d", r.Variant, r.Seed), text})
		}
	}
	if len(cpu) == 0 {
		return facts
	}
	text := fmt.Sprintf("%.4g s of CPU time a run, %.4g MB of memory", stats.Median(cpu), stats.Median(memory)/1e6)
	if len(joules) > 0 {
		text += fmt.Sprintf(", %.4g kJ", stats.Median(joules)/1e3)
	}
	return append(facts, Fact{"machine", text + " (medians)"})
}

// remarks joins tags and notes into one text.
func remarks(n experiments.Notes) string {
	parts := []string{}
	if len(n.Tags) > 0 {
		parts = append(parts, "tagged "+strings.Join(n.Tags, ", "))
	}
	for _, note := range n.Notes {
		parts = append(parts, note.Text)
	}
	return strings.Join(parts, " · ")
}
