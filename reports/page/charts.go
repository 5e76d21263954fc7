package page

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"

	"ablate/reports"
	"ablate/reports/ledger"
)

// A frame is the room a picture is drawn in. Every picture is drawn twice, since
// one that is scaled down to a phone cannot be read; the style sheet shows one.
type frame struct {
	width, height int  // of the plot with its axes
	left, right   int  // room for ticks, and for names
	below         bool // names stand below the plot, a line each, and not beside it
	ticks         int  // about how many on the horizontal axis
	words         int  // letters that a name on an axis may have
}

var (
	wide   = frame{width: 720, height: 340, left: 52, right: 180, ticks: 8, words: 60}
	narrow = frame{width: 340, height: 280, left: 44, right: 14, below: true, ticks: 4, words: 26}
)

const (
	chartTop, chartBottom = 14, 44
	legendLine            = 22 // height of a line of names or marks below a plot
)

// both draws a picture in each frame. It returns nothing if there is nothing to draw.
func both(draw func(frame) template.HTML) template.HTML {
	picture := draw(wide)
	if picture == "" {
		return ""
	}
	return `<div class="wide">` + picture + `</div><div class="narrow">` + draw(narrow) + `</div>`
}

// beside reserves the room that names need to the right of the plot.
func (f frame) beside(names []string) frame {
	if !f.below {
		f.right = 14 + int(widest(names, 290))
	}
	return f
}

// room returns the height of a picture of n names.
func (f frame) room(names int) int {
	if !f.below {
		return f.height
	}
	return f.height + legendLine*names
}

// scales returns the scales of a plot's axes.
func (f frame) scales(x0, x1, y0, y1 float64) (x, y scale) {
	return scale{from: x0, to: x1, low: float64(f.left), high: float64(f.width - f.right)},
		scale{from: y0, to: y1, low: float64(f.height - chartBottom), high: chartTop}
}

// A label names what is drawn in a row's colour and dashes. It also holds the place where the drawing ends.
type label struct {
	name string
	row  int
	x, y float64
}

// A variant's colour is that of its row in every picture; dashes tell the next eight apart.
func (l label) colour() int { return l.row % series }
func (l label) dash() int   { return l.row / series % dashes }

// names writes the labels: beside the plot, each by a thin line from its place, or below it with a sample each.
func (s *svg) names(f frame, labels []label, sample func(l label, x, y float64)) {
	ends := make([]float64, len(labels))
	for i, l := range labels {
		ends[i] = l.y
	}
	edge := float64(f.width - f.right)
	for i, place := range apart(ends, 15) {
		l := labels[i]
		if f.below {
			y := float64(f.height + legendLine*i + legendLine/2)
			sample(l, float64(f.left), y)
			s.titled(fmt.Sprintf("label s%d r%d", l.colour(), l.row), "start", float64(f.left)+34, y+4,
				float64(f.width-f.left-40), l.name)
			continue
		}
		s.line(fmt.Sprintf("leader r%d", l.row), l.x, l.y, edge+6, place)
		s.titled(fmt.Sprintf("label s%d r%d", l.colour(), l.row), "start", edge+8, place+4, float64(f.right)-10, l.name)
	}
}

// round keeps as many digits of a value as a reader can use: four.
func round(v float64) float64 {
	if v == 0 {
		return 0
	}
	unit := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*unit) / unit
}

// axes draws a frame with ticks.
func (s *svg) axes(f frame, x, y scale, xName, yName string, show func(float64) bool) {
	unit := 4.0 // where the unit begins
	for _, t := range y.ticks(6) {
		if y.at(t) < y.high+8 { // the tick's number would be under it
			unit = x.low
		}
		s.line("grid", x.low, y.at(t), x.high, y.at(t))
		s.text("tick", "end", x.low-6, y.at(t)+4, tick(t))
	}
	for _, t := range x.ticks(f.ticks) {
		if !show(t) {
			continue
		}
		s.line("grid", x.at(t), y.low, x.at(t), y.low+4)
		s.text("tick", "middle", x.at(t), y.low+17, tick(t))
	}
	s.text("axis", "middle", (x.low+x.high)/2, y.low+36, xName)
	s.text("axis", "start", unit, y.high-2, yName)
}

