package reports

import (
	"fmt"
	"slices"

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

	Options Options // what was asked for
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
	s := &SelfCheck{stats.CheckSelf(values), study, c.Baseline, c.Metric, c.At, base.Error, base.Notes, opts}
	s.Notes = append(slices.Clone(s.Notes),
		"A/A: the baseline's seeds in two random halves, paired and tested as two variants are; there is nothing to find, "+
			"so a difference may be found in no more than the level's share of the splits")
	if s.Level > stats.Alpha {
		s.Notes = append(s.Notes, fmt.Sprintf("%s cannot reach p ≤ %v at all, so they are checked at %v, the least they can reach; %d seeds allow a check at %v",
			Count(s.Pairs, "pair"), stats.Alpha, s.Level, 2*stats.NeededPairs(1), stats.Alpha))
	}
	if base.Error.SD < stats.SameDifference {
		s.Notes = append(s.Notes, "every seed gave the same figure: does the seed reach the training?")
	}
	return s, nil
}
