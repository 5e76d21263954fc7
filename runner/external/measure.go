package external

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"ablate/experiments"
	"ablate/experiments/tfevents"
)

// Bounds on what a program may measure; a log with more could not be read again.
const (
	maxValues = 900_000
	maxNames  = 1000
	maxLine   = 32 << 10
	maxName   = 200
	maxResult = 4 << 20
)

// measurements copies a program's measurements into the run's log.
type measurements struct {
	primary string
	rec     *experiments.Recorder
	started time.Time
	path    string // of the file of lines that the program appends to
	offset  int64
	line    int
	output  string // the folder of its event files
	tails   map[string]*tfevents.Tail
	earlier map[string][]int64 // the steps of each name in earlier attempts
	first   map[string]int     // how many of those precede the first value of this attempt
	counts  map[string]int     // number of values in this attempt
	total   int
	values  map[string]experiments.Number // the last value of each name
	steps   int64                         // the last step
	of      int64                         // the number of steps, 0 if the program does not say
	epochs  int
	wrong   error // the first line that could not be read
}

func newMeasurements(primary string, rec *experiments.Recorder, path, output string) (*measurements, error) {
	m := &measurements{
		primary: primary, rec: rec, started: time.Now(), path: path, output: output,
		tails: map[string]*tfevents.Tail{}, earlier: map[string][]int64{}, first: map[string]int{},
		counts: map[string]int{}, values: map[string]experiments.Number{},
	}
	before, err := experiments.ReadMetrics(experiments.MetricsPath(rec.Dir()))
	if err != nil {
		return nil, err
	}
	for _, v := range experiments.Series(before) {
		m.earlier[v.Name] = append(m.earlier[v.Name], v.Step)
	}
	files, err := tfevents.Files(output)
	if err != nil {
		return nil, err
	}
	for _, path := range files { // of earlier attempts
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		m.tails[path] = tfevents.NewTail(path, info.Size())
	}
	return m, nil
}

// poll reads what was written since the last call. At the end it also reads a last line without a
// newline.
func (m *measurements) poll(end bool) error {
	if err := m.pollLines(end); err != nil {
		return err
	}
	if err := m.pollEvents(); err != nil {
		return err
	}
	if end && m.wrong != nil {
		return m.wrong
	}
	return nil
}

// bad keeps the first error of reading and notes it in the log; the program continues.
func (m *measurements) bad(err error) error {
	if m.wrong != nil {
		return nil
	}
	m.wrong = err
	return m.rec.Logf("%v", err)
}

