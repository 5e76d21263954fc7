package reports

import (
	"bytes"
	"fmt"
	"io"
	"slices"
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

// Render prints the check in one of the formats that print words: text, md, tex.
func (s *SelfCheck) Render(w io.Writer, format string) error {
	var known []string
	for _, f := range formats {
		if f.words == nil {
			continue
		}
		if f.name != format {
			known = append(known, f.name)
			continue
		}
		var b bytes.Buffer
		if err := f.words(&b, s.document()); err != nil {
			return fmt.Errorf("print the self-check of %s as %s: %w", s.Study, format, err)
		}
		_, err := w.Write(b.Bytes())
		return err
	}
	return fmt.Errorf("%w %q for a self-check; there are %s", ErrFormat, format, strings.Join(known, ", "))
}

func (s *SelfCheck) document() document {
	verdict := "holds"
	if !s.Holds() {
		verdict = "finds differences that are none"
	}
	return document{
		name:  s.Study + "-self-check",
		title: strings.Join([]string{clean(s.Study), "A/A self-check of " + clean(s.Baseline), s.Metric.Title + " " + s.At.words()}, " · "),
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
