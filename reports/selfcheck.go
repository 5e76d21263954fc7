package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments"
	"ablate/reports/stats"
)

// A SelfCheck is a study's baseline compared with itself.
type SelfCheck struct {
	stats.SelfCheck
	Study    string
	Baseline string
	Metric   Metric
	At       At
	Error    stats.Estimate // of the baseline over its seeds
	Notes    []string

	width int
}

// CheckSelf splits the seeds of a study's baseline into halves that are
// compared as two variants would be (stats.CheckSelf). There is nothing to
// find, so a test that finds something too often must not be trusted with the study.
func CheckSelf(study string, records []experiments.Record, opts Options) (*SelfCheck, error) {
	c, err := Table(study, records, opts)
	if err != nil {
		return nil, err
	}
	if c.Baseline == "" || len(c.Rows[0].Runs) < 2 {
		return nil, fmt.Errorf("self-check %s: %w: the baseline needs at least two finished runs", study, ErrOption)
	}
	base := c.Rows[0]
	var values []float64
	for _, r := range base.Runs {
		values = append(values, r.Error)
	}
	s := &SelfCheck{stats.CheckSelf(values), study, c.Baseline, c.Metric, c.At, base.Error, base.Notes, c.width}
	s.Notes = append(slices.Clone(s.Notes),
		"A/A: the baseline's seeds in two random halves, paired and tested as two variants are; there is nothing to find, "+
			"so a difference may be found in no more than the level's share of the splits")
	if s.Level > stats.Alpha {
		s.Notes = append(s.Notes, fmt.Sprintf("%s cannot reach p ≤ %v at all, so they are checked at %v, the least they can reach; %d seeds allow a check at %v",
			count(s.Pairs, "pair"), stats.Alpha, s.Level, 2*stats.NeededPairs(1), stats.Alpha))
	}
	if base.Error.SD < sameDifference {
		s.Notes = append(s.Notes, "every seed gave the same figure: does the seed reach the training?")
	}
	return s, nil
}

// Render prints the check in one of the formats that print words (text, md, tex), as CSV or as JSON.
func (s *SelfCheck) Render(w io.Writer, format string) error {
	writers := map[string]func(*bytes.Buffer) error{"csv": s.writeCSV, "json": s.writeJSON}
	for _, f := range formats {
		if f.words != nil {
			writers[f.name] = func(b *bytes.Buffer) error { return f.words(b, s.document()) }
		}
	}
	write, ok := writers[format]
	if !ok {
		return fmt.Errorf("%w %q for a self-check; there are %s", ErrFormat, format, strings.Join(slices.Sorted(maps.Keys(writers)), ", "))
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return fmt.Errorf("print the self-check of %s as %s: %w", s.Study, format, err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// writeCSV prints the figures in full precision.
func (s *SelfCheck) writeCSV(b *bytes.Buffer) error {
	return writeCells(b, [][]string{
		{"study", "baseline", "metric", "at", "seeds", "mean", "sd", "pairs", "splits", "level", "found", "holds"},
		{Sanitize(s.Study), Sanitize(s.Baseline), s.Metric.Name, s.At.String(), itoa(s.Error.K), exact(s.Error.Mean), exact(s.Error.SD),
			itoa(s.Pairs), itoa(s.Splits), exact(s.Level), itoa(s.Found), strconv.FormatBool(s.Holds())},
	})
}

// writeJSON prints the same with the notes.
func (s *SelfCheck) writeJSON(b *bytes.Buffer) error {
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

// Words gives the check as words, for pages that lay it out themselves.
func (s *SelfCheck) Words() Words { return s.document().words() }

func (s *SelfCheck) document() document {
	verdict := "holds"
	if !s.Holds() {
		verdict = "finds differences that are none"
	}
	return document{
		name:  s.Study + "-self-check",
		title: strings.Join([]string{Sanitize(s.Study), "A/A self-check of " + Sanitize(s.Baseline), s.Metric.Title + " " + s.At.words()}, " · "),
		columns: []column{
			{head: "seeds", right: true}, {head: s.Metric.Head, right: true}, {head: "pairs", right: true},
			{head: "splits", right: true}, {head: "level", right: true}, {head: "found", right: true}, {head: "verdict"},
		},
		rows: [][]cell{{
			{text: itoa(s.Error.K)}, {text: s.Metric.figure(s.Error.Mean) + " ± " + s.Metric.figure(s.Error.SD)}, {text: itoa(s.Pairs)},
			{text: itoa(s.Splits)}, {text: pValue(s.Level)}, {text: pValue(float64(s.Found) / float64(s.Splits))}, {text: verdict},
		}},
		notes: s.Notes, width: s.width,
	}
}
