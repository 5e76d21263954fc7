package page

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"

	"ablate/experiments"
	"ablate/reports/stats"
)

// A curveSet is one picture of learning curves; the page shows one set at a time.
type curveSet struct {
	Name    string // test, train
	Title   string
	Picture template.HTML
}

// curves draws the mean of each variant's error over epochs and the range of its seeds.
func (b *Pictures) curves() []curveSet {
	all := b.Curves()
	var sets []curveSet
	kinds := curveKinds
	if m := b.c.Metric; !slices.ContainsFunc(kinds, func(k curveKind) bool { return k.metric == m.Name }) {
		own := curveKind{"metric", m.Name, Axes{Title: m.Title + " by epoch", Unit: m.Head, Factor: b.unit()}}
		kinds = append([]curveKind{own}, kinds...)
	}
	for _, k := range kinds {
		for i := range all {
			all[i].Metric = k.metric
		}
		if p := DrawCurves(all, k.Axes); p != "" {
			sets = append(sets, curveSet{Name: k.name, Title: k.Title, Picture: p})
		}
	}
	return sets
}

// Curves returns one curve without a metric for each variant that has logs.
func (b *Pictures) Curves() []Curve {
	if b.s.Metrics == nil {
		return nil
	}
	var all []Curve
	for i, row := range b.c.Rows {
		c := Curve{Name: row.Variant, Row: i}
		for _, r := range b.of(row.Variant) {
			log, err := b.s.Metrics(r)
			if err != nil {
				b.problem(fmt.Sprintf("log of %s seed %d", r.Variant, r.Seed), err)
				continue
			}
			c.Logs = append(c.Logs, log)
		}
		if len(c.Logs) > 0 {
			all = append(all, c)
		}
	}
	return all
}

// A curveKind describes what a picture of learning curves on the page shows.
type curveKind struct {
	name, metric string
	Axes
}

var curveKinds = []curveKind{
	{"test", "test_top1_error", Axes{Title: "Top-1 test error by epoch", Unit: "error %", Factor: 100}},
	{"late", "test_top1_error", Axes{
		Title: "Top-1 test error in the second half of the epochs", Unit: "error %", Factor: 100, Late: true,
	}},
	{"train", "train_top1_error", Axes{Title: "Top-1 training error by epoch", Unit: "error %", Factor: 100}},
	{"loss", "test_loss", Axes{Title: "Test loss by epoch", Unit: "loss", Factor: 1}},
	{"train-loss", "train_loss", Axes{Title: "Training loss by epoch", Unit: "loss", Factor: 1}},
	{"rate", "lr", Axes{Title: "Learning rate by epoch", Unit: "rate", Factor: 1}},
}

// curveNames returns the names of the variants that have curves, by their row in the table.
func (b *Pictures) curveNames() []curveName {
	var names []curveName
	for i, row := range b.c.Rows {
		if len(b.of(row.Variant)) > 0 {
			names = append(names, curveName{Row: i, Name: row.Variant})
		}
	}
	return names
}

// A curveName is a variant whose curves a reader can hide.
type curveName struct {
	Row  int
	Name string
}

// A Curve is one line of a picture: a metric in the logs of a variant's runs, or of one run.
type Curve struct {
	Name   string
	Row    int // decides colour and dashes, so that a variant has the same in every picture
	Metric string
	Logs   [][]experiments.Metric
}

// Axes describes how curves are drawn. The zero values are the page's: by epoch, with the range of the seeds.
type Axes struct {
	Title  string
	Unit   string  // the vertical axis's unit
	Factor float64 // the factor from the log's unit to Unit
	Late   bool    // the second half alone, in which the curves lie close
	X      XAxis
	Log    bool // the vertical axis is logarithmic
	Band   Band
	Smooth float64 // weight of earlier values, from 0 to below 1; the raw curve is drawn beneath the smooth one
}

// An XAxis is the quantity on the horizontal axis of curves.
type XAxis string

// The horizontal axes of curves. The empty word means the epoch.
const (
	ByEpoch XAxis = "epoch"
	ByStep  XAxis = "step"
	ByTime  XAxis = "time"
)

// A Band is the area drawn around a curve.
type Band string

// The bands around a curve. The empty word means the range.
const (
	BandRange    Band = "range"
	BandSD       Band = "sd"
	BandInterval Band = "interval"
	BandNone     Band = "none"
)

// words completes the sentence "A line is the mean over seeds, …".
func (b Band) words() string {
	switch b {
	case BandSD:
		return "the band around it one standard deviation."
	case BandInterval:
		return "the band around it the 95 % interval of the mean."
	case BandNone:
		return "without a band."
	}
	return "the band around it their range."
}