func (m *measurements) pollLines(end bool) error {
	f, err := os.Open(m.path)
	if err != nil {
		return m.bad(fmt.Errorf("the file of its measurements is gone: %w", err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < m.offset {
		m.offset = info.Size()
		return m.bad(errors.New("the file of its measurements became shorter: append to it, as open(…, \"a\") does"))
	}
	buffer := make([]byte, maxLine)
	for {
		n, err := f.ReadAt(buffer, m.offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		text := buffer[:n]
		i := bytes.IndexByte(text, '\n')
		switch {
		case i >= 0:
			m.offset += int64(i) + 1
			err = m.takeLine(text[:i])
		case n == maxLine:
			m.offset += int64(n)
			err = m.bad(fmt.Errorf("line %d of its measurements is longer than %d bytes", m.line+1, maxLine))
		case end && n > 0:
			m.offset += int64(n)
			err = m.takeLine(text)
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// A line holds one measurement, or several of one step: {"step": 10, "name": "loss", "value":
// 0.5}, or {"step": 10, "loss": 0.5, "accuracy": 0.8}.
type line struct {
	step, epoch, of *int64
	values          map[string]experiments.Number
}

// bareNumber matches what Python's json writes for numbers that JSON cannot express.
var bareNumber = regexp.MustCompile(`(:\s*)(NaN|Infinity|-Infinity)(\s*[,}])`)

func parseLine(text []byte) (line, error) {
	l := line{values: map[string]experiments.Number{}}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil {
		if err2 := json.Unmarshal(bareNumber.ReplaceAll(text, []byte(`$1"$2"$3`)), &keys); err2 != nil {
			return l, err
		}
	}
	for key, to := range map[string]**int64{"step": &l.step, "epoch": &l.epoch, "total": &l.of} {
		raw, ok := keys[key]
		delete(keys, key)
		if !ok || string(raw) == "null" {
			continue
		}
		var f float64
		if err := json.Unmarshal(raw, &f); err != nil || f < 0 || f > 1<<53 {
			return l, fmt.Errorf("%s is %.40s, not a number from 0 up", key, raw)
		}
		n := int64(f)
		*to = &n
	}
	if raw, ok := keys["name"]; ok {
		var name string
		if err := json.Unmarshal(raw, &name); err != nil {
			return l, fmt.Errorf("name is %.40s, not a word", raw)
		}
		value, ok := keys["value"]
		if !ok {
			return l, fmt.Errorf("%s has no value", name)
		}
		keys = map[string]json.RawMessage{name: value}
	}
	for name, raw := range keys {
		var v experiments.Number
		if err := v.UnmarshalJSON(raw); err != nil {
			return l, fmt.Errorf("%.40s: %.60w", name, err)
		}
		l.values[name] = v
	}
	if len(l.values) == 0 {
		return l, errors.New("nothing is measured in it")
	}
	return l, nil
}

func (m *measurements) takeLine(text []byte) error {
	m.line++
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return nil
	}
	l, err := parseLine(text)
	if err != nil {
		return m.bad(fmt.Errorf("line %d of its measurements, %.60q: %w", m.line, text, err))
	}
	if l.of != nil {
		m.of = *l.of
	}
	if l.epoch != nil {
		m.epochs = max(m.epochs, int(*l.epoch))
	}
	for _, name := range sorted(l.values) {
		if err := m.take(name, l.step, l.epoch, l.values[name]); err != nil {
			return err
		}
	}
	return nil
}

func sorted(values map[string]experiments.Number) []string {
	var names []string
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// take records a value. A value without a step gets the next step of its name; without an epoch,
// the nth value of a name belongs to epoch n.
func (m *measurements) take(name string, step, epoch *int64, v experiments.Number) error {
	if name == "" || len(name) > maxName {
		return m.bad(fmt.Errorf("line %d of its measurements: a name has 1 to %d letters", m.line, maxName))
	}
	if m.total++; m.total > maxValues {
		return fmt.Errorf("it measured more than %d values; log every so many steps", maxValues)
	}
	if _, known := m.counts[name]; !known && len(m.counts) == maxNames {
		return fmt.Errorf("it measured more than %d figures by name", maxNames)
	}
	if m.counts[name] == 0 && step != nil {
		m.first[name], _ = slices.BinarySearch(m.earlier[name], *step)
	}
	m.counts[name]++
	ordinal := int64(m.first[name] + m.counts[name])
	if step == nil {
		step = &ordinal
	}
	if epoch == nil {
		epoch = &ordinal
	}
	m.values[name] = v
	m.steps = max(m.steps, *step)
	return m.rec.Log(experiments.Metric{
		Epoch: int(*epoch), Step: *step, Name: name, Value: v, Seconds: m.seconds(),
	})
}

// seconds returns the seconds since the attempt began, to the millisecond.
func (m *measurements) seconds() float64 {
	return math.Round(time.Since(m.started).Seconds()*1e3) / 1e3
}

func (m *measurements) pollEvents() error {
	files, err := tfevents.Files(m.output)
	if err != nil {
		return m.bad(err)
	}
	for _, path := range files {
		t, ok := m.tails[path]
		if !ok {
			t = tfevents.NewTail(path, 0)
			m.tails[path] = t
		}
		if t == nil {
			continue // it is damaged
		}
		scalars, err := t.Next()
		if err != nil {
			m.tails[path] = nil
			if err := m.bad(err); err != nil {
				return err
			}
		}
		folder := strings.Trim(filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), m.output)), "/")
		for _, s := range scalars {
			name := s.Tag
			if folder != "" { // as Keras does for train and validation
				name = folder + "/" + name
			}
			if err := m.take(name, &s.Step, nil, experiments.Number(s.Value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// last records the numbers of result.json and the machine's measurements of the program, at the
// last step.
func (m *measurements) last(output string, used map[string]float64) error {
	values, err := readResult(filepath.Join(output, resultFile))
	if err != nil {
		return err
	}
	for name, v := range used {
		if _, said := m.values[name]; !said {
			values[name] = experiments.Number(v)
		}
	}
	step := max(m.steps, 1)
	for _, name := range sorted(values) {
		epoch := int64(m.epochs)
		to := &epoch
		if epoch == 0 {
			to = nil
		}
		if err := m.take(name, &step, to, values[name]); err != nil {
			return err
		}
	}
	return nil
}

// readResult reads the numbers of result.json; numbers in nested mappings get dotted names.
func readResult(path string) (map[string]experiments.Number, error) {
	values := map[string]experiments.Number{}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return values, nil
	}
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxResult {
		return nil, errors.Join(err, fmt.Errorf("%s: not a file of at most %d bytes", resultFile, maxResult))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var keys map[string]any
	if json.Unmarshal(text, &keys) != nil {
		if err := json.Unmarshal(bareNumber.ReplaceAll(text, []byte(`$1"$2"$3`)), &keys); err != nil {
			return nil, fmt.Errorf("%s: %w; write a mapping of names to numbers", resultFile, err)
		}
	}
	collect(values, "", keys)
	return values, nil
}

func collect(to map[string]experiments.Number, prefix string, keys map[string]any) {
	for k, v := range keys {
		switch v := v.(type) {
		case float64:
			to[prefix+k] = experiments.Number(v)
		case string:
			var n experiments.Number
			if text, err := json.Marshal(v); err == nil && n.UnmarshalJSON(text) == nil { // NaN, Infinity
				to[prefix+k] = n
			}
		case map[string]any:
			collect(to, prefix+k+".", v)
		}
	}
}

// progress returns how far the program says it has come.
func (m *measurements) progress() Progress {
	p := Progress{Epoch: m.epochs}
	if m.of > 0 {
		p.Share = min(1, float64(m.steps)/float64(m.of))
	}
	if v, ok := m.values[m.primary]; ok {
		p.Name, p.Value = m.primary, float64(v)
	}
	return p
}
