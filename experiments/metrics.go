package experiments

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
)

// metricsHead is the first line of metrics.jsonl.
const metricsHead = `{"format":"ablate-metrics","version":1}`

// A metricsLog is metrics.jsonl, open for appending.
type metricsLog struct {
	path string
	file *os.File
	size int64 // of the file, if no other process writes to it
}

// openMetrics opens the log for appending. It removes a last line that a crash cut short.
func openMetrics(path string) (*metricsLog, error) {
	size, err := repair(path)
	if err != nil {
		return nil, err
	}
	// Append mode, so that even an unexpected second writer cannot tear a line.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, writeError(path, 0, err)
	}
	return &metricsLog{path, f, size}, nil
}

func (l *metricsLog) Close() error { return l.file.Close() }

func (l *metricsLog) append(m Metric) error {
	line, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("log %s: %w", m.Name, err)
	}
	if err := l.whole(); err != nil {
		return fmt.Errorf("log %s: %w", m.Name, err)
	}
	n, err := l.file.Write(append(line, '\n'))
	l.size += int64(n)
	if err != nil {
		return fmt.Errorf("log %s: %w", m.Name, writeError(l.path, int64(len(line)+1), err))
	}
	return nil
}

// whole reports whether the log is still in the run's folder with everything that was written: a
// run whose figures were deleted meanwhile must not end as done.
func (l *metricsLog) whole() error {
	here, err := l.file.Stat()
	if err != nil {
		return writeError(l.path, 0, err)
	}
	there, err := os.Stat(l.path)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrLost, err)
	case !os.SameFile(here, there):
		return fmt.Errorf("%s: %w: the file was replaced", l.path, ErrLost)
	case there.Size() != l.size:
		return fmt.Errorf("%s: %w: the file has %d bytes, %d were written", l.path, ErrLost, there.Size(), l.size)
	}
	return nil
}

// sync makes the log durable.
func (l *metricsLog) sync() error {
	if err := l.whole(); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return writeError(l.path, 0, err)
	}
	return nil
}

// errMetrics refuses a log of another program or of a later version.
var errMetrics = errors.New("not a metric log of version 1")

// repair cuts off a torn last line, writes the header into an empty file, and returns the file's
// size.
func repair(path string) (size int64, err error) {
	if err := checkRegular(path); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return 0, writeError(path, 0, err)
	}
	defer func() { err = cmp.Or(err, f.Close()) }()
	if size, err = f.Seek(0, io.SeekEnd); err != nil {
		return 0, err
	}
	end, err := lastLine(f, size)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	const head = metricsHead + "\n"
	if end > 0 {
		first := make([]byte, len(head))
		if _, err := f.ReadAt(first, 0); err != nil || string(first) != head {
			return 0, fmt.Errorf("%s: %w", path, errMetrics)
		}
	}
	if end < size {
		if err := f.Truncate(end); err != nil {
			return 0, writeError(path, 0, err)
		}
	}
	if end > 0 {
		return end, nil
	}
	if _, err := f.WriteAt([]byte(head), 0); err != nil {
		return 0, writeError(path, int64(len(head)), err)
	}
	return int64(len(head)), nil
}

// lastLine returns the offset after the last newline.
func lastLine(f io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, 4096)
	for end := size; end > 0; {
		from := max(0, end-int64(len(buf)))
		part := buf[:end-from]
		if _, err := f.ReadAt(part, from); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
		end = from
	}
	return 0, nil
}

// Limits on reading a log: the bytes of a line, which is also the size of the buffer for each of a
// study's logs, and the number of lines.
const (
	maxLine  = 1 << 16
	maxLines = 1 << 20
)

// ReadMetrics reads a log. It skips a torn last line; any other bad line is an error with its
// number.
func ReadMetrics(path string) ([]Metric, error) {
	f, _, err := openFile(path, maxMetrics)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := parseMetrics(f, maxLines)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return m, nil
}

