package reports

import (
	"fmt"

	"ablate/experiments"
	"ablate/reports/stats"
)

// A SelfCheck is what a study's own rule claims on studies like it in which nothing differs.
type SelfCheck struct {
	stats.ResidualCheck
	Study  string
	Metric Metric
	At     At
	Notes  []string

	Options Options // what was asked for
}

// CheckSelf runs the test behind a study's verdicts on its own differences less their means
// (stats.CheckResiduals). There is nothing to find, so a rule that claims something too often must not
// be trusted with the study.
func CheckSelf(study string, records []experiments.Record, opts Options) (*SelfCheck, error) {
	c, err := Table(study, records, opts)
	if err != nil {
		return nil, err
	}
	s := &SelfCheck{ResidualCheck: stats.CheckResiduals(c.tested), Study: study, Metric: c.Metric, At: c.At, Notes: nil,
		Options: opts}
	if s.Studies == 0 {
		return nil, fmt.Errorf("self-check %s: %w: a comparison needs at least two finished pairs of runs", study, ErrOption)
	}
	s.Notes = []string{fmt.Sprintf("differences less their mean, seeds drawn with replacement, all %s of a seed "+
		"together: nothing differs, so the rule may claim something in no more than %v of the studies", Count(s.Rows, "row"),
		stats.Alpha)}
	if s.Seeds < stats.NeededPairs {
		s.Notes = append(s.Notes, fmt.Sprintf("%s cannot claim anything; the check says something from %d on",
			Count(s.Seeds, "seed"), stats.NeededPairs))
	}
	return s, nil
}
