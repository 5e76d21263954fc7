package reports

import "ablate/reports/stats"

// A Usage is what the runs of a variant used of the machine, as far as the machine reports it.
type Usage struct {
	Runs       int     // runs that report any use
	CPUSeconds float64 // the median of a run
	Memory     float64 // bytes, the median of a run's peak
	Joules     float64 // the median of the runs that report energy; 0 if none does
	AllJoules  float64 // the sum over these runs
}

// usage sums up the runs that count. It returns nil if none reports any use.
func usage(records []outcome) *Usage {
	var cpu, memory, joules []float64
	u := new(Usage)
	for _, r := range records {
		one := r.Usage()
		if !r.counts || one == nil {
			continue
		}
		u.Runs++
		cpu = append(cpu, float64(one.CPUSeconds))
		if one.PeakMemory > 0 {
			memory = append(memory, float64(one.PeakMemory))
		}
		if j := one.Joules(); j > 0 {
			joules = append(joules, j)
			u.AllJoules += j
		}
	}
	if u.Runs == 0 {
		return nil
	}
	u.CPUSeconds = stats.Median(cpu)
	if len(memory) > 0 {
		u.Memory = stats.Median(memory)
	}
	if len(joules) > 0 {
		u.Joules = stats.Median(joules)
	}
	return u
}
