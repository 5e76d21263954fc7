package reports

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"ablate/experiments"
)

// A Metric is a figure of a run that variants are compared by.
type Metric struct {
	Name   string // as in metrics.jsonl
	Title  string // "top-1 test error"
	Head   string // of its column: "top-1 error %"
	Share  bool   // a share, 0..1, which is printed in percent
	More   bool   // more is better
	Unit   string // the unit that the study declares; empty for a share
	Format string // how a value is printed, for fmt; empty is the usual way

	assumed bool                             // it is only assumed that less is better
	result  func(experiments.Record) float64 // the figure at the last epoch; nil if only the log has it
	// recorded reports whether a record of any trainer's run may have it: time, memory, energy.
	recorded bool
}

// ofResult makes a metric of a figure in the record of a finished run.
func ofResult(figure func(*experiments.Result) experiments.Number) func(experiments.Record) float64 {
	return func(r experiments.Record) float64 { return float64(figure(r.Result)) }
}

// metrics are those that our own runs log, the usual one first. Any other metric in the logs can be compared too.
var metrics = []Metric{
	{
		Name: "test_top1_error", Title: "top-1 test error", Head: "top-1 error %", Share: true,
		result: ofResult(func(r *experiments.Result) experiments.Number { return r.Top1Error }),
	},
	{
		Name: "test_top5_error", Title: "top-5 test error", Head: "top-5 error %", Share: true,
		result: ofResult(func(r *experiments.Result) experiments.Number { return r.Top5Error }),
	},
	{
		Name: "test_loss", Title: "test loss", Head: "test loss",
		result: ofResult(func(r *experiments.Result) experiments.Number { return r.TestLoss }),
	},
	{
		Name: "train_loss", Title: "training loss", Head: "train loss",
		result: ofResult(func(r *experiments.Result) experiments.Number { return r.TrainLoss }),
	},
	{Name: "train_top1_error", Title: "top-1 training error", Head: "train error %", Share: true},
	{Name: "validation_top1_error", Title: "top-1 validation error", Head: "validation error %", Share: true},
	{Name: "validation_loss", Title: "validation loss", Head: "validation loss"},
	{
		Name: "images_per_second", Title: "training speed", Head: "images/s", More: true, Unit: "images/s", Format: "%.0f",
		result: ofResult(func(r *experiments.Result) experiments.Number { return r.ImagesPerSecond }),
	},
	{
		Name: "run_seconds", Title: "time of a run", Head: "time s", Unit: "s", Format: "%.1f", result: runSeconds,
		recorded: true,
	},
	{
		Name: "cpu_seconds", Title: "CPU time of a run", Head: "CPU time s", Unit: "s", Format: "%.1f", recorded: true,
		result: ofUsage(func(u *experiments.Usage) float64 { return float64(u.CPUSeconds) }),
	},
	{
		Name: "peak_memory", Title: "peak memory", Head: "memory MB", Unit: "MB", Format: "%.0f", recorded: true,
		result: ofUsage(func(u *experiments.Usage) float64 { return float64(u.PeakMemory) / 1e6 }),
	},
	{
		Name: "energy_joules", Title: "energy of a run", Head: "energy J", Unit: "J", Format: "%.0f", recorded: true,
		result: ofUsage(func(u *experiments.Usage) float64 { return u.Joules() }),
	},
}

// ofUsage makes a metric of a run's resource usage. It is NaN where the machine did not report it.
func ofUsage(figure func(*experiments.Usage) float64) func(experiments.Record) float64 {
	return func(r experiments.Record) float64 {
		if u := r.Usage(); u != nil && figure(u) > 0 {
			return figure(u)
		}
		return math.NaN()
	}
}

// runSeconds returns how many seconds a run took over all its attempts, from the first image to the last test.
func runSeconds(r experiments.Record) float64 {
	sum := 0.0
	for _, a := range r.Attempts {
		if !a.Ended.IsZero() {
			sum += a.Ended.Sub(a.Started).Seconds()
		}
	}
	if sum <= 0 {
		return math.NaN()
	}
	return sum
}

// Metrics returns the names of the metrics that our own runs log, the usual one first.
func Metrics() []string {
	var names []string
	for _, m := range metrics {
		names = append(names, m.Name)
	}
	return names
}

