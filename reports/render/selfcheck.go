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
	"ablate/reports/stats"
)

// SelfCheck prints a check in one of the formats that print words (text, md, tex), as CSV or as JSON.
func SelfCheck(w io.Writer, s *reports.SelfCheck, format string) error {
	writers := map[string]func(*bytes.Buffer, *reports.SelfCheck) error{"csv": writeSelfCheckCSV,
		"json": writeSelfCheckJSON}
	for _, f := range formats {
		if f.words != nil {
			writers[f.name] = func(b *bytes.Buffer, s *reports.SelfCheck) error { return f.words(b, SelfCheckTable(s)) }
		}
	}
	write, ok := writers[format]
	if !ok {
		return fmt.Errorf("%w %q for a self-check; want one of %s", reports.ErrFormat, format,
			strings.Join(slices.Sorted(maps.Keys(writers)), ", "))
	}
	var b bytes.Buffer
	if err := write(&b, s); err != nil {
		return fmt.Errorf("print the self-check of %s as %s: %w", s.Study, format, err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// againWord returns the verdict on the baseline against itself. It is empty if there is none.
func againWord(s *reports.SelfCheck) string {
	if s.Again == nil {
		return ""
	}
	return string(s.Again.Verdict.Word)
}

// writeSelfCheckCSV prints the figures in full precision.
func writeSelfCheckCSV(b *bytes.Buffer, s *reports.SelfCheck) error {
	return writeCells(b, [][]string{
		{"study", "metric", "at", "rows", "seeds", "studies", "claims", "level", "aa", "holds"},
		{reports.Sanitize(s.Study), s.Metric.Name, s.At.String(), itoa(s.Rows), itoa(s.Seeds), itoa(s.Studies),
			itoa(s.Claims), exact(stats.Alpha), againWord(s), strconv.FormatBool(s.Holds())},
	})
}

// writeSelfCheckJSON prints the figures and the notes.
func writeSelfCheckJSON(b *bytes.Buffer, s *reports.SelfCheck) error {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Format  string   `json:"format"`
		Version int      `json:"version"`
		Study   string   `json:"study"`
		Metric  string   `json:"metric"`
		At      string   `json:"at"`
		Rows    int      `json:"rows"`
		Seeds   int      `json:"seeds"`
		Studies int      `json:"studies"`
		Claims  int      `json:"claims"`
		Level   float64  `json:"level"`
		Again   string   `json:"aa,omitempty"`
		Holds   bool     `json:"holds"`
		Notes   []string `json:"notes"`
	}{
		Format: "ablate-self-check", Version: jsonVersion, Study: s.Study, Metric: s.Metric.Name, At: s.At.String(),
		Rows: s.Rows, Seeds: s.Seeds, Studies: s.Studies, Claims: s.Claims,
		Level: stats.Alpha, Again: againWord(s), Holds: s.Holds(), Notes: list(s.Notes),
	})
}

// SelfCheckTable makes the table of a check.
func SelfCheckTable(s *reports.SelfCheck) Table {
	verdict := "holds"
	if !s.Holds() {
		verdict = "claims differences that are none"
	}
	return Table{
		Name: s.Study + "-self-check",
		Title: strings.Join([]string{reports.Sanitize(s.Study), "self-check on its own residuals", s.Metric.Title + " " +
			s.At.Words()}, " · "),
		Columns: []Column{
			{Head: "comparisons", Right: true}, {Head: "seeds", Right: true}, {Head: "studies", Right: true},
			{Head: "level", Right: true}, {Head: "claimed", Right: true}, {Head: "verdict"},
		},
		Rows: [][]Cell{{
			{Text: itoa(s.Rows)}, {Text: itoa(s.Seeds)}, {Text: reports.Thousands(s.Studies)},
			{Text: reports.PValue(stats.Alpha)}, {Text: reports.PValue(s.Share())}, {Text: verdict},
		}},
		Notes: s.Notes, Width: s.Options.Width,
	}
}
