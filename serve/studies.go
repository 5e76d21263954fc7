package serve

import (
	"errors"
	"slices"

	"ablate/reports"
)

// A studyLine is a study in the list of all studies.
type studyLine struct {
	overview
	Title    string
	Verdicts []verdict
	More     int // verdicts that are not shown
	Error    string
}

// A verdict is a study's verdict on a variant.
type verdict struct{ Variant, Word, Delta string }

// shownVerdicts is how many verdicts the list shows for a study, claims first.
const shownVerdicts = 12

// studies lists all studies, those with the newest runs first.
func (s *Server) studies(a *answer) error {
	lines := make([]studyLine, len(a.now.studies))
	each(len(lines), func(i int) { lines[i] = s.studyLine(a.now.studies[i]) })
	slices.SortStableFunc(lines, func(x, y studyLine) int { return y.Newest.Compare(x.Newest) })
	return a.whole(head{Title: "Studies", Here: "studies", Events: "all"}, "studies", struct {
		Studies       []studyLine
		Root, Problem string
	}{lines, s.Store.Root, a.now.problem})
}

func (s *Server) studyLine(of *study) studyLine {
	line := studyLine{overview: of.overview()}
	c, err := s.compareStudy(of, ask{})
	if err != nil {
		if !errors.Is(err, reports.ErrNoRuns) {
			line.Error = err.Error()
		}
		return line
	}
	line.Title = c.Net
	if c.Data != "" {
		line.Title += " on " + c.Data
	}
	for _, row := range c.Rows {
		if row.Delta != nil {
			line.Verdicts = append(line.Verdicts, verdict{row.Variant, string(row.Delta.Verdict.Word),
				c.Metric.Signed(row.Delta.Mean)})
		}
	}
	slices.SortStableFunc(line.Verdicts, func(x, y verdict) int { return claims(y) - claims(x) })
	if more := len(line.Verdicts) - shownVerdicts; more > 0 {
		line.Verdicts, line.More = line.Verdicts[:shownVerdicts], more
	}
	return line
}

func claims(v verdict) int {
	if v.Word == "better" || v.Word == "worse" {
		return 1
	}
	return 0
}
