package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ablate/reports"
)

// SelfCheck prints a check in one of the formats that print words (text, md, tex), as CSV or as JSON.
func SelfCheck(w io.Writer, s *reports.SelfCheck, format string) error {
	writers := map[string]func(*bytes.Buffer, *reports.SelfCheck) error{"csv": writeSelfCheckCSV, "json": writeSelfCheckJSON}
	for _, f := range formats {
		if f.words != nil {
			writers[f.name] = func(b *bytes.Buffer, s *reports.SelfCheck) error { return f.words(b, SelfCheckTable(s)) }
		}
	}
	write, ok := writers[format]
	if !ok {
		return fmt.Errorf("%w %q for a self-check; want one of %s", reports.ErrFormat, format, strings.Join(slices.Sorted(maps.Keys(writers)), ", "))
	}
	var b bytes.Buffer
	if err := write(&b, s); err != nil {
		return fmt.Errorf("print the self-check of %s as %s: %w", s.Study, format, err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// writeSelfCheckCSV prints the figures in full precision.
func writeSelfCheckCSV(b *bytes.Buffer, s *reports.SelfCheck) error {
	return writeCells(b, [][]string{
		{"study", "baseline", "metric", "at", "seeds", "mean", "sd", "pairs", "splits", "level", "found", "holds"},
		{reports.Sanitize(s.Study), reports.Sanitize(s.Baseline), s.Metric.Name, s.At.String(), itoa(s.Error.K), exact(s.Error.Mean), exact(s.Error.SD),
			itoa(s.Pairs), itoa(s.Splits), exact(s.Level), itoa(s.Found), strconv.FormatBool(s.Holds())},
	})
}

// writeSelfCheckJSON prints the same with the notes.
func writeSelfCheckJSON(b *bytes.Buffer, s *reports.SelfCheck) error {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Format   string       `json:"format"`
		Version  int          `json:"version"`
		Study    string       `json:"study"`
		Baseline string       `json:"baseline"`
		Metric   string       `json:"metric"`
		At       string       `json:"at"`
		Value    jsonEstimate `json:"value"`
		Pairs    int          `json:"pairs"`
		Splits   int          `json:"splits"`
		Level    float64      `json:"level"`
		Found    int          `json:"found"`
		Holds    bool         `json:"holds"`
		Notes    []string     `json:"notes"`
	}{
		"ablate-self-check", jsonVersion, s.Study, s.Baseline, s.Metric.Name, s.At.String(), estimate(s.Error),
		s.Pairs, s.Splits, s.Level, s.Found, s.Holds(), list(s.Notes),
	})
}

// SelfCheckTable is the table of a check.
func SelfCheckTable(s *reports.SelfCheck) Table {
	verdict := "holds"
	if !s.Holds() {
		verdict = "finds differences that are none"
	}
	return Table{
		Name:  s.Study + "-self-check",
		Title: strings.Join([]string{reports.Sanitize(s.Study), "A/A self-check of " + reports.Sanitize(s.Baseline), s.Metric.Title + " " + s.At.Words()}, " · "),
		Columns: []Column{
			{Head: "seeds", Right: true}, {Head: s.Metric.Head, Right: true}, {Head: "pairs", Right: true},
			{Head: "splits", Right: true}, {Head: "level", Right: true}, {Head: "found", Right: true}, {Head: "verdict"},
		},
		Rows: [][]Cell{{
			{Text: itoa(s.Error.K)}, {Text: s.Metric.Figure(s.Error.Mean) + " ± " + s.Metric.Figure(s.Error.SD)}, {Text: itoa(s.Pairs)},
			{Text: itoa(s.Splits)}, {Text: reports.PValue(s.Level)}, {Text: reports.PValue(float64(s.Found) / float64(s.Splits))}, {Text: verdict},
		}},
		Notes: s.Notes, Width: s.Options.Width,
	}
}
