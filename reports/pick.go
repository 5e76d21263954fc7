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

// At states which epoch's figure of a run counts. The zero At is the last epoch.
type At struct {
	Best       bool // the best epoch's
	Validation bool // the epoch's with the least error on held-out training images
	Epoch      int  // this epoch's, counted from 1; 0 for none
}

// AtWords lists what ParseAt reads.
const AtWords = "last, best, best-validation, epoch:N"

// ParseAt reads "last", "best", "best-validation" or "epoch:N". An empty string means "last".
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

// String returns the form that ParseAt reads.
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

// Words describes At to a reader.
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
	epoch  int    // the epoch of value
	counts bool   // the run is done and has a value: it goes into the mean
	why    string // why it is finished without a value
	broken bool   // it is finished, and its figure is infinite or NaN
}

// A picker finds each run's figure for a table.
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
		o.broken = err == nil && (r.Result != nil || p.history != nil) && (math.IsNaN(v) || math.Abs(v) > maxLoss)
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

// pick returns a run's figure and its epoch, from the record if that has it, otherwise from the log.
func (p picker) pick(r experiments.Record) (float64, int, error) {
	epochs := 0
	if r.Result != nil {
		epochs = r.Result.Epochs
	}
	if p.metric.recorded && p.at == (At{}) && !p.measured(r) { // a record of any trainer
		v := p.metric.result(r)
		if math.IsNaN(v) {
			return 0, 0, fmt.Errorf("its record has no %s", p.metric.Title)
		}
		return v, epochs, nil
	}
	if r.Result != nil && r.Result.Metrics != nil && p.at == (At{}) {
		if v, ok := r.Result.Metrics[p.metric.Name]; ok {
			return float64(v), epochs, nil
		}
		return 0, 0, fmt.Errorf("it measured no %s", p.metric.Name)
	}
	ours := r.Result != nil && r.Result.Metrics == nil && r.Result.TestExamples > 0 // ablate's own trainer tested it
	if p.at == (At{}) && p.metric.result != nil && (ours || p.history == nil) {
		if r.Result == nil {
			return math.NaN(), 0, nil
		}
		return p.metric.result(r), epochs, nil
	}
	if p.history == nil {
		return 0, 0, errors.New("its log of metrics is not at hand")
	}
	log, err := p.history(r)
	if err != nil {
		return 0, 0, err
	}
	values := byEpoch(log, p.metric.Name)
	switch {
	case p.at.Validation:
		epoch, err := p.chosen(log)
		if err != nil {
			return 0, 0, err
		}
		return p.at.value(values, epoch, p.metric.Name)
	case p.at.Best:
		epoch, ok := least(values, p.metric.More)
		if !ok {
			return 0, 0, fmt.Errorf("its log has no %s %s", p.metric.Name, p.at.Words())
		}
		return values[epoch], epoch, nil
	case p.at.Epoch > 0:
		return p.at.value(values, p.at.Epoch, p.metric.Name)
	case ours && slices.Contains(Metrics(), p.metric.Name):
		return p.at.value(values, epochs, p.metric.Name)
	}
	return p.last(r, log)
}

// measured reports whether a user's program measured the figure itself.
func (p picker) measured(r experiments.Record) bool {
	if r.Result == nil {
		return false
	}
	_, ok := r.Result.Metrics[p.metric.Name]
	return ok
}

// last returns the last value of a metric that a user's program logged, perhaps without epochs. If the log has none, it
// returns the record's.
func (p picker) last(r experiments.Record, log []experiments.Metric) (float64, int, error) {
	for _, m := range slices.Backward(log) {
		if m.Name == p.metric.Name {
			return float64(m.Value), m.Epoch, nil
		}
	}
	if p.metric.result != nil && r.Result != nil {
		return p.metric.result(r), r.Result.Epochs, nil
	}
	return 0, 0, fmt.Errorf("its log has no %s %s", p.metric.Name, p.at.Words())
}

// chosen returns the epoch that the validation images choose.
func (p picker) chosen(log []experiments.Metric) (int, error) {
	by := p.metric.validation()
	for _, m := range by {
		if epoch, ok := least(byEpoch(log, m.Name), m.More); ok {
			return epoch, nil
		}
	}
	if len(by) == 1 {
		return 0, fmt.Errorf("its log has no %s to choose an epoch by: set data.validation", by[0].Name)
	}
	return 0, fmt.Errorf("its log has neither %s nor %s to choose an epoch by", by[0].Name, by[1].Name)
}

// value returns the value of a chosen epoch.
func (a At) value(values map[int]float64, epoch int, name string) (float64, int, error) {
	v, ok := values[epoch]
	if !ok || epoch == 0 {
		return 0, 0, fmt.Errorf("its log has no %s %s", name, a.Words())
	}
	return v, epoch, nil
}

// byEpoch returns a metric's values by epoch, the last one of each.
func byEpoch(log []experiments.Metric, name string) map[int]float64 {
	values := map[int]float64{}
	for _, m := range log {
		if m.Name == name {
			values[m.Epoch] = float64(m.Value)
		}
	}
	return values
}

// least returns the first epoch with the least value, or with the greatest if most is set. Values that are NaN come
// last.
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
