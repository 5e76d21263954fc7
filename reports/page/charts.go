package page

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"

	"ablate/experiments"
	"ablate/reports"
	"ablate/reports/ledger"
)

// A curveSet is one picture of learning curves; the page shows one set at a time.
type curveSet struct {
	Name    string // test, train
	Title   string
	Picture template.HTML
}

// curves draws the mean of each variant's error over epochs and the range of its seeds.
func (b *builder) curves() []curveSet {
	if b.s.History == nil {
		return nil
	}
	logs := map[string][][]experiments.Metric{}
	for _, row := range b.c.Rows {
		for _, r := range b.of(row.Variant) {
			log, err := b.s.History(r)
			if err != nil {
				b.problem(fmt.Sprintf("log of %s seed %d", r.Variant, r.Seed), err)
				continue
			}
			logs[row.Variant] = append(logs[row.Variant], experiments.Series(log))
		}
	}
	var sets []curveSet
	for _, m := range []struct{ name, metric, title string }{
		{"test", "test_top1_error", "Top-1 test error by epoch"},
		{"train", "train_top1_error", "Top-1 training error by epoch"},
	} {
		if p := b.curve(m.title, m.metric, logs); p != "" {
			sets = append(sets, curveSet{m.name, m.title, p})
		}
	}
	return sets
}

// A point is what the seeds of a variant have at one epoch.
type point struct {
	epoch           int
	mean, low, high float64
}

// points gives a variant's curve: an epoch counts as soon as one seed has reached it.
func points(logs [][]experiments.Metric, metric string) []point {
	byEpoch := map[int][]float64{}
	last := 0
	for _, log := range logs {
		for _, m := range log {
			if v := float64(m.Value); m.Name == metric && finite(v) {
				byEpoch[m.Epoch] = append(byEpoch[m.Epoch], 100*v)
				last = max(last, m.Epoch)
			}
		}
	}
	var ps []point
	for e := range last + 1 {
		v := byEpoch[e]
		if len(v) == 0 {
			continue
		}
		sum := 0.0
		for _, x := range v {
			sum += x
		}
		ps = append(ps, point{e, sum / float64(len(v)), slices.Min(v), slices.Max(v)})
	}
	return ps
}

const (
	chartWidth, chartHeight = 720, 340
	chartLeft, chartRight   = 52, 180 // room for labels
	chartTop, chartBottom   = 14, 44
)

func (b *builder) curve(title, metric string, logs map[string][][]experiments.Metric) template.HTML {
	curves := map[string][]point{}
	var values []float64
	epochs := 1
	for name, l := range logs {
		ps := points(l, metric)
		if len(ps) == 0 {
			continue
		}
		curves[name] = ps
		for _, p := range ps {
			values = append(values, p.low, p.high)
			epochs = max(epochs, p.epoch)
		}
	}
	if len(values) == 0 {
		return ""
	}
	low, high := around(values)
	x := scale{min(1, float64(epochs)-0.001), float64(epochs), chartLeft, chartWidth - chartRight}
	y := scale{max(0, low), high, chartHeight - chartBottom, chartTop}
	s := newSVG(chartWidth, chartHeight, title, "A line is the mean over seeds, the band around it their range.")
	s.axes(x, y, "epoch", "error %", whole)
	type end struct {
		name   string
		colour int
	}
	var named []end
	var ends []float64
	for i, row := range b.c.Rows {
		ps, ok := curves[row.Variant]
		if !ok {
			continue
		}
		colour := i % series // a variant's colour is that of its row in every picture; dashes tell the next eight apart
		var line, band [][2]float64
		for _, p := range ps {
			line = append(line, [2]float64{x.at(float64(p.epoch)), y.at(p.mean)})
			band = append(band, [2]float64{x.at(float64(p.epoch)), y.at(p.high)})
		}
		for _, p := range slices.Backward(ps) {
			band = append(band, [2]float64{x.at(float64(p.epoch)), y.at(p.low)})
		}
		s.path(fmt.Sprintf("band s%d", colour), band, true)
		s.path(fmt.Sprintf("curve s%d d%d", colour, i/series%dashes), line, false)
		if len(line) == 1 {
			s.circle(fmt.Sprintf("dot s%d", colour), line[0][0], line[0][1], 3.5)
		}
		named, ends = append(named, end{row.Variant, colour}), append(ends, line[len(line)-1][1])
	}
	for i, place := range apart(ends, 15) {
		s.text(fmt.Sprintf("label s%d", named[i].colour), "start", chartWidth-chartRight+8, place+4, short(named[i].name, 24))
	}
	return s.done()
}

// axes draws a frame with ticks.
func (s *svg) axes(x, y scale, xName, yName string, show func(float64) bool) {
	for _, t := range y.ticks(6) {
		s.line("grid", x.low, y.at(t), x.high, y.at(t))
		s.text("tick", "end", x.low-6, y.at(t)+4, tick(t))
	}
	for _, t := range x.ticks(8) {
		if !show(t) {
			continue
		}
		s.line("grid", x.at(t), y.low, x.at(t), y.low+4)
		s.text("tick", "middle", x.at(t), y.low+17, tick(t))
	}
	s.text("axis", "middle", (x.low+x.high)/2, y.low+36, xName)
	s.text("axis", "start", 4, y.high-2, yName)
}

