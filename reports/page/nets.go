package page

import (
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"slices"
	"strings"

	"ablate/arch"
	"ablate/experiments"
	"ablate/recipe"
	"ablate/reports"
)

// A Figure is one variant's net, drawn as the paper's Figure 2 has it: columns
// side by side, crossings where a layer reads both.
type Figure struct {
	Variant string
	Changes string
	Picture template.HTML
}

// A LayerTable lists a variant's layers.
type LayerTable struct {
	Variant   string
	Rows      []LayerRow
	TimesNote string // what the times were measured on; empty if there are none
}

// A LayerRow is a line of a LayerTable.
type LayerRow struct {
	Layer, Kind, Output, Params, MACs, Time string
}

// netOf reads the net of a record's recipe. It returns nil if a user's program trained the run.
func netOf(r experiments.Record) (*arch.Net, error) {
	stored, err := recipe.Decode(r.Recipe)
	return stored.Net, err
}

// Nets draws every variant's net and lists its layers.
func (b *Pictures) Nets() (figures []Figure, layers []LayerTable) {
	var base *drawing
	for _, row := range b.c.Rows {
		records := b.of(row.Variant)
		if len(records) == 0 {
			continue
		}
		net, err := netOf(records[0])
		if err != nil {
			b.problem("net of "+row.Variant, err)
			continue
		}
		if net == nil {
			continue
		}
		placed, err := net.Infer()
		if err != nil {
			b.problem("net of "+row.Variant, err)
			continue
		}
		d := newDrawing(net, placed)
		if base == nil {
			base = d
		}
		rows, note := b.layers(records, placed)
		layers = append(layers, LayerTable{row.Variant, rows, note})
		figures = append(figures, Figure{row.Variant, strings.Join(row.Changes, ", "), d.draw(row.Variant, base)})
	}
	return figures, layers
}

// layers lists a net, with the time of each layer's kernels if a run recorded it.
func (b *Pictures) layers(records []experiments.Record, placed []arch.LayerInfo) ([]LayerRow, string) {
	times, note := b.times(records)
	var rows []LayerRow
	for _, p := range placed {
		r := LayerRow{Layer: p.Layer.Name, Kind: p.Layer.Spec.Kind(), Output: p.Out.String()}
		if p.Params > 0 {
			r.Params = reports.Thousands(p.Params)
		}
		if p.MACs > 0 {
			r.MACs = reports.Thousands(p.MACs)
		}
		if t, ok := times[p.Layer.Name]; ok {
			r.Time = fmt.Sprintf("%.2f", 1e3*t)
		}
		rows = append(rows, r)
	}
	return rows, note
}

// times sums the kernel times of each layer in the first run that has them.
func (b *Pictures) times(records []experiments.Record) (map[string]float64, string) {
	if b.s.Times == nil {
		return nil, ""
	}
	for _, r := range records {
		t, err := b.s.Times(r)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.problem(fmt.Sprintf("times of %s seed %d", r.Variant, r.Seed), err)
		}
		if err != nil || len(t.Kernels) == 0 {
			continue // such as a run that is not finished yet
		}
		sums := map[string]float64{}
		for _, k := range t.Kernels {
			sums[layerOf(k)] += float64(k.Seconds)
		}
		return sums, fmt.Sprintf("milliseconds of a training step of %d images, forward, backward and update, on %s; "+
			"a ReLU that is fused counts with its layer; a step waits %.2f ms for its images", t.Batch, t.Hardware,
			1e3*float64(t.Waiting))
	}
	return nil, ""
}

// layerOf returns the layer that a kernel belongs to. Records of format 1 name it only within the kernel's name: conv1
// in conv{conv1}+relu and in update{conv1.bias}.
func layerOf(k experiments.KernelTime) string {
	if k.Layer != "" {
		return k.Layer
	}
	_, rest, _ := strings.Cut(k.Name, "{")
	name, _, _ := strings.Cut(rest, "}")
	name, _, _ = strings.Cut(name, ".")
	return name
}

// A drawing is a net drawn as boxes.
type drawing struct {
	columns int
	names   []string
	boxes   map[string]box
	gutter  float64 // beside the boxes, where wires pass layers that do not read them
}

