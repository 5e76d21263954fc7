package ledger

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A Result is one row of ours, to be held against what was published.
type Result struct {
	Study, Variant string
	Ablations      []string // of the catalogue, that made the variant
	Edited         bool     // own edits came on top of them
	Net            string   // the baseline's
	Data           string   // as in the recipe
	Part           bool     // trained on a part of the data set
	HeldOut        bool     // tested on images held out of the training set
	Views          int      // of each test image
	Epochs         int
	Metric         string   // top1_error, top5_error, train_top1_error; anything else is never published
	Delta          float64  // to the baseline, in percentage points
	Pairs          int      // seeds behind it
	Low, High      *float64 // its 95 % interval; nil where there is none
	Verdict        int      // +1 worse, −1 better, 0 no claim
}

// An Agreement is what a result says of a published difference.
type Agreement string

// The words. See Judge.
const (
	Agrees        Agreement = "agrees"
	Contradicts   Agreement = "contradicts"
	Undecided     Agreement = "undecided"
	NotComparable Agreement = "not comparable"
)

// A Judgement is what a result says of a published difference, and why.
type Judgement struct {
	Claim     Claim
	Figure    Figure
	Delta     float64 // published, in percentage points of error
	Agreement Agreement
	Why       string // of NotComparable
}

// Judge holds a result against the published comparison that fits it best; false where none is of its ablation.
//
// A claim is of the result's ablation if it names the one ablation that made the
// variant, or the very study and variant, and if it has a difference of the
// result's metric: points of an error rate have no place beside a loss. Of several
// the one is taken that can be compared, or whose obstacle comes latest in this
// list; between equals the earlier of Claims. It is not comparable for the first
// of these reasons:
//
//  1. another data set
//  2. other images of the data set
//  3. another net as the baseline
//  4. ours trained on a part of the data
//  5. ours trained less than half as long
//  6. test images were seen by another number of views
//  7. confounded: the published difference is not the part's alone
//  8. too few seeds of ours for an interval
//
// Else the published difference is held against a 95 % prediction interval: where
// the mean of as many new pairs of runs as the source had, one where it does not
// say, would lie if they spread as ours do. That is our interval, √(1 + pairs of
// ours/pairs of theirs) times as wide (Student's t: the variance s²/k of a mean
// becomes s²(1/k + 1/n)). It contradicts if our verdict is a claim of the opposite
// sign, or if it lies outside; it agrees if it lies inside and our mean has its
// sign, or it is 0; and it is undecided otherwise. Of a difference published as
// "over x" the interval needs to reach x.
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

// of reports whether the claim is of what the result's variant changes.
func (c Claim) of(r Result) bool {
	if c.Study != "" && c.Study == r.Study && c.Variant == r.Variant {
		return true
	}
	return c.Ablation != "" && !r.Edited && slices.Equal(r.Ablations, []string{c.Ablation})
}

// comparison is the claim's difference of a metric.
func comparison(c Claim, metric string) (Figure, bool) {
	for _, f := range c.Figures {
		if _, differs := f.ErrorDelta(); differs && f.ErrorMetric() == metric {
			return f, true
		}
	}
	return Figure{}, false
}

// noObstacle is the place of a comparison that nothing stands in the way of.
const noObstacle = 8

// splits are the images that a run of ours is tested on.
var splits = map[string]string{"imagenet": "validation"}

// obstacle is the first reason why a claim cannot be compared, and its place.
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

// compare is the rule of Judge for what can be compared.
func compare(j Judgement, r Result) Agreement {
	published := j.Delta
	half := (*r.High - *r.Low) / 2 * math.Sqrt(1+float64(r.Pairs)/float64(max(j.Claim.Seeds, 1)))
	low, high := r.Delta-half, r.Delta+half
	holds := low <= published && published <= high
	if j.Figure.Bound == "over" { // further from 0 than published
		holds = published >= 0 && high >= published || published < 0 && low <= published
	}
	sign := func(v float64) int {
		switch {
		case v > 0:
			return 1
		case v < 0:
			return -1
		}
		return 0
	}
	switch {
	case r.Verdict != 0 && sign(published) == -r.Verdict, !holds:
		return Contradicts
	case math.Abs(published) < 1e-9 || sign(r.Delta) == sign(published):
		return Agrees
	}
	return Undecided
}
