package reports

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments"
)

// A Metric is a figure of a run that variants are compared by. Of all of them, less is better.
type Metric struct {
	Name  string // as in metrics.jsonl
	Title string // "top-1 test error"
	Head  string // of its column: "top-1 error %"
	Share bool   // a share of the images, 0..1, which is printed in percent

	result func(*experiments.Result) float64 // the figure at the last epoch; nil if only the log has it
}

// metrics are all there are, the usual one first.
var metrics = []Metric{
	{"test_top1_error", "top-1 test error", "top-1 error %", true,
		func(r *experiments.Result) float64 { return float64(r.Top1Error) }},
	{"test_top5_error", "top-5 test error", "top-5 error %", true,
		func(r *experiments.Result) float64 { return float64(r.Top5Error) }},
	{"test_loss", "test loss", "test loss", false,
		func(r *experiments.Result) float64 { return float64(r.TestLoss) }},
	{"train_loss", "training loss", "train loss", false,
		func(r *experiments.Result) float64 { return float64(r.TrainLoss) }},
	{"train_top1_error", "top-1 training error", "train error %", true, nil},
}

// Metrics gives the names a table can be made of, the usual one first.
func Metrics() []string {
	var names []string
	for _, m := range metrics {
		names = append(names, m.Name)
	}
	return names
}

// findMetric gives the metric of a name; none means the usual one.
func findMetric(name string) (Metric, error) {
	if name == "" {
		return metrics[0], nil
	}
	i := slices.IndexFunc(metrics, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return Metric{}, fmt.Errorf("%w: metric %q; want one of %s", ErrOption, name, strings.Join(Metrics(), ", "))
	}
	return metrics[i], nil
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

// points is the unit of a difference, with a blank before it.
func (m Metric) points() string {
	if m.Share {
		return " points"
	}
	return ""
}

// valueWord is what one value is called.
func (m Metric) valueWord() string {
	if m.Share {
		return "error"
	}
	return "loss"
}

// ofTest reports whether the metric is measured on the test images at all.
func (m Metric) ofTest() bool { return strings.HasPrefix(m.Name, "test_") }

// onTest reports whether the metric is an error rate on the test images.
func (m Metric) onTest() bool { return m.Share && m.ofTest() }

// At says which epoch's figure of a run counts. The zero At is the last epoch's.
type At struct {
	Best  bool // the least over the epochs
	Epoch int  // this epoch's, counted from 1; 0 for none
}

// ParseAt reads "last", "best" or "epoch:N".
func ParseAt(s string) (At, error) {
	switch number, isEpoch := strings.CutPrefix(s, "epoch:"); {
	case s == "last" || s == "":
		return At{}, nil
	case s == "best":
		return At{Best: true}, nil
	case isEpoch:
		if n, err := strconv.Atoi(number); err == nil && n > 0 {
			return At{Epoch: n}, nil
		}
	}
	return At{}, fmt.Errorf("%w: %q; write last, best or epoch:N", ErrOption, s)
}

// String is what ParseAt reads.
func (a At) String() string {
	switch {
	case a.Best:
		return "best"
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
	history func(experiments.Record) ([]experiments.Metric, error)
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
	want := p.at.Epoch
	if p.at == (At{}) {
		want = r.Result.Epochs
	}
	values := map[int]float64{}
	for _, m := range log {
		if m.Name == p.metric.Name && (p.at.Best || m.Epoch == want) {
			values[m.Epoch] = float64(m.Value)
		}
	}
	best, epoch := math.NaN(), 0
	for e, v := range values {
		if epoch == 0 || v < best || math.IsNaN(best) || v == best && e < epoch {
			best, epoch = v, e
		}
	}
	if epoch == 0 {
		return 0, 0, fmt.Errorf("its log has no %s %s", p.metric.Name, p.at.Words())
	}
	return best, epoch, nil
}