// whole reports whether a value is a whole number of epochs.
func whole(v float64) bool { return math.Abs(v-math.Round(v)) < 1e-9 }

// short shortens a name that would not fit.
func short(name string, n int) string {
	r := []rune(name)
	if len(r) <= n {
		return name
	}
	return string(r[:n-1]) + "…"
}

// forest draws each difference with its interval. It returns nothing if nothing can be compared.
func (b *Pictures) forest(f frame) template.HTML {
	p := b.newForest(f)
	if len(p.rows) == 0 {
		return ""
	}
	height := p.bottom + chartBottom
	if f.below {
		height += legendLine
	}
	if p.published {
		height += legendLine
	}
	s := newSVG(f.width, height, "Differences to the baseline",
		"A dot is the mean difference over paired seeds, the line its 95 % interval, a small dot the difference under one "+
			"seed.")
	for _, t := range p.x.ticks(f.ticks) {
		s.line("grid", p.x.at(t), chartTop, p.x.at(t), float64(p.bottom))
		s.text("tick", "middle", p.x.at(t), float64(p.bottom)+17, tick(t))
	}
	s.line("zero", p.x.at(0), chartTop, p.x.at(0), float64(p.bottom))
	for i, r := range p.rows {
		p.row(s, float64(chartTop+p.line*i+p.line/2), r)
	}
	p.legend(s)
	return s.done()
}

// A forestPlot holds the rows that can be compared, and their positions.
type forestPlot struct {
	*Pictures
	frame
	rows                []reports.Row
	published           bool // some row has a published difference
	line, start, bottom int  // a row's height; where the axis begins and ends
	x                   scale
}

func (b *Pictures) newForest(f frame) *forestPlot {
	p := &forestPlot{Pictures: b, frame: f}
	var names []string
	values := []float64{0}
	for _, r := range b.c.Rows {
		if r.Delta == nil || !finite(r.Delta.Mean) || !b.shows(r.Variant) {
			continue
		}
		p.rows = append(p.rows, r)
		names = append(names, r.Variant)
		values = append(values, b.unit()*r.Delta.Mean)
		for _, pair := range r.Delta.Pairs {
			values = append(values, b.unit()*pair.Difference)
		}
		if i := r.Delta.Shown(); i != nil && finite(i.Low) && finite(i.High) {
			values = append(values, b.unit()*i.Low, b.unit()*i.High)
		}
		if drawn(r) {
			values = append(values, r.Published.Delta)
			p.published = true
		}
	}
	p.line, p.start = 30, 24+int(widest(names, 330))
	if f.below {
		p.line, p.start = 44, 14 // each name has a line of its own, above its interval
	}
	p.bottom = chartTop + p.line*len(p.rows)
	low, high := around(values)
	p.x = scale{from: low, to: high, low: float64(p.start), high: float64(f.width - 20)}
	return p
}

// row draws a variant's name, interval, seeds, mean and published difference centred on a height.
func (p *forestPlot) row(s *svg, y float64, r reports.Row) {
	class := "quiet"
	if w := r.Delta.Verdict.Word; r.Delta.Claims() && (w == "better" || w == "worse") {
		class = string(w)
	}
	if p.below {
		s.titled("name", "start", float64(p.start), y-6, float64(p.width-p.start-20), r.Variant)
		y += 10
	} else {
		s.titled("name", "end", float64(p.start)-12, y+4, 330, r.Variant)
	}
	if in := r.Delta.Shown(); in != nil && finite(in.Low) && finite(in.High) {
		s.line("interval "+class, p.x.at(p.unit()*in.Low), y, p.x.at(p.unit()*in.High), y)
	}
	for _, pair := range r.Delta.Pairs {
		s.point("seed", p.x.at(p.unit()*pair.Difference), y+8, 2, fmt.Sprintf("seed %d: %s", pair.Seed,
			p.c.Metric.Signed(pair.Difference)))
	}
	s.point("mean "+class, p.x.at(p.unit()*r.Delta.Mean), y, 5, r.Variant+": "+p.deltaWords(r.Delta))
	if drawn(r) {
		s.diamond("published", p.x.at(r.Published.Delta), y)
	}
}