// around returns the ends of the band.
func (b Band) around(values []float64) (low, high float64) {
	switch b {
	case BandSD, BandInterval:
		e := stats.Summarise(values)
		half := e.SD
		if b == BandInterval && e.Interval != nil {
			half = (e.Interval.High - e.Interval.Low) / 2
		}
		return e.Mean - half, e.Mean + half
	}
	return slices.Min(values), slices.Max(values)
}

// A point holds the values of a curve's seeds at one epoch or step.
type point struct {
	epoch           int
	x               float64
	mean, low, high float64
	values          []float64
}

// points returns a curve's points. An epoch counts as soon as one seed has reached it.
func (c Curve) points(a Axes) []point {
	type sums struct {
		values []float64
		x      float64
		epoch  int
	}
	at := map[int64]*sums{}
	for _, log := range c.Logs {
		before := newClock(log)
		for _, m := range log {
			v := a.Factor * float64(m.Value)
			if m.Name != c.Metric || !finite(v) || a.Log && v <= 0 {
				continue
			}
			key, x := int64(m.Epoch), float64(m.Epoch)
			switch a.X {
			case ByStep:
				key, x = m.Step, float64(m.Step)
			case ByTime:
				key, x = m.Step, before[m.Attempt]+m.Seconds
			}
			s := at[key]
			if s == nil {
				s = &sums{}
				at[key] = s
			}
			s.values, s.x, s.epoch = append(s.values, v), s.x+x, m.Epoch
		}
	}
	var ps []point
	for _, key := range slices.Sorted(maps.Keys(at)) {
		s := at[key]
		sum := 0.0
		for _, v := range s.values {
			sum += v
		}
		p := point{epoch: s.epoch, x: s.x / float64(len(s.values)), mean: sum / float64(len(s.values)), values: s.values}
		if p.low, p.high = a.Band.around(s.values); a.Log {
			p.low = max(p.low, slices.Min(s.values)) // a standard deviation may reach below 0
		}
		ps = append(ps, p)
	}
	if a.X == ByTime { // seeds that stop early make the mean time of the rest jump
		slices.SortStableFunc(ps, func(p, q point) int { return cmp.Compare(p.x, q.x) })
	}
	return thin(ps)
}

// newClock returns how many seconds had been trained when each attempt began.
func newClock(log []experiments.Metric) map[int]float64 {
	longest := map[int]float64{}
	for _, m := range log {
		longest[m.Attempt] = max(longest[m.Attempt], m.Seconds)
	}
	before, sum := map[int]float64{}, 0.0
	for _, attempt := range slices.Sorted(maps.Keys(longest)) {
		before[attempt] = sum
		sum += longest[attempt]
	}
	return before
}

// mostDrawn is how many points of a curve are drawn at most: more than a picture has columns of pixels.
const mostDrawn = 2000

// thin drops intermediate points where there are more than a picture can show.
func thin(ps []point) []point {
	if len(ps) <= mostDrawn {
		return ps
	}
	every := float64(len(ps)-1) / float64(mostDrawn-1)
	kept := make([]point, 0, mostDrawn)
	for i := range mostDrawn {
		kept = append(kept, ps[int(math.Round(float64(i)*every))])
	}
	return kept
}

// smooth returns an exponential moving average without its initial bias (Kingma and Ba 2015, section 3).
func smooth(ps []point, weight float64) []float64 {
	means := make([]float64, len(ps))
	sum, norm := 0.0, 0.0
	for i, p := range ps {
		sum, norm = weight*sum+(1-weight)*p.mean, weight*norm+(1-weight)
		means[i] = sum / norm
	}
	return means
}

// DrawCurves draws a picture in each frame. It returns nothing if there is nothing to draw.
func DrawCurves(curves []Curve, a Axes) template.HTML {
	drawn := a.lines(curves)
	return both(func(f frame) template.HTML { return a.draw(f, drawn) })
}

// A drawnCurve is a curve with its points.
type drawnCurve struct {
	Curve
	points []point
}

// lines returns the curves that have points to draw.
func (a Axes) lines(curves []Curve) []drawnCurve {
	var drawn []drawnCurve
	for _, c := range curves {
		ps := c.points(a)
		if a.Late && len(ps) > 0 {
			from := a.half(ps[len(ps)-1].x)
			ps = slices.DeleteFunc(ps, func(p point) bool { return p.x < from })
		}
		if len(ps) == 0 || a.Late && len(ps) < 3 {
			continue
		}
		drawn = append(drawn, drawnCurve{c, ps})
	}
	return drawn
}

// half returns the start of the second half.
func (a Axes) half(last float64) float64 { return math.Floor((last + 1) / 2) }

