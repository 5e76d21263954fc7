package reports

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments"
)

// A Metric is a figure of a run that variants are compared by. Of all of them, less is better, but for accuracies.
type Metric struct {
	Name  string // as in metrics.jsonl
	Title string // "top-1 test error"
	Head  string // of its column: "top-1 error %"
	Share bool   // a share of the images, 0..1, which is printed in percent
	More  bool   // more is better

	result func(*experiments.Result) float64 // the figure at the last epoch; nil if only the log has it
}

// metrics are those that a run of ours logs, the usual one first. Any other that runs have logged can be compared too.
var metrics = []Metric{
	{
		Name: "test_top1_error", Title: "top-1 test error", Head: "top-1 error %", Share: true,
		result: func(r *experiments.Result) float64 { return float64(r.Top1Error) },
	},
	{
		Name: "test_top5_error", Title: "top-5 test error", Head: "top-5 error %", Share: true,
		result: func(r *experiments.Result) float64 { return float64(r.Top5Error) },
	},
	{
		Name: "test_loss", Title: "test loss", Head: "test loss",
		result: func(r *experiments.Result) float64 { return float64(r.TestLoss) },
	},
	{
		Name: "train_loss", Title: "training loss", Head: "train loss",
		result: func(r *experiments.Result) float64 { return float64(r.TrainLoss) },
	},
	{Name: "train_top1_error", Title: "top-1 training error", Head: "train error %", Share: true},
	{Name: "validation_top1_error", Title: "top-1 validation error", Head: "validation error %", Share: true},
	{Name: "validation_loss", Title: "validation loss", Head: "validation loss"},
}

// Metrics returns the names of what a run of ours logs, the usual one first.
func Metrics() []string {
	var names []string
	for _, m := range metrics {
		names = append(names, m.Name)
	}
	return names
}

// findMetric returns the metric of a name; none means the usual one. Another name than ours must be in a run's log.
func findMetric(name string, records []experiments.Record, logs readLog) (Metric, error) {
	if name == "" {
		return metrics[0], nil
	}
	if i := slices.IndexFunc(metrics, func(m Metric) bool { return m.Name == name }); i >= 0 {
		return metrics[i], nil
	}
	names := Metrics()
	for _, r := range records {
		if logs == nil {
			break
		}
		log, err := logs(r)
		if err != nil {
			continue // the row says so
		}
		for _, m := range log {
			switch {
			case m.Name == name:
				return loggedMetric(name), nil
			case !slices.Contains(names, m.Name):
				names = append(names, m.Name)
			}
		}
	}
	return Metric{}, fmt.Errorf("%w: metric %q; want one of %s", ErrOption, name, Sanitize(strings.Join(names, ", ")))
}

// readLog reads a run's log.
type readLog func(experiments.Record) ([]experiments.Metric, error)

