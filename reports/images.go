package reports

import (
	"fmt"
	"hash/fnv"
	"math"
	"strings"

	"ablate/experiments"
	"ablate/reports/stats"
)

// maxAnswers bounds how many answers to test images are kept in memory to find the images' share of the uncertainty.
const maxAnswers = 1 << 27

// answers holds which test images a net classified correctly, and a digest that identifies those images.
type answers struct {
	right  []bool
	images uint64
}

// An answerCache keeps answers, since every row needs the baseline's.
type answerCache struct {
	read readPredictions
	of   map[string]*answers // by variant and seed; nil where they cannot be read
	held int
}

func (a *answerCache) get(r experiments.Record) *answers {
	key := fmt.Sprintf("%s/%s/%d", r.Study, r.Variant, r.Seed)
	if known, ok := a.of[key]; ok {
		return known
	}
	a.of[key] = nil
	if a.held > maxAnswers {
		return nil
	}
	predictions, err := a.read(r)
	if err != nil || len(predictions) == 0 {
		return nil
	}
	got := &answers{right: make([]bool, len(predictions))}
	digest := fnv.New64a()
	for i, p := range predictions {
		got.right[i] = p.Rank == 1
		fmt.Fprintln(digest, p.Index, p.Label)
	}
	got.images = digest.Sum64()
	a.held += len(predictions)
	a.of[key] = got
	return got
}

// crossImages finds how much of a difference's uncertainty comes from the test images. It reads the stored predictions,
// and returns nil if there are none or if they are not behind the compared figure.
func (c *Comparison) crossImages(d *Delta, these []outcome, to rival) *stats.Crossed {
	if c.answers == nil || d.K < 2 || d.Ranked || c.Metric.Name != "test_top1_error" || c.At != (At{}) {
		return nil
	}
	var crossed [][]int8
	var images uint64
	for _, o := range these {
		for _, r := range to.records {
			if o.Seed != r.Seed || !o.counts || !r.counts {
				continue
			}
			a, b := c.answers.get(o.Record), c.answers.get(r.Record)
			if a == nil || b == nil || a.images != b.images || len(crossed) > 0 && a.images != images {
				return nil
			}
			images = a.images
			row := make([]int8, len(a.right))
			for i := range row {
				switch {
				case b.right[i] && !a.right[i]:
					row[i] = 1
				case a.right[i] && !b.right[i]:
					row[i] = -1
				}
			}
			crossed = append(crossed, row)
		}
	}
	if len(crossed) != d.K {
		return nil
	}
	alpha := c.Look.Alpha
	if alpha <= 0 {
		alpha = stats.Alpha // between looks nothing is claimed, and intervals have the usual level
	}
	x := stats.CrossSeedsAndImages(crossed, 1-alpha/float64(max(c.Family, 1)))
	if math.Abs(x.Mean-d.Mean) > 0.5/float64(x.Images) {
		return nil // the predictions belong to another figure
	}
	return &x
}

// widen replaces a difference's interval by the one over seeds and test images where the images add more uncertainty
// than the seeds. A claim then needs the wider interval to exclude 0.
func (d *Delta) widen(x *stats.Crossed, m Metric, margin float64) {
	if d.Images = x; x == nil || !x.Dominates() || x.Interval == nil || d.Interval == nil {
		return
	}
	wide := stats.Interval{Low: min(d.Interval.Low, x.Interval.Low), High: max(d.Interval.High, x.Interval.High)}
	m.bound(&wide, -1)
	d.Interval, d.Widened = &wide, true
	v := &d.Verdict
	switch {
	case v.Word.Claims() && !wide.Excludes(0), v.Word == stats.Same && wide.Bound() >= margin:
		*v = stats.Verdict{Word: stats.NoEvidence, Beyond: wide.Bound()}
	case v.Word == stats.NoEvidence && v.Beyond > 0:
		v.Beyond = max(v.Beyond, wide.Bound())
	}
}

// imageNotes states for each row how much of its uncertainty comes from seeds and how much from images.
func (c *Comparison) imageNotes() []string {
	var rows []string
	widened := false
	for _, r := range c.Rows {
		if r.Delta == nil || r.Delta.Images == nil {
			continue
		}
		x := r.Delta.Images
		rows = append(rows, fmt.Sprintf("%s %s and %s", Sanitize(r.Variant), Percent(x.SeedError), Percent(x.ImageError)))
		widened = widened || r.Delta.Widened
	}
	if len(rows) == 0 {
		return nil
	}
	text := "standard error of Δ in points over seeds and over test images: " + strings.Join(rows, "; ")
	if widened {
		text += "; where the images' is the larger one, the interval is of both (two-way, Bonferroni over the family), " +
			"and a claim needs it to exclude 0"
	}
	return []string{text}
}
