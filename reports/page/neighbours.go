package page

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image/png"
	"io/fs"
	"math"
	"slices"

	"ablate/experiments"
	"ablate/reports"
)

// Neighbours shows which test images a net holds to be alike.
type Neighbours struct {
	Variant string
	Seed    uint64
	Among   string // number of images
	Side    int    // pixels of a picture on the page
	Rows    []NeighbourRow
}

// A NeighbourRow is an image and those nearest to it, the nearest first.
type NeighbourRow struct {
	Image   Thumb
	Nearest []Thumb
}

// A Thumb is a picture of a test image.
type Thumb struct {
	Picture template.URL
	Words   string
	Other   bool // it is of another class than the row's image
}

// As in the paper's Figure 4: five images, with six neighbours each.
const (
	neighbourRows = 5
	neighboursOf  = 6
)

// Neighbours draws test images with their nearest neighbours by the Euclidean distance of the last hidden layer's
// features, as the right half of the paper's Figure 4 has them, for each variant's first run that has features.
func (b *Pictures) Neighbours() []Neighbours {
	if b.s.Features == nil {
		return nil
	}
	var all []Neighbours
	for _, row := range b.c.Rows {
		for _, r := range b.of(row.Variant) {
			f, err := b.s.Features(r)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			n := Neighbours{Variant: r.Variant, Seed: r.Seed}
			if err == nil {
				err = n.draw(&f)
			}
			if err != nil {
				b.problem(fmt.Sprintf("features of %s seed %d", r.Variant, r.Seed), err)
			} else if len(n.Rows) > 0 {
				all = append(all, n)
			}
			break
		}
	}
	return all
}

// draw fills in the rows: the first image of each of the first classes, with its neighbours.
func (n *Neighbours) draw(f *experiments.Features) error {
	n.Among = reports.Thousands(len(f.Index))
	n.Side = f.Side * max(1, experiments.ThumbnailSide/f.Side)
	var images []int
	seen := map[int]bool{}
	for i, class := range f.Label {
		if !seen[class] && len(seen) < neighbourRows {
			seen[class] = true
			images = append(append(images, i), nearest(f, i)...)
		}
	}
	pictures, err := f.Cut(images)
	if err != nil {
		return err
	}
	var row *NeighbourRow
	for i, image := range images {
		var text bytes.Buffer
		if err := png.Encode(&text, pictures[i]); err != nil {
			return err
		}
		t := Thumb{
			Picture: template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(text.Bytes())),
			Words:   fmt.Sprintf("%s, test image %d", f.Classes[f.Label[image]], f.Index[image]),
		}
		if i%(len(images)/len(seen)) == 0 {
			n.Rows = append(n.Rows, NeighbourRow{Image: t})
			row = &n.Rows[len(n.Rows)-1]
			continue
		}
		of := images[i-1-len(row.Nearest)]
		t.Other = f.Label[image] != f.Label[of]
		t.Words += fmt.Sprintf(", at distance %.4g", distance(f, of, image))
		row.Nearest = append(row.Nearest, t)
	}
	return nil
}

// nearest returns the images whose features are nearest to those of image i.
func nearest(f *experiments.Features, i int) []int {
	type place struct {
		image    int
		distance float64
	}
	var all []place
	for j := range f.Index {
		if j != i {
			all = append(all, place{j, distance(f, i, j)})
		}
	}
	slices.SortStableFunc(all, func(a, b place) int { return cmp.Compare(a.distance, b.distance) })
	var images []int
	for _, p := range all[:min(neighboursOf, len(all))] {
		images = append(images, p.image)
	}
	return images
}

// distance returns the Euclidean distance of two images' features; if it is not a number, it is the greatest.
func distance(f *experiments.Features, i, j int) float64 {
	x, y := f.Values[i*f.Width:][:f.Width], f.Values[j*f.Width:][:f.Width]
	sum := 0.0
	for k := range x {
		d := float64(x[k]) - float64(y[k])
		sum += d * d
	}
	if math.IsNaN(sum) {
		return math.Inf(1)
	}
	return math.Sqrt(sum)
}