// whole says that a value is a number of epochs.
func whole(v float64) bool { return math.Abs(v-math.Round(v)) < 1e-9 }

// short cuts a name that would not fit.
func short(name string, n int) string {
	r := []rune(name)
	if len(r) <= n {
		return name
	}
	return string(r[:n-1]) + "…"
}

// forest draws each difference with its interval; nothing where nothing can be compared.
func (b *builder) forest() template.HTML {
	var rows []reports.Row
	published := false
	values := []float64{0}
	for _, r := range b.c.Rows {
		if r.Delta == nil || !finite(r.Delta.Mean) {
			continue
		}
		rows = append(rows, r)
		values = append(values, b.unit()*r.Delta.Mean)
		if i := r.Delta.Interval; i != nil && finite(i.Low) && finite(i.High) {
			values = append(values, b.unit()*i.Low, b.unit()*i.High)
		}
		if j := r.Published; j != nil {
			values = append(values, j.Delta)
			published = true
		}
	}
	if len(rows) == 0 {
		return ""
	}
	const line, left = 30, 210
	height := chartTop + line*len(rows) + chartBottom
	if published {
		height += legendLine
	}
	low, high := around(values)
	x := scale{low, high, left, chartWidth - 20}
	bottom := float64(chartTop + line*len(rows))
	s := newSVG(chartWidth, height, "Differences to the baseline", "A dot is the mean difference over paired seeds, the line its 95 % interval.")
	for _, t := range x.ticks(8) {
		s.line("grid", x.at(t), chartTop, x.at(t), bottom)
		s.text("tick", "middle", x.at(t), bottom+17, tick(t))
	}
	s.line("zero", x.at(0), chartTop, x.at(0), bottom)
	for i, r := range rows {
		y := float64(chartTop+line*i) + line/2
		class := "quiet"
		if w := r.Delta.Verdict.Word; w == "better" || w == "worse" {
			class = string(w)
		}
		s.text("name", "end", left-12, y+4, short(r.Variant, 28))
		if in := r.Delta.Interval; in != nil && finite(in.Low) && finite(in.High) {
			s.line("interval "+class, x.at(b.unit()*in.Low), y, x.at(b.unit()*in.High), y)
		}
		s.circle("mean "+class, x.at(b.unit()*r.Delta.Mean), y, 5)
		if j := r.Published; j != nil {
			s.diamond(publishedClass(j.Word), x.at(j.Delta), y)
		}
	}
	if published {
		y := float64(height) - legendLine/2
		s.diamond("published", left, y)
		s.text("axis", "start", left+12, y+4, "published")
		s.diamond("published apart", left+110, y)
		s.text("axis", "start", left+122, y+4, "published, not comparable")
	}
	s.text("axis", "middle", (x.low+x.high)/2, bottom+36, "Δ "+b.c.Metric.Head+" (left of 0: better than the baseline)")
	return s.done()
}

// legendLine is the height of the line that explains the marks.
const legendLine = 26

// publishedClass tells a published difference that can be compared from one that cannot.
func publishedClass(w ledger.Word) string {
	if w == ledger.NotComparable {
		return "published apart"
	}
	return "published"
}

// unit turns a share into percentage points.
func (b *builder) unit() float64 {
	if b.c.Metric.Share {
		return 100
	}
	return 1
}

// speed draws training speed against the error, for the hardware most runs have.
func (b *builder) speed() template.HTML {
	runs := map[string]int{}
	for _, r := range b.c.Rows {
		for _, s := range r.Speeds {
			runs[s.Hardware] += s.Runs
		}
	}
	hardware := sorted(runs)
	if len(hardware) == 0 {
		return ""
	}
	most := slices.MaxFunc(hardware, func(a, b string) int { return cmp.Compare(runs[a], runs[b]) })
	type dot struct {
		name         string
		colour       int
		speed, error float64
	}
	var dots []dot
	var xs, ys []float64
	for i, r := range b.c.Rows {
		for _, s := range r.Speeds {
			if s.Hardware == most && s.ImagesPerSecond > 0 && r.Error.K > 0 && finite(r.Error.Mean) {
				dots = append(dots, dot{r.Variant, i % series, s.ImagesPerSecond, b.unit() * r.Error.Mean})
				xs, ys = append(xs, s.ImagesPerSecond), append(ys, b.unit()*r.Error.Mean)
			}
		}
	}
	if len(dots) == 0 {
		return ""
	}
	xl, xh := around(xs)
	yl, yh := around(ys)
	x := scale{xl, xh, chartLeft, chartWidth - chartRight}
	y := scale{yl, yh, chartHeight - chartBottom, chartTop}
	s := newSVG(chartWidth, chartHeight, "Speed against error", "Training images a second on "+most+".")
	s.axes(x, y, "training images/s on "+short(most, 60), b.c.Metric.Head, finite)
	places := make([]float64, len(dots))
	for i, d := range dots {
		places[i] = y.at(d.error)
	}
	for _, d := range dots {
		s.circle(fmt.Sprintf("dot s%d", d.colour), x.at(d.speed), y.at(d.error), 5)
	}
	for i, place := range apart(places, 15) { // after the dots, which would hide them
		d := dots[i]
		s.text(fmt.Sprintf("label s%d", d.colour), "start", x.at(d.speed)+9, place+4, short(d.name, 24))
	}
	return s.done()
}
