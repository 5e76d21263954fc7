package page

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"math"
	"slices"
	"strings"

	"ablate/experiments"
)

// A FilterSet is one variant's first layer before and after training.
type FilterSet struct {
	Variant       string
	Seed          uint64
	Before, After []FilterGrid // one a column of the net
}

// A FilterGrid is a picture of one column's filters.
type FilterGrid struct {
	Image         template.URL
	Width, Height int
	Words         string
}

// Filters draws the first layer's filters of each variant's first finished run,
// the columns apart, as the paper's Figure 3 has them.
func (b *Pictures) Filters() []FilterSet {
	if b.s.Filters == nil {
		return nil
	}
	var sets []FilterSet
	for _, row := range b.c.Rows {
		for _, r := range b.of(row.Variant) {
			if r.Status != experiments.Done {
				continue
			}
			set, err := b.filterSet(r)
			if err != nil {
				b.problem(fmt.Sprintf("filters of %s seed %d", r.Variant, r.Seed), err)
			} else if set != nil {
				sets = append(sets, *set)
			}
			break
		}
	}
	return sets
}

// filterSet returns nil if the net does not begin with a convolution over grey or colour.
func (b *Pictures) filterSet(r experiments.Record) (*FilterSet, error) {
	net, err := netOf(r)
	if err != nil {
		return nil, err
	}
	first, trained, err := b.s.Filters(r)
	if errors.Is(err, fs.ErrNotExist) { // a net that begins with another layer, or a run of an older version
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(first.Shape) != 4 || first.Shape[2] != 1 && first.Shape[2] != 3 {
		return nil, nil
	}
	if !slices.Equal(first.Shape, trained.Shape) {
		return nil, fmt.Errorf("shapes %v before and %v after", first.Shape, trained.Shape)
	}
	set := &FilterSet{Variant: r.Variant, Seed: r.Seed}
	columns := max(1, net.Columns)
	for c := range columns {
		for _, g := range []struct {
			of   experiments.Tensor
			when string
			to   *[]FilterGrid
		}{{first, "before", &set.Before}, {trained, "after", &set.After}} {
			grid, err := drawFilters(g.of, c, columns)
			if err != nil {
				return nil, err
			}
			grid.Words = fmt.Sprintf("%s of %s, column %d of %d, %s training", strings.TrimSuffix(first.Name, ".initial"),
				r.Variant, c+1, columns, g.when)
			*g.to = append(*g.to, grid)
		}
	}
	return set, nil
}

const filtersInRow = 8

// drawFilters lays one column's filters out in a grid. Each is scaled by its own
// largest weight, 0 being middle grey: what is shown is its form, not its size.
func drawFilters(t experiments.Tensor, column, columns int) (FilterGrid, error) {
	kh, kw, in, all := t.Shape[0], t.Shape[1], t.Shape[2], t.Shape[3]
	if len(t.Data) != kh*kw*in*all {
		return FilterGrid{}, fmt.Errorf("%s: %d values for shape %v", t.Name, len(t.Data), t.Shape)
	}
	if kh < 1 || kw < 1 || all < columns {
		return FilterGrid{}, fmt.Errorf("%s: shape %v holds no filters for %d columns", t.Name, t.Shape, columns)
	}
	n := all / columns
	across := min(n, filtersInRow)
	down := (n + across - 1) / across
	img := image.NewNRGBA(image.Rect(0, 0, across*(kw+1)+1, down*(kh+1)+1))
	for f := range n {
		o := column*n + f
		largest := 0.0
		for i := o; i < len(t.Data); i += all {
			largest = math.Max(largest, math.Abs(float64(t.Data[i])))
		}
		for y := range kh {
			for x := range kw {
				var rgb [3]uint8
				for c := range 3 {
					v := float64(t.Data[((y*kw+x)*in+min(c, in-1))*all+o])
					rgb[c] = level(v, largest)
				}
				img.SetNRGBA(1+f%across*(kw+1)+x, 1+f/across*(kh+1)+y, color.NRGBA{rgb[0], rgb[1], rgb[2], 255})
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return FilterGrid{}, err
	}
	const zoom = 5
	return FilterGrid{
		Image: template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())),
		Width: img.Rect.Dx() * zoom, Height: img.Rect.Dy() * zoom,
	}, nil
}

func level(v, largest float64) uint8 {
	if !finite(v) || largest == 0 || !finite(largest) {
		return 128
	}
	return uint8(math.Round(127.5 + 127.5*v/largest))
}