func parseMetrics(r io.Reader, limit int) ([]Metric, error) {
	br := bufio.NewReaderSize(r, maxLine)
	names := map[string]string{}
	var out []Metric
	for n := 1; ; n++ {
		line, err := br.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return out, nil // the rest has no newline, so it is torn
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%d: longer than %d bytes", n, maxLine)
		case n > limit:
			return nil, fmt.Errorf("%d: more than %d lines", n, limit)
		case err != nil:
			return nil, fmt.Errorf("%d: %w", n, err)
		}
		line = line[:len(line)-1]
		if n == 1 {
			if string(line) != metricsHead {
				return nil, fmt.Errorf("1: %w", errMetrics)
			}
			continue
		}
		m, err := parseMetric(line, names)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", n, err)
		}
		out = append(out, m)
	}
}

// parseMetric reads a line as Log writes it, or as any other JSON writer would. names holds the
// names so far, so that a log of a million lines stores each name once.
func parseMetric(line []byte, names map[string]string) (Metric, error) {
	s := lineScanner{rest: line}
	m := Metric{
		Attempt: int(s.integer(`{"attempt":`)),
		Epoch:   int(s.integer(`,"epoch":`)),
		Step:    s.integer(`,"step":`),
		Name:    s.name(`,"name":"`, names),
		Value:   s.number(`,"value":`),
		Seconds: s.float(`,"seconds":`),
	}
	if s.bad || string(s.rest) != "}" {
		m = Metric{}
		if err := json.Unmarshal(line, &m); err != nil {
			return m, err
		}
	}
	if m.Name == "" {
		return m, errors.New("a metric without a name")
	}
	return m, nil
}

// A lineScanner parses a line whose keys are in the expected order. It turns bad as soon as
// anything is unusual; then encoding/json parses the line.
type lineScanner struct {
	rest []byte
	bad  bool
}

// value returns the text after a key, up to the next comma or bracket.
func (s *lineScanner) value(key string) []byte {
	after, ok := bytes.CutPrefix(s.rest, []byte(key))
	end := bytes.IndexAny(after, ",}")
	if !ok || end < 0 || !json.Valid(after[:end]) {
		s.bad = true
		return nil
	}
	s.rest = after[end:]
	return after[:end]
}

func (s *lineScanner) integer(key string) int64 {
	v, err := strconv.ParseInt(string(s.value(key)), 10, strconv.IntSize)
	s.bad = s.bad || err != nil
	return v
}

func (s *lineScanner) float(key string) float64 {
	v, err := strconv.ParseFloat(string(s.value(key)), 64)
	s.bad = s.bad || err != nil
	return v
}

func (s *lineScanner) number(key string) Number {
	var n Number
	if v := s.value(key); s.bad || n.UnmarshalJSON(v) != nil {
		s.bad = true
	}
	return n
}

func (s *lineScanner) name(key string, names map[string]string) string {
	after, ok := bytes.CutPrefix(s.rest, []byte(key))
	end := bytes.IndexByte(after, '"')
	if !ok || end < 0 || !plain(after[:end]) {
		s.bad = true
		return ""
	}
	s.rest = after[end+1:]
	name, ok := names[string(after[:end])]
	if !ok {
		name = string(after[:end])
		names[name] = name
	}
	return name
}

// plain reports whether a string needs no escapes in JSON.
func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}

// Series returns a log without what a later attempt trained again: the steps of each name rise, and
// where they go back the later line counts. The series of an interrupted run equals that of an
// uninterrupted one, except for attempts and seconds. A line that an attempt wrote after the next
// one had begun comes from a process that was cut off from the run, and is dropped.
func Series(log []Metric) []Metric {
	newest := 0
	log = slices.DeleteFunc(slices.Clone(log), func(m Metric) bool {
		newest = max(newest, m.Attempt)
		return m.Attempt < newest
	})
	first := map[string]int64{} // the step of the earliest kept line of each name
	var kept []Metric
	for _, m := range slices.Backward(log) {
		if step, ok := first[m.Name]; ok && m.Step >= step {
			continue
		}
		first[m.Name] = m.Step
		kept = append(kept, m)
	}
	slices.Reverse(kept)
	return kept
}