func (a Axes) byEpoch() bool { return a.X == "" || a.X == ByEpoch }

// scales returns the scales of the points, and the name and the divisor of the horizontal axis.
func (a Axes) scales(f frame, curves []drawnCurve) (x, y scale, name string, divisor float64) {
	var values []float64
	first, last := math.Inf(1), 1.0
	for _, c := range curves {
		for _, p := range c.points {
			values = append(values, p.low, p.high)
			first, last = min(first, p.x), max(last, p.x)
		}
	}
	low, high := around(values)
	if slices.Min(values) >= 0 {
		low = max(0, low)
	}
	if a.Log {
		low, high = slices.Min(values)*0.95, slices.Max(values)*1.05
	}
	name, divisor = "epoch", 1
	switch {
	case a.byEpoch():
		first = min(1, last-0.001)
	case a.X == ByStep:
		name, first = "step", min(first, last-0.001)
	case last >= 2*3600:
		name, divisor, first = "hours of training", 3600, 0
	case last >= 120:
		name, divisor, first = "minutes of training", 60, 0
	default:
		name, first = "seconds of training", 0
	}
	if a.Late {
		first = a.half(last)
	}
	x, y = f.scales(first/divisor, last/divisor, low, high)
	y.log = a.Log
	return x, y, name, divisor
}

// where describes a point's position, for the value that shows on hover.
func (a Axes) where(p point, name string, x float64) string {
	switch {
	case a.X == ByTime && p.epoch == 0: // a point without an epoch, such as a measurement of the machine
		return tick(round(x)) + " " + name
	case a.X == ByTime:
		return fmt.Sprintf("%s %s, epoch %d", tick(round(x)), name, p.epoch)
	}
	return fmt.Sprintf("%s %d", name, int64(p.x))
}

func (a Axes) draw(f frame, curves []drawnCurve) template.HTML {
	if len(curves) == 0 {
		return ""
	}
	var names []string
	for _, c := range curves {
		names = append(names, c.Name)
	}
	f = f.beside(names)
	x, y, xName, divisor := a.scales(f, curves)
	s := newSVG(f.width, f.room(len(curves)), a.Title, "A line is the mean over seeds, "+a.Band.words())
	show := finite
	if a.byEpoch() {
		show = whole
	}
	s.axes(f, x, y, xName, a.Unit, show)
	var labels []label
	for _, c := range curves {
		var line, overlay, band [][2]float64
		smoothed := smooth(c.points, a.Smooth)
		for i, p := range c.points {
			line = append(line, [2]float64{x.at(p.x / divisor), y.at(p.mean)})
			band = append(band, [2]float64{x.at(p.x / divisor), y.at(p.high)})
			overlay = append(overlay, [2]float64{x.at(p.x / divisor), y.at(smoothed[i])})
		}
		for _, p := range slices.Backward(c.points) {
			band = append(band, [2]float64{x.at(p.x / divisor), y.at(p.low)})
		}
		end := line[len(line)-1]
		l := label{name: c.Name, row: c.Row, x: end[0], y: end[1]}
		if a.Band != BandNone {
			s.path(fmt.Sprintf("band s%d r%d", l.colour(), c.Row), band, true)
		}
		if a.Smooth > 0 {
			s.path(fmt.Sprintf("curve raw s%d r%d", l.colour(), c.Row), line, false)
			s.path(fmt.Sprintf("curve s%d d%d r%d", l.colour(), l.dash(), c.Row), overlay, false)
		} else {
			s.path(fmt.Sprintf("curve s%d d%d r%d", l.colour(), l.dash(), c.Row), line, false)
		}
		if len(line) == 1 {
			s.circle(fmt.Sprintf("dot s%d r%d", l.colour(), c.Row), end[0], end[1], 3.5)
		}
		if n := len(c.points); n <= mostPoints {
			for j, p := range c.points {
				words := fmt.Sprintf("%s, %s: %s", c.Name, a.where(p, xName, p.x/divisor), tick(round(p.mean)))
				if a.Band != BandNone {
					words += fmt.Sprintf(" (%s to %s)", tick(round(p.low)), tick(round(p.high)))
				}
				s.point(fmt.Sprintf("hover r%d", c.Row), line[j][0], line[j][1], 7, words)
			}
		}
		labels = append(labels, l)
	}
	s.names(f, labels, func(l label, x, y float64) {
		s.path(fmt.Sprintf("curve s%d d%d r%d", l.colour(), l.dash(), l.row), [][2]float64{{x, y}, {x + 26, y}}, false)
	})
	return s.done()
}

// mostPoints is how many epochs of a curve show their values on hover. Each is a mark in the file.
const mostPoints = 200
