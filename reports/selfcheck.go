package reports

import (
	"fmt"

	"ablate/experiments"
	"ablate/reports/stats"
)

// A SelfCheck holds how often a study's own rule claims a difference in studies like it that have none.
type SelfCheck struct {
	stats.ResidualCheck
	Study  string
	Metric Metric
	At     At
	Notes  []string
	Again  *Delta // the baseline against itself under other seeds, if the study trained that; nil otherwise

	Options Options // what was asked for
}

// CheckSelf runs the test behind a study's verdicts on the study's own differences less their means
// (stats.CheckResiduals). These have nothing to find, so a rule that claims something too often must not be trusted
// with the study.
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
		"together: nothing differs, so the rule should claim something in about %v of the studies. Seeds that are drawn "+
		"twice make it claim more often than it does of new ones, so the check fails only above %v", Count(s.Rows, "row"),
		stats.Alpha, stats.ResidualBound)}
	if s.Seeds < stats.NeededPairs {
		s.Notes = append(s.Notes, fmt.Sprintf("%s cannot claim anything; the check says something from %d on",
			Count(s.Seeds, "seed"), stats.NeededPairs))
	}
	for _, row := range c.Rows {
		if row.Again && row.Delta != nil {
			s.Again = row.Delta
			s.Notes = append(s.Notes, fmt.Sprintf("A/A comparison, the baseline under other seeds (%s): %s",
				Sanitize(row.Variant), row.Delta.Verdict.Word))
		}
	}
	if s.Again == nil {
		s.Notes = append(s.Notes, "no A/A comparison: `ablate run STUDY --aa` trains the baseline under other seeds")
	}
	return s, nil
}

// Holds reports whether the rule claims no more than it may on the residuals, and claims nothing in the A/A comparison.
func (s *SelfCheck) Holds() bool { return s.ResidualCheck.Holds() && !s.Again.Claims() }