// loggedMetric is a metric that only its name describes, as that of a program of the user's.
func loggedMetric(name string) Metric {
	m := Metric{Name: name, Title: Sanitize(strings.ReplaceAll(name, "_", " "))}
	m.Head = m.Title
	m.More = strings.HasSuffix(name, "accuracy")
	if m.More || strings.HasSuffix(name, "_error") {
		m.Share = true
		m.Head += " %"
	}
	return m
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

// Figure writes a value: in percent with two decimals, or as it is with four.
func (m Metric) Figure(v float64) string {
	if m.Share {
		return Percent(v)
	}
	return fmt.Sprintf("%.4f", v)
}

// Signed writes a difference with its sign: "+0.71", "−0.17", "0.00".
func (m Metric) Signed(v float64) string {
	text := m.Figure(math.Abs(v))
	switch {
	case strings.Trim(text, "0.") == "":
		return text
	case v < 0:
		return "−" + text
	}
	return "+" + text
}

// Unit says what differences are in, with a blank before it.
func (m Metric) Unit() string {
	if m.Share {
		return " in percentage points"
	}
	return ""
}

// valueWord is what one value is called.
func (m Metric) valueWord() string {
	switch {
	case m.More:
		return "accuracy"
	case m.Share:
		return "error"
	case strings.HasSuffix(m.Name, "loss"):
		return "loss"
	}
	return m.Title
}

// validation is the metric of the held-out training images by which an epoch of this one is chosen.
func (m Metric) validation() string {
	if m.Share {
		return "validation_top1_error"
	}
	return "validation_loss"
}

// ofTest reports whether the metric is measured on the test images at all.
func (m Metric) ofTest() bool { return strings.HasPrefix(m.Name, "test_") }

// onTest reports whether the metric is an error rate on the test images.
func (m Metric) onTest() bool { return m.Share && m.ofTest() }

// At says which epoch's figure of a run counts. The zero At is the last epoch's.
type At struct {
	Best       bool // the best over the epochs
	Validation bool // that of the epoch with the least error on held-out training images
	Epoch      int  // this epoch's, counted from 1; 0 for none
}

// AtWords are what ParseAt reads.
const AtWords = "last, best, best-validation, epoch:N"

// ParseAt reads "last", "best", "best-validation" or "epoch:N"; nothing is the last.
func ParseAt(s string) (At, error) {
	switch number, isEpoch := strings.CutPrefix(s, "epoch:"); {
	case s == "last" || s == "":
		return At{}, nil
	case s == "best":
		return At{Best: true}, nil
	case s == "best-validation":
		return At{Validation: true}, nil
	case isEpoch:
		if n, err := strconv.Atoi(number); err == nil && n > 0 {
			return At{Epoch: n}, nil
		}
	}
	return At{}, fmt.Errorf("%w: %q; want one of %s", ErrOption, s, AtWords)
}

// String is what ParseAt reads.
func (a At) String() string {
	switch {
	case a.Best:
		return "best"
	case a.Validation:
		return "best-validation"
	case a.Epoch > 0:
		return fmt.Sprintf("epoch:%d", a.Epoch)
	}
	return "last"
}

// Words say the same to a reader.
func (a At) Words() string {
	switch {
	case a.Best:
		return "at each run's best epoch"
	case a.Validation:
		return "at each run's best epoch on validation images"
	case a.Epoch > 0:
		return fmt.Sprintf("at epoch %d", a.Epoch)
	}
	return "at the last epoch"
}

// An outcome is a run's record and its figure.
type outcome struct {
	experiments.Record
	value  float64
	epoch  int    // that value is of
	counts bool   // the run is done and has a value: it goes into the mean
	why    string // it is done and has none
	broken bool   // it is done and its figure is infinite or no number
}

// A picker takes the figure of each run that a table is about.
type picker struct {
	metric  Metric
	at      At
	history readLog
}

func (p picker) outcomes(records []experiments.Record) []outcome {
	all := make([]outcome, len(records))
	for i, r := range records {
		all[i] = outcome{Record: r}
		o := &all[i]
		o.Identity = identity(r)
		if r.Status != experiments.Done {
			continue
		}
		v, epoch, err := p.pick(r)
		o.broken = err == nil && r.Result != nil && (math.IsNaN(v) || math.Abs(v) > maxLoss)
		switch {
		case err != nil:
			o.why = err.Error()
		case !p.metric.valid(v) && p.metric.Share:
			o.why = "the record holds no " + p.metric.Title + " between 0 and 1"
		case !p.metric.valid(v):
			o.why = "its " + p.metric.Title + " is not a finite number"
		default:
			o.value, o.epoch, o.counts = v, epoch, true
		}
	}
	return all
}

// pick finds a run's figure: in its result if that has it, else in its log.
func (p picker) pick(r experiments.Record) (float64, int, error) {
	if r.Result == nil {
		return math.NaN(), 0, nil
	}
	if p.at == (At{}) && p.metric.result != nil {
		return p.metric.result(r.Result), r.Result.Epochs, nil
	}
	if p.history == nil {
		return 0, 0, errors.New("its log of metrics is not at hand")
	}
	log, err := p.history(r)
	if err != nil {
		return 0, 0, err
	}
	values := byEpoch(log, p.metric.Name)
	if p.at.Validation {
		epoch, ok := least(byEpoch(log, p.metric.validation()), false)
		if !ok {
			return 0, 0, fmt.Errorf("its log has no %s to choose an epoch by: set data.validation", p.metric.validation())
		}
		return p.at.value(values, epoch, p.metric.Name)
	}
	if p.at.Best {
		epoch, ok := least(values, p.metric.More)
		if !ok {
			return 0, 0, fmt.Errorf("its log has no %s %s", p.metric.Name, p.at.Words())
		}
		return values[epoch], epoch, nil
	}
	return p.at.value(values, cmp.Or(p.at.Epoch, r.Result.Epochs), p.metric.Name)
}

// value is that of an epoch that was chosen.
func (a At) value(values map[int]float64, epoch int, name string) (float64, int, error) {
	v, ok := values[epoch]
	if !ok || epoch == 0 {
		return 0, 0, fmt.Errorf("its log has no %s %s", name, a.Words())
	}
	return v, epoch, nil
}

// byEpoch is a metric's values by epoch, the last of each.
func byEpoch(log []experiments.Metric, name string) map[int]float64 {
	values := map[int]float64{}
	for _, m := range log {
		if m.Name == name {
			values[m.Epoch] = float64(m.Value)
		}
	}
	return values
}

// least is the first epoch with the least value, or the most; values that are no number come last.
func least(values map[int]float64, most bool) (int, bool) {
	best, epoch := math.NaN(), 0
	for e, v := range values {
		if e == 0 {
			continue
		}
		if better := v < best && !most || v > best && most; epoch == 0 || better ||
			math.IsNaN(best) && !math.IsNaN(v) || (v == best || math.IsNaN(v) && math.IsNaN(best)) && e < epoch {
			best, epoch = v, e
		}
	}
	return epoch, epoch > 0
}
