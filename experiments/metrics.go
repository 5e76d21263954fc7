package experiments

import (
	"bufio"
	"bytes"
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

// openMetrics opens the log for appending. A last line that a crash cut short is removed.
func openMetrics(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := repair(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// errMetrics refuses what was written by something else, or by a later version.
var errMetrics = errors.New("not a metric log of version 1")

// repair cuts off a torn last line, writes the header into an empty file, and stands at the end.
func repair(f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	end, err := lastLine(f, size)
	if err != nil {
		return err
	}
	if end > 0 {
		head := make([]byte, len(metricsHead)+1)
		if _, err := f.ReadAt(head, 0); err != nil || string(head) != metricsHead+"\n" {
			return errMetrics
		}
	}
	if end < size {
		if err := f.Truncate(end); err != nil {
			return err
		}
	}
	if _, err := f.Seek(end, io.SeekStart); err != nil || end > 0 {
		return err
	}
	_, err = f.WriteString(metricsHead + "\n")
	return err
}

// lastLine is where the line after the last newline begins.
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

// maxLine bounds one line of the log, and is the buffer that each of a study's logs is read through.
const maxLine = 1 << 16

// ReadMetrics reads a log. A torn last line is left out; any other bad line is an error with its number.
func ReadMetrics(path string) ([]Metric, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := parseMetrics(f)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return m, nil
}

func parseMetrics(r io.Reader) ([]Metric, error) {
	br := bufio.NewReaderSize(r, maxLine)
	names := map[string]string{}
	var out []Metric
	for n := 1; ; n++ {
		line, err := br.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return out, nil // whatever is left has no newline: torn
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%d: longer than %d bytes", n, maxLine)
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

// parseMetric reads a line as Log lays it out, or as any other JSON writer would.
// names holds the names met so far, so that a log of a million lines keeps each once.
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

// A lineScanner takes a line apart that has its keys in the expected order. It
// is bad as soon as anything is unusual; encoding/json then has the word.
type lineScanner struct {
	rest []byte
	bad  bool
}

// value gives the text after a key, up to the next comma or bracket.
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

// plain says that a string stands in JSON as it is.
func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}

// Series is a log without what a later attempt trained again: of each name the
// steps rise, and where they fall back the later line holds. An interrupted
// run's series equals that of an uninterrupted one but for attempts and seconds.
func Series(log []Metric) []Metric {
	first := map[string]int64{} // step of each name's earliest kept line
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
