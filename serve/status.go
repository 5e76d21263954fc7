package serve

import (
	"fmt"
	"slices"
	"time"

	"ablate/experiments"
)

// waiting is the state of a run that is declared but not started, broken the state of one that cannot be read.
const (
	waiting = "waiting"
	broken  = "broken"
)

// states lists the states of runs in the order in which they are counted.
var states = []string{
	string(experiments.Running), waiting, string(experiments.Failed), string(experiments.Diverged),
	string(experiments.Interrupted), broken, string(experiments.Done),
}

// name returns STUDY/VARIANT/SEED.
func (r *run) name() string { return fmt.Sprintf("%s/%s/%d", r.study, r.variant, r.seed) }

func (r *run) state() string {
	return string(r.record.Status)
}

// node returns the host that works on a run, or did last.
func (r *run) node() string {
	if n := len(r.record.Attempts); n > 0 {
		return r.record.Attempts[n-1].Host
	}
	return ""
}

func (r *run) device() string {
	if n := len(r.record.Attempts); n > 0 {
		return r.record.Attempts[n-1].Device
	}
	return ""
}

func (r *run) hardware() string {
	if n := len(r.record.Attempts); n > 0 {
		return r.record.Attempts[n-1].Hardware
	}
	return ""
}

func (r *run) started() time.Time {
	if len(r.record.Attempts) > 0 {
		return r.record.Attempts[0].Started
	}
	return time.Time{}
}

// took returns how long a finished run was worked on, over all its attempts.
func (r *run) took() time.Duration {
	var sum time.Duration
	for _, a := range r.record.Attempts {
		if a.Ended.After(a.Started) {
			sum += a.Ended.Sub(a.Started)
		}
	}
	return sum
}

// epochs returns how many epochs a run has completed, and how many it will have.
func (r *run) epochs() (done, all int) {
	if r.broken != "" || r.recipe == nil {
		return 0, 0
	}
	if r.record.Result != nil {
		return r.record.Result.Epochs, max(r.recipe.epochs, r.record.Result.Epochs)
	}
	return r.progress.epoch, r.recipe.epochs
}

// standing describes the state of a run in words.
func (r *run) standing() string {
	done, all := r.epochs()
	switch {
	case r.broken != "":
		return "cannot be read"
	case r.record.Status == experiments.Running:
		text := fmt.Sprintf("epoch %d of %d", done, all)
		if all == 0 {
			text = fmt.Sprintf("step %d", r.progress.step)
		}
		if r.node() != "" {
			text += " on " + r.node()
		}
		if left := r.progress.remaining; left > 0 {
			text += ", " + age(left) + " to go"
		}
		return text
	case r.record.Error != "":
		return r.record.Error
	case done < all:
		return fmt.Sprintf("epoch %d of %d", done, all)
	}
	return ""
}

// An overview summarises the state of a study.
type overview struct {
	Study    string
	Counts   []count
	Runs     int // runs recorded or declared
	Ended    int
	Percent  int
	ETA      string
	Nodes    []string // nodes that train
	Newest   time.Time
	Problems []string
	Seeds    []uint64
	Names    []string
}

// A count is the number of runs in a state.
type count struct {
	State string
	N     int
}

// overview counts a study's runs and estimates when it will end: the remaining work at the pace of the training runs,
// divided among as many as train now.
func (s *study) overview() overview {
	o := overview{Study: s.name, Names: slices.Clone(s.declared.Variants), Seeds: slices.Clone(s.declared.Seeds)}
	if s.problem != "" {
		o.Problems = append(o.Problems, s.problem)
	}
	n := map[string]int{}
	var left, spent time.Duration
	training, ended, parts := 0, 0, 0.0
	for _, r := range s.runs {
		n[r.state()]++
		if !slices.Contains(o.Names, r.variant) {
			o.Names = append(o.Names, r.variant)
		}
		if !slices.Contains(o.Seeds, r.seed) {
			o.Seeds = append(o.Seeds, r.seed)
		}
		if r.started().After(o.Newest) {
			o.Newest = r.started()
		}
		switch {
		case r.broken != "":
			o.Problems = append(o.Problems, r.broken)
		case r.record.Status == experiments.Running:
			training++
			left += r.progress.remaining
			if done, all := r.epochs(); all > 0 {
				parts += float64(done) / float64(all)
			}
			if host := r.node(); host != "" && !slices.Contains(o.Nodes, host) {
				o.Nodes = append(o.Nodes, host)
			}
			if pace := r.progress.perEpoch * time.Duration(r.progress.epochs); pace > 0 && ended == 0 {
				spent = max(spent, pace)
			}
		case r.record.Status.Final():
			if took := r.took(); took > 0 {
				if ended == 0 {
					spent = 0
				}
				spent += took
				ended++
			}
		}
	}
	slices.Sort(o.Seeds)
	slices.Sort(o.Nodes)
	if missing := len(s.declared.Variants)*len(s.declared.Seeds) - s.declaredRuns(); missing > 0 {
		n[waiting] = missing
	}
	for _, state := range states {
		if n[state] > 0 {
			o.Counts = append(o.Counts, count{state, n[state]})
			o.Runs += n[state]
		}
	}
	o.Ended = n[string(experiments.Done)] + n[string(experiments.Diverged)] + n[string(experiments.Failed)]
	if o.Runs > 0 {
		o.Percent = int(100 * (float64(o.Ended) + parts) / float64(o.Runs))
	}
	if training > 0 {
		each := spent / time.Duration(max(1, ended))
		if all := (left + each*time.Duration(n[waiting])) / time.Duration(training); all > 0 {
			o.ETA = age(all)
		}
	}
	return o
}

// declaredRuns returns how many of the existing runs the study declared.
func (s *study) declaredRuns() int {
	variants, seeds := map[string]bool{}, map[uint64]bool{}
	for _, v := range s.declared.Variants {
		variants[v] = true
	}
	for _, seed := range s.declared.Seeds {
		seeds[seed] = true
	}
	n := 0
	for _, r := range s.runs {
		if variants[r.variant] && seeds[r.seed] {
			n++
		}
	}
	return n
}