type box struct {
	label   string
	values  string // all that defines the layer, to compare
	crosses bool   // reads all columns
	from    []string
}

func newDrawing(net *arch.Net, placed []arch.LayerInfo) *drawing {
	d := &drawing{columns: max(1, net.Columns), boxes: map[string]box{}}
	for i, p := range placed {
		values, _ := json.Marshal(p.Layer.Values()) // plain data: cannot fail
		x := box{label: p.Layer.Name + "  " + p.Out.String(), values: fmt.Sprintf("%s %s %d", p.Layer.Spec.Kind(), values,
			p.Groups)}
		switch p.Layer.Spec.(type) {
		case *arch.Conv:
			x.crosses = i > 0 && p.Groups < d.columns
		case *arch.Dense:
			x.crosses = true
		}
		for _, from := range p.From {
			if from != i-1 {
				d.gutter = 24
			}
			if from >= 0 {
				x.from = append(x.from, placed[from].Layer.Name)
			}
		}
		d.names = append(d.names, p.Layer.Name)
		d.boxes[p.Layer.Name] = x
	}
	return d
}

// A place is a layer in the drawing and how it was changed.
type place struct {
	name string
	what string // "", changed, inserted, removed
	box  box
}

// against lists the layers, with those that the baseline alone has at their former places.
func (d *drawing) against(base *drawing) []place {
	var places []place
	next := 0 // of the baseline's layers
	gone := func(until int) {
		for ; next < until; next++ {
			if n := base.names[next]; !slices.Contains(d.names, n) {
				places = append(places, place{n, "removed", base.boxes[n]})
			}
		}
	}
	for _, n := range d.names {
		p := place{name: n, box: d.boxes[n]}
		at := slices.Index(base.names, n)
		switch {
		case at < 0:
			p.what = "inserted"
		case base.boxes[n].values != p.box.values:
			p.what = "changed"
		}
		if at >= next {
			gone(at)
			next = at + 1
		}
		places = append(places, p)
	}
	gone(len(base.names))
	return places
}

// marks repeats in signs what colour and dashes show.
var marks = map[string]string{"removed": "− ", "changed": "≠ ", "inserted": "+ "}

func (d *drawing) draw(variant string, base *drawing) template.HTML {
	const width, row, high, margin, gap = 320, 34, 22, 6, 14
	places := d.against(base)
	s := newSVG(width, row*len(places)+2*margin, "The net of "+variant,
		"Layers from top to bottom, columns side by side, crossed lines where a layer reads both; removed layers are dashed.")
	w := (float64(width-2*margin-gap*(d.columns-1)) - d.gutter) / float64(d.columns)
	left := func(c int) float64 { return margin + float64(c)*(w+gap) }
	at := map[string]int{}
	for i, p := range places {
		at[p.name] = i
	}
	for i, p := range places {
		y := float64(margin + i*row)
		near := len(p.box.from) == 0 // reads what stands above it
		for k, name := range p.box.from {
			from, drawn := at[name]
			if !drawn || from == i-1 || d.gutter == 0 || p.what == "removed" {
				near = true
				continue
			}
			// Around the layers between the two, several beside each other.
			x, right := float64(width-margin)-d.gutter+6+float64(6*((i+k)%3)), left(d.columns-1)+w
			top, bottom := float64(margin+from*row+high/2), y+float64(high)/2+float64(3*k)
			s.line("wire", right, top, x, top)
			s.line("wire", x, top, x, bottom)
			s.line("wire", x, bottom, right, bottom)
		}
		if i > 0 && near {
			for to := range d.columns {
				for from := range d.columns {
					if from == to || p.box.crosses {
						s.line("wire", left(from)+w/2, y-(row-high), left(to)+w/2, y)
					}
				}
			}
		}
		for c := range d.columns {
			s.rect("layer "+p.what, left(c), y, w, high)
			s.text("layer-name "+p.what, "middle", left(c)+w/2, y+15, short(marks[p.what]+p.box.label, int(w/7)))
		}
	}
	return s.done()
}
