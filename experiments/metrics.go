package experiments

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
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

// repair cuts off a torn last line, writes the header into an empty file, and stands at the end.
func repair(f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	end := size
	buf := make([]byte, 1)
	for end > 0 {
		if _, err := f.ReadAt(buf, end-1); err != nil {
			return err
		}
		if buf[0] == '\n' {
			break
		}
		end--
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

// maxLine bounds one line of the log.
const maxLine = 1 << 20

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
	var out []Metric
	for n := 1; ; n++ {
		line, err := br.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return out, nil // whatever is left has no newline: torn
		}
		if err != nil {
			return nil, fmt.Errorf("%d: %w", n, err)
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		if n == 1 {
			if string(line) != metricsHead {
				return nil, fmt.Errorf("1: not a metric log of version 1")
			}
			continue
		}
		var m Metric
		if err := json.Unmarshal(line, &m); err != nil {
			return nil, fmt.Errorf("%d: %w", n, err)
		}
		out = append(out, m)
	}
}
