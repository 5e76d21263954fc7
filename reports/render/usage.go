package render

import (
	"fmt"

	"ablate/reports"
)

// usageNames lists the columns of the runs' use of the machine. Tables have them only on request.
var usageNames = []string{"cpu_time", "memory", "energy"}

// usageFields returns these columns: the median of a variant's runs, and their total energy.
func usageFields() []field {
	of := func(u func(reports.Usage) float64, say func(reports.Usage) string) func(reports.Row) string {
		return func(r reports.Row) string {
			if r.Usage == nil || u(*r.Usage) <= 0 {
				return reports.None
			}
			return say(*r.Usage)
		}
	}
	full := func(u ...func(reports.Usage) float64) func(reports.Row) []string {
		return func(r reports.Row) []string {
			cells := make([]string, len(u))
			for i, f := range u {
				if r.Usage != nil && f(*r.Usage) > 0 {
					cells[i] = exact(f(*r.Usage))
				}
			}
			return cells
		}
	}
	cpu := func(u reports.Usage) float64 { return u.CPUSeconds }
	memory := func(u reports.Usage) float64 { return u.Memory }
	joules := func(u reports.Usage) float64 { return u.Joules }
	all := func(u reports.Usage) float64 { return u.AllJoules }
	return []field{
		{
			name: "cpu_time", column: Column{Head: "CPU s/run", Right: true},
			text:  of(cpu, func(u reports.Usage) string { return fmt.Sprintf("%.4g", u.CPUSeconds) }),
			heads: []string{"cpu_seconds"}, full: full(cpu),
		},
		{
			name: "memory", column: Column{Head: "memory", Right: true},
			text:  of(memory, func(u reports.Usage) string { return siCount(int64(u.Memory)) + "B" }),
			heads: []string{"peak_memory"}, full: full(memory),
		},
		{
			name: "energy", column: Column{Head: "energy a run (all)", Right: true},
			text: of(joules, func(u reports.Usage) string {
				return fmt.Sprintf("%s (%s)", energy(u.Joules), energy(u.AllJoules))
			}),
			heads: []string{"joules", "joules_all"}, full: full(joules, all),
		},
	}
}

// energy writes joules: 500 J, 4.00 kJ.
func energy(joules float64) string {
	if joules < 1000 {
		return fmt.Sprintf("%.3g J", joules)
	}
	return siCount(int64(joules)) + "J"
}