// findMetric returns the metric with a name; an empty name means the usual one. The study must declare any other
// metric, or a run's log must contain it.
func findMetric(name string, records []experiments.Record, o Options) (Metric, error) {
	if name == "" {
		name = metrics[0].Name
	}
	kind, declared := o.Kinds[name]
	if i := slices.IndexFunc(metrics, func(m Metric) bool { return m.Name == name }); i >= 0 {
		return metrics[i].as(kind), nil
	}
	names := Metrics()
	logged, percent := false, true
	for _, r := range records {
		if o.Metrics == nil {
			break
		}
		log, err := o.Metrics(r)
		if err != nil {
			continue // the row says so
		}
		for _, m := range log {
			switch {
			case m.Name == name:
				logged, percent = true, percent && !(m.Value < 0 || m.Value > 1)
			case !slices.Contains(names, m.Name):
				names = append(names, m.Name)
			}
		}
	}
	if !logged && !declared {
		for _, n := range slices.Sorted(maps.Keys(o.Kinds)) {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
		return Metric{}, fmt.Errorf("%w: metric %q; want one of %s", ErrOption, name, Sanitize(strings.Join(names, ", ")))
	}
	return loggedMetric(name, percent).as(kind), nil
}

// NamedMetric returns the metric with a name: one of ours, or one described by its name and the logged values. kinds
// overrides either.
func NamedMetric(name string, kinds map[string]experiments.MetricKind, logs ...[]experiments.Metric) Metric {
	for _, m := range metrics {
		if m.Name == name {
			return m.as(kinds[name])
		}
	}
	share := true
	for _, log := range logs {
		share = share && !slices.ContainsFunc(log, func(m experiments.Metric) bool {
			return m.Name == name && (m.Value < 0 || m.Value > 1)
		})
	}
	return loggedMetric(name, share).as(kinds[name])
}

// readLog reads a run's log.
type readLog func(experiments.Record) ([]experiments.Metric, error)

// loggedMetric describes a metric by its name, such as one that a user's program logged. Accuracies and errors are
// shares, unless a logged value is outside 0..1.
func loggedMetric(name string, share bool) Metric {
	m := Metric{Name: name, Title: Sanitize(strings.ReplaceAll(name, "_", " "))}
	m.Head = m.Title
	isError := strings.HasSuffix(name, "_error") || name == "error"
	m.More = strings.HasSuffix(name, "accuracy")
	m.assumed = !m.More && !isError && !strings.HasSuffix(name, "loss")
	if share && (m.More || isError) {
		m.Share = true
		m.Head += " %"
	}
	return m
}

// as adopts what a study declares about a metric.
func (m Metric) as(kind experiments.MetricKind) Metric {
	if kind.Better != "" {
		m.More, m.assumed = kind.Better == "higher", false
	}
	if kind.Format != "" {
		m.Format = "%" + kind.Format
	}
	switch kind.Unit {
	case "":
	case "share":
		if !m.Share {
			m.Share, m.Unit, m.Head = true, "", m.Title+" %"
		}
	default:
		m.Share, m.Unit = false, Sanitize(kind.Unit)
		m.Head = m.Title + " " + m.Unit
	}
	return m
}

// Better returns which values of the metric are better: "higher" or "lower".
func (m Metric) Better() string {
	if m.More {
		return "higher"
	}
	return "lower"
}

// maxLoss is the largest loss that counts. Nets train in float32, where a larger
// one is infinite; the mean and the spread of larger ones would be.
const maxLoss = math.MaxFloat32

// valid reports whether v can be a value of the metric.
func (m Metric) valid(v float64) bool {
	if m.Share {
		return v >= 0 && v <= 1 // false for NaN
	}
	return math.Abs(v) <= maxLoss // false for NaN
}

// Figure writes a value: in percent with two decimals, or as it is with four, unless the study says otherwise.
func (m Metric) Figure(v float64) string {
	switch {
	case m.Share && m.Format != "":
		return fmt.Sprintf(m.Format, 100*v)
	case m.Share:
		return Percent(v)
	case m.Format != "":
		return strings.Replace(fmt.Sprintf(m.Format, v), "-", "−", 1)
	}
	return fmt.Sprintf("%.4f", v)
}

// Signed writes a difference with its sign: "+0.71", "−0.17", "0.00".
func (m Metric) Signed(v float64) string {
	text := m.Figure(math.Abs(v))
	switch {
	case v == 0 || strings.Trim(text, "0.") == "":
		return text
	case v < 0:
		return "−" + text
	}
	return "+" + text
}

// In returns the unit of differences, with a blank before it.
func (m Metric) In() string {
	switch {
	case m.Share:
		return " in percentage points"
	case m.Unit != "":
		return " in " + m.Unit
	}
	return ""
}

// Scale returns the factor from a value to its printed form: 100 for a share.
func (m Metric) Scale() float64 {
	if m.Share {
		return 100
	}
	return 1
}

// printed converts a printed difference, in percentage points for a share, into the metric's own unit.
func (m Metric) printed(v float64) float64 {
	return v / m.Scale()
}

// valueWord returns the word for one value.
func (m Metric) valueWord() string {
	switch {
	case m.More && strings.HasSuffix(m.Name, "accuracy"):
		return "accuracy"
	case m.Share && !m.More && strings.HasSuffix(m.Name, "_error"):
		return "error"
	case strings.HasSuffix(m.Name, "loss"):
		return "loss"
	}
	return m.Title
}

// validation lists the metrics on held-out training images that may choose an epoch of this one; the first that a log
// has is used. A user's metric has validation_ or val_ in place of test_.
func (m Metric) validation() []Metric {
	switch known := slices.ContainsFunc(metrics, func(k Metric) bool { return k.Name == m.Name }); {
	case known && m.Share:
		return []Metric{{Name: "validation_top1_error"}}
	case known:
		return []Metric{{Name: "validation_loss"}}
	}
	rest := strings.TrimPrefix(m.Name, "test_")
	return []Metric{{Name: "validation_" + rest, More: m.More}, {Name: "val_" + rest, More: m.More}}
}

// ofTest reports whether the metric is measured on the test images at all.
func (m Metric) ofTest() bool { return strings.HasPrefix(m.Name, "test_") }

// onTest reports whether the metric is an error rate on the test images.
func (m Metric) onTest() bool { return m.Share && m.ofTest() }