// legend explains below the axis what it shows and which side is better.
func (p *forestPlot) legend(s *svg) {
	middle, y := float64(p.start+p.width-20)/2, float64(p.bottom)+36
	head := "Δ " + p.c.Metric.Head
	if p.c.Options.Unadjusted {
		head += ", unadjusted intervals"
	}
	if what, better := head, "("+p.betterSide()+" of 0: better than the baseline)"; p.below {
		s.text("axis", "middle", middle, y, what)
		y += legendLine
		s.text("axis", "middle", middle, y, better)
	} else {
		s.text("axis", "middle", middle, y, what+" "+better)
	}
	if p.published {
		y += legendLine
		s.diamond("published", float64(p.start), y)
		s.text("axis", "start", float64(p.start)+12, y+4, "published")
	}
}

// deltaWords writes a difference with its interval and its verdict.
func (b *Pictures) deltaWords(d *reports.Delta) string {
	text := b.c.Metric.Signed(d.Mean)
	if i := d.Shown(); i != nil {
		text += fmt.Sprintf(" [%s, %s]", b.c.Metric.Signed(i.Low), b.c.Metric.Signed(i.High))
	}
	return text + ", " + string(d.Verdict.Word)
}

// drawn reports whether a row's published difference belongs on the axis: one that
// cannot be compared would invite the comparison that the table refuses.
func drawn(r reports.Row) bool {
	return r.Published != nil && r.Published.Agreement != ledger.NotComparable
}

// betterSide names the side on which the better differences lie.
func (b *Pictures) betterSide() string {
	if b.c.Metric.More {
		return "right"
	}
	return "left"
}

// unit returns the factor that turns a share into percentage points.
func (b *Pictures) unit() float64 { return b.c.Metric.Scale() }

// speed draws training speed against the error, on the hardware that most runs have.
func (b *Pictures) speed(f frame) template.HTML {
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
		row          int
		speed, error float64
	}
	var dots []dot
	var xs, ys []float64
	for i, r := range b.c.Rows {
		for _, s := range r.Speeds {
			if b.shows(r.Variant) && s.Hardware == most && s.ImagesPerSecond > 0 && r.Error.K > 0 && finite(r.Error.Mean) {
				dots = append(dots, dot{name: r.Variant, row: i, speed: s.ImagesPerSecond, error: b.unit() * r.Error.Mean})
				xs, ys = append(xs, s.ImagesPerSecond), append(ys, b.unit()*r.Error.Mean)
			}
		}
	}
	if len(dots) == 0 {
		return ""
	}
	var names []string
	for _, d := range dots {
		names = append(names, d.name)
	}
	f = f.beside(names)
	xl, xh := around(xs)
	yl, yh := around(ys)
	x, y := f.scales(xl, xh, yl, yh)
	s := newSVG(f.width, f.room(len(dots)), "Speed against error", "Training images a second on "+most+".")
	s.axes(f, x, y, "training images/s on "+short(most, f.words), b.c.Metric.Head, finite)
	mark := func(l label, x, y float64) { s.mark(fmt.Sprintf("dot s%d", l.colour()), l.dash(), x, y) }
	var labels []label
	for _, d := range dots {
		labels = append(labels, label{name: d.name, row: d.row, x: x.at(d.speed), y: y.at(d.error)})
	}
	s.names(f, labels, func(l label, x, y float64) { mark(l, x+20, y) })
	for _, l := range labels { // above the lines to their names
		mark(l, l.x, l.y)
	}
	return s.done()
}
