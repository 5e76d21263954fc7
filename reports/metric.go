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
	Unit   string // what the study says values are in; none for a share
	Format string // of a printed value, for fmt; empty is the usual one

	assumed bool                             // that less is better: nothing says so
	result  func(experiments.Record) float64 // the figure at the last epoch; nil if only the log has it
	// recorded says that the record of any trainer's run may have it: time, memory, energy
	recorded bool
}

// ofResult is a figure that the record of a finished run has.
func ofResult(figure func(*experiments.Result) experiments.Number) func(experiments.Record) float64 {
	return func(r experiments.Record) float64 { return float64(figure(r.Result)) }
}

// metrics are those that a run of ours logs, the usual one first. Any other that runs have logged can be compared too.
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

// ofUsage is a figure of what a run took of the machine; no number where the machine did not tell it.
func ofUsage(figure func(*experiments.Usage) float64) func(experiments.Record) float64 {
	return func(r experiments.Record) float64 {
		if u := r.Usage(); u != nil && figure(u) > 0 {
			return figure(u)
		}
		return math.NaN()
	}
}

// runSeconds is how long a run took over all its attempts, from the first image to the last test.
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

// Metrics returns the names of what a run of ours logs, the usual one first.
func Metrics() []string {
	var names []string
	for _, m := range metrics {
		names = append(names, m.Name)
	}
	return names
}

// findMetric returns the metric of a name; none means the usual one. Another name than ours must be declared by the
// study or be in a run's log.
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

// NamedMetric is the metric of a name: one of ours, or what its name and the values in logs say, and kinds on top.
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

// loggedMetric is a metric that its name describes, as that of a program of the user's. Accuracies and errors are
// shares, unless a value was logged that is none.
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

// as takes over what a study says of a metric.
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

// Better says which values of the metric are better: "higher", "lower".
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

// In says what differences are in, with a blank before it.
func (m Metric) In() string {
	switch {
	case m.Share:
		return " in percentage points"
	case m.Unit != "":
		return " in " + m.Unit
	}
	return ""
}

// Scale turns a value into what is printed of it: a share into percent.
func (m Metric) Scale() float64 {
	if m.Share {
		return 100
	}
	return 1
}

// printed turns a difference as it is printed, in percentage points of a share, into one of the metric.
func (m Metric) printed(v float64) float64 {
	return v / m.Scale()
}

// valueWord is what one value is called.
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

// validation are the metrics of the held-out training images by which an epoch of this one is chosen, the first that
// a log has: of a metric of the user's the one with validation_ or val_ in place of test_.
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
