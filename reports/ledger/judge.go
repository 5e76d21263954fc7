package ledger

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"ablate/reports/stats"
)

// A Result is one of our rows, to be compared with what was published.
type Result struct {
	Study, Variant string
	Ablations      []string // of the catalogue, that made the variant
	Edited         bool     // own edits came on top of them
	Net            string   // the baseline's net
	Data           string   // the data set's name in the recipe
	Part           bool     // trained on a part of the data set
	HeldOut        bool     // tested on images held out of the training set
	Views          int      // how many views of each test image
	Epochs         int
	Metric         string   // top1_error, top5_error, train_top1_error; anything else is never published
	Delta          float64  // difference to the baseline, in percentage points
	Pairs          int      // seeds behind it
	SD             float64  // of the paired differences, in percentage points; of 2 pairs and more
	RunSD          float64  // SD of a difference of two runs with unrelated seeds, in percentage points
	Low, High      *float64 // the 95 % interval of Delta; nil where there is none
	TooFew         bool     // no result with so few pairs could be a claim
}

// An Agreement states how a result relates to a published difference.
type Agreement string

// The agreements. Judge states the rule.
const (
	Agrees        Agreement = "agrees"
	Contradicts   Agreement = "contradicts"
	Undecided     Agreement = "undecided"
	NotComparable Agreement = "not comparable"
)

// A Judgement states how a result relates to a published difference, and why.
type Judgement struct {
	Claim     Claim
	Figure    Figure
	Delta     float64 // published, in percentage points of error
	Agreement Agreement
	Why       string // the reason for NotComparable
}

// Judge compares a result with the published comparison that fits it best. It returns false if none is about the
// result's ablation.
//
// A claim is about the result's ablation if it names the one ablation that made the
// variant, or the very study and variant, and if it has a difference of the
// result's metric: points of an error rate have no place beside a loss. Of several
// claims Judge takes one that can be compared, or whose obstacle comes latest in
// this list; between equals, the earlier one in Claims. It is not comparable for
// the first of these reasons:
//
//  1. another data set
//  2. other images of the data set
//  3. another net as the baseline
//  4. our nets trained on a part of the data
//  5. our nets trained less than half as long
//  6. test images had another number of views
//  7. confounded: the published difference is not the part's alone
//  8. too few seeds of ours for an interval
//
// Otherwise the published difference is compared with a 95 % prediction interval:
// where a difference of theirs would lie if the true one is ours. Our mean varies as
// paired differences do, s²/k. Theirs does not: each side of it is a mean of its
// own runs (one, where the source does not say), so it varies by the variance of
// an unpaired difference over their runs, and by the rounding of the printed figures.
//
//	t(k−1; 0.975) · √(s²/k + (s_a² + s_b²)/n + 2·0.1²/12)
//
// A result contradicts the published difference if that lies outside. It agrees if
// that lies inside and our own interval excludes 0 on the same side. No result can
// agree with a difference published as 0, since there is no margin. Anything else
// is undecided, and so is every result of fewer pairs than a claim needs. For a
// difference published as "over x", our interval needs to reach x.
func Judge(r Result) (Judgement, bool) { return judge(Claims(), r) }

func judge(claims []Claim, r Result) (Judgement, bool) {
	var best Judgement
	place := -1
	for _, c := range claims {
		f, ok := comparison(c, r.Metric)
		if !ok || !c.of(r) {
			continue
		}
		at, why := obstacle(c, r)
		if at > place {
			d, _ := f.ErrorDelta()
			best, place = Judgement{Claim: c, Figure: f, Delta: d, Agreement: NotComparable, Why: why}, at
		}
	}
	if place == noObstacle {
		best.Agreement = compare(best, r)
	}
	return best, place >= 0
}

// of reports whether the claim is about what the result's variant changes.
func (c Claim) of(r Result) bool {
	if c.Study != "" && c.Study == r.Study && c.Variant == r.Variant {
		return true
	}
	return c.Ablation != "" && !r.Edited && slices.Equal(r.Ablations, []string{c.Ablation})
}

// comparison returns the claim's difference in a metric.
func comparison(c Claim, metric string) (Figure, bool) {
	for _, f := range c.Figures {
		if _, differs := f.ErrorDelta(); differs && f.ErrorMetric() == metric {
			return f, true
		}
	}
	return Figure{}, false
}

// noObstacle is the position of a comparison that nothing prevents.
const noObstacle = 8

// splits maps each data set to the split on which our runs are tested.
var splits = map[string]string{"imagenet": "validation"}

// obstacle returns the first reason why a claim cannot be compared, and the reason's position in Judge's list.
func obstacle(c Claim, r Result) (int, string) {
	split := splits[r.Data]
	if split == "" {
		split = "test"
	}
	if r.HeldOut {
		split = "held-out"
	}
	if strings.HasPrefix(r.Metric, "train_") {
		split = "train"
	}
	switch {
	case c.Data != r.Data:
		return 0, "on " + c.Data
	case c.Split != split:
		return 1, "on its " + c.Split + " images"
	case !slices.Contains(c.Nets, r.Net):
		return 2, "net " + strings.Join(c.Nets, " or ")
	case r.Part:
		return 3, "here a part of the data"
	case 2*r.Epochs < c.Epochs:
		return 4, fmt.Sprintf("%d epochs", c.Epochs)
	case c.Views != 0 && c.Views != r.Views:
		return 5, fmt.Sprintf("%d views", c.Views)
	case c.Confounded != "":
		return 6, "confounded"
	case r.Low == nil || r.High == nil:
		return 7, "no interval here"
	}
	return noObstacle, ""
}

// rounding is the variance of a difference of two figures printed to a tenth of a point.
const rounding = 2 * 0.1 * 0.1 / 12

// compare applies the rule of Judge to a claim that can be compared.
func compare(j Judgement, r Result) Agreement {
	if r.TooFew || r.Pairs < 2 {
		return Undecided
	}
	published, k, n := j.Delta, float64(r.Pairs), float64(max(j.Claim.Seeds, 1))
	half := stats.HalfWidth(r.Pairs) * math.Sqrt(k) * math.Sqrt(r.SD*r.SD/k+r.RunSD*r.RunSD/n+rounding)
	low, high := r.Delta-half, r.Delta+half
	holds := low <= published && published <= high
	if j.Figure.Bound == "over" { // further from 0 than published
		holds = published >= 0 && high >= published || published < 0 && low <= published
	}
	switch {
	case !holds:
		return Contradicts
	case published > 0 && *r.Low > 0, published < 0 && *r.High < 0:
		return Agrees
	}
	return Undecided
}
