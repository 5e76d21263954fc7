package page

import (
	"fmt"
	"html"
	"html/template"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"ablate/reports"
)

// series is the number of colours; the style sheet defines them as --series-0 … and
// checks by shape and words as well as colour: lines are labelled at their ends.
const series = 8

// dashes is the number of line styles, d0 … in the style sheet, and of the shapes of marks.
const dashes = 4

// An svg collects the elements of a picture. Its words are cleaned and escaped.
type svg struct {
	strings.Builder
	width, height int
}

func newSVG(width, height int, title, description string) *svg {
	s := &svg{width: width, height: height}
	fmt.Fprintf(s,
		`<svg viewBox="0 0 %d %d" role="img" xmlns="http://www.w3.org/2000/svg"><title>%s</title><desc>%s</desc>`,
		width, height, html.EscapeString(reports.Sanitize(title)), html.EscapeString(reports.Sanitize(description)))
	return s
}

func (s *svg) done() template.HTML {
	s.WriteString("</svg>")
	return template.HTML(s.String())
}

// num prints a coordinate to a tenth of a unit, with the same digits on every machine.
func num(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

func (s *svg) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(s, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, class, num(x1), num(y1), num(x2), num(y2))
}

func (s *svg) text(class, anchor string, x, y float64, words string) {
	fmt.Fprintf(s, `<text class="%s" text-anchor="%s" x="%s" y="%s">%s</text>`, class, anchor, num(x), num(y),
		html.EscapeString(reports.Sanitize(words)))
}

// titled writes words, cut where they exceed the room. The full words show on hover.
func (s *svg) titled(class, anchor string, x, y, room float64, words string) {
	fmt.Fprintf(s, `<text class="%s" text-anchor="%s" x="%s" y="%s">%s<title>%s</title></text>`, class, anchor, num(x),
		num(y),
		html.EscapeString(fit(reports.Sanitize(words), room)), html.EscapeString(reports.Sanitize(words)))
}

func (s *svg) rect(class string, x, y, w, h float64) {
	fmt.Fprintf(s, `<rect class="%s" x="%s" y="%s" width="%s" height="%s" rx="3"/>`, class, num(x), num(y), num(w), num(h))
}

func (s *svg) circle(class string, x, y, r float64) {
	fmt.Fprintf(s, `<circle class="%s" cx="%s" cy="%s" r="%s"/>`, class, num(x), num(y), num(r))
}

// point draws a circle that shows words on hover.
func (s *svg) point(class string, x, y, r float64, words string) {
	fmt.Fprintf(s, `<circle class="%s" cx="%s" cy="%s" r="%s"><title>%s</title></circle>`,
		class, num(x), num(y), num(r), html.EscapeString(reports.Sanitize(words)))
}

func (s *svg) diamond(class string, x, y float64) {
	const r = 6
	s.path(class, [][2]float64{{x, y - r}, {x + r, y}, {x, y + r}, {x - r, y}}, true)
}

// mark draws one of four shapes.
func (s *svg) mark(class string, shape int, x, y float64) {
	const r = 5
	switch shape {
	case 0:
		s.circle(class, x, y, r)
	case 1:
		s.path(class, [][2]float64{{x - r, y - r}, {x + r, y - r}, {x + r, y + r}, {x - r, y + r}}, true)
	case 2:
		s.path(class, [][2]float64{{x, y - r}, {x + r, y + r}, {x - r, y + r}}, true)
	default:
		s.diamond(class, x, y)
	}
}

func (s *svg) path(class string, points [][2]float64, closed bool) {
	var d strings.Builder
	for i, p := range points {
		d.WriteByte("ML"[min(i, 1)])
		d.WriteString(num(p[0]) + " " + num(p[1]))
	}
	if closed {
		d.WriteByte('Z')
	}
	fmt.Fprintf(s, `<path class="%s" d="%s"/>`, class, d.String())
}

// A scale maps values to places.
type scale struct {
	from, to, low, high float64
	log                 bool // the places are those of the logarithms; from and to are above 0
}

func (s scale) at(v float64) float64 {
	if s.to == s.from {
		return (s.low + s.high) / 2
	}
	if s.log {
		v, s.from, s.to = math.Log(v), math.Log(s.from), math.Log(s.to)
	}
	return s.low + (v-s.from)/(s.to-s.from)*(s.high-s.low)
}

// ticks returns about n round values within the scale, in steps of 1, 2 or 5 times a power of ten.
func (s scale) ticks(n int) []float64 {
	if s.log && s.to >= 5*s.from {
		return s.decades(n)
	}
	span := s.to - s.from
	if span <= 0 {
		return []float64{s.from}
	}
	step := math.Pow(10, math.Floor(math.Log10(span/float64(n))))
	for _, m := range []float64{1, 2, 5, 10} {
		if span/(step*m) <= float64(n) {
			step *= m
			break
		}
	}
	var ticks []float64
	first := math.Ceil(s.from/step - 1e-9)
	for i := range n + 1 { // counted: where floats are sparse, adding a step may change nothing
		if t := (first + float64(i)) * step; t <= s.to+1e-9*step && (i == 0 || t > ticks[i-1]) {
			ticks = append(ticks, t)
			continue
		}
		break
	}
	return ticks
}

// decades returns the ticks of a logarithmic scale: powers of ten, with 2 and 5 times them if there is room.
func (s scale) decades(n int) []float64 {
	first, last := int(math.Floor(math.Log10(s.from))), int(math.Ceil(math.Log10(s.to)))
	times := []float64{1}
	if last-first <= n/2 {
		times = []float64{1, 2, 5}
	}
	every := max(1, (last-first)/n)
	var ticks []float64
	for e := first; e <= last; e += every {
		for _, m := range times {
			if t := m * math.Pow(10, float64(e)); t >= s.from && t <= s.to {
				ticks = append(ticks, t)
			}
		}
	}
	return ticks
}

// tick prints a value as an axis shows it.
func tick(v float64) string {
	return strings.ReplaceAll(strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64), "-", "−")
}

// around widens a range by a share of itself, so that nothing touches the frame.
func around(values []float64) (low, high float64) {
	low, high = slices.Min(values), slices.Max(values)
	pad := (high - low) * 0.06
	if pad == 0 {
		pad = math.Max(math.Abs(high)*0.05, 1e-3)
	}
	return low - pad, high + pad
}

// apart moves places so that neighbours are at least gap from each other, keeping their order.
func apart(places []float64, gap float64) []float64 {
	order := make([]int, len(places))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case places[a] < places[b]:
			return -1
		case places[a] > places[b]:
			return 1
		}
		return 0
	})
	out := slices.Clone(places)
	for i := 1; i < len(order); i++ {
		out[order[i]] = math.Max(out[order[i]], out[order[i-1]]+gap)
	}
	if n := len(order); n > 0 { // half of the last one's shift is taken back from all
		shift := (out[order[n-1]] - places[order[n-1]]) / 2
		for i := range out {
			out[i] -= shift
		}
	}
	return out
}

// finite reports whether a value can be drawn.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
