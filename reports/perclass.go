package reports

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"ablate/experiments"
	"ablate/reports/stats"
)

// A PerClass holds the results of a study's nets for each class of test images.
type PerClass struct {
	Study    string           `json:"study"`
	Baseline string           `json:"baseline"`
	Classes  []string         `json:"classes,omitempty"` // names by number, where they are known
	Variants []VariantClasses `json:"variants"`          // the baseline first
	Problems []string         `json:"problems,omitempty"`
}

// VariantClasses holds a variant's classes, and how its confusions differ from the baseline's.
type VariantClasses struct {
	Variant string         `json:"variant"`
	Seeds   []uint64       `json:"seeds"`             // seeds of the finished runs
	Paired  []uint64       `json:"paired,omitempty"`  // seeds in Seeds that the baseline also has
	Classes []ClassError   `json:"by_class"`          // by number
	Cells   []Cell         `json:"confusion"`         // the cells that are not empty, by label and prediction
	Changed []ChangedImage `json:"changed,omitempty"` // the images whose answer changed, in most seeds first
}

// A ClassError is the share of a class's images that are classified wrongly, over seeds.
type ClassError struct {
	Class  int         `json:"class"`
	Images int         `json:"images"` // how many a test split has
	Error  ClassFigure `json:"error"`
	// Delta is the difference to the baseline under the same seeds; nil if nothing can be compared.
	Delta *ClassDelta `json:"delta,omitempty"`
}

// A ClassFigure is a mean over seeds with its interval at the usual level.
type ClassFigure struct {
	Mean float64  `json:"mean"`
	Low  *float64 `json:"low,omitempty"`
	High *float64 `json:"high,omitempty"`
}

// A ClassDelta is a difference and the result of its exact sign-flip test.
type ClassDelta struct {
	ClassFigure
	P        float64 `json:"p"`
	Adjusted float64 `json:"p_adjusted"` // by Holm's method over the classes of a variant
}

// Claims reports whether a class differs.
func (d *ClassDelta) Claims() bool {
	return d != nil && d.Adjusted <= stats.Alpha && d.Low != nil && *d.Low**d.High > 0
}

// Verdict returns "better" or "worse" for a claimed difference, and nothing for others.
func (d *ClassDelta) Verdict() string {
	switch {
	case !d.Claims():
		return ""
	case d.Mean > 0:
		return "worse"
	}
	return "better"
}

// Percent writes a share in percent with its interval. signed adds the sign, for a difference.
func (f ClassFigure) Percent(signed bool) string {
	format := "%.2f"
	if signed {
		format = "%+.2f"
	}
	said := fmt.Sprintf(format, 100*f.Mean)
	if f.Low != nil {
		said += fmt.Sprintf(" ["+format+", "+format+"]", 100**f.Low, 100**f.High)
	}
	return said
}

// Name returns a class's name, or its number if the names are not known.
func (p *PerClass) Name(class int) string {
	if class < len(p.Classes) {
		return p.Classes[class]
	}
	return fmt.Sprint(class)
}

// Cell returns the cell of a label and a prediction. It may be empty.
func (v VariantClasses) Cell(label, predicted int) Cell {
	i, found := slices.BinarySearchFunc(v.Cells, Cell{Label: label, Predicted: predicted}, byPlace)
	if !found {
		return Cell{Label: label, Predicted: predicted}
	}
	return v.Cells[i]
}

// CellText writes a cell with its difference to the baseline in brackets, if there is one.
func (v VariantClasses) CellText(c Cell) string {
	said := fmt.Sprintf("%.4g", c.Images)
	if len(v.Paired) > 0 && c.Difference != 0 {
		said += fmt.Sprintf(" (%+.3g)", c.Difference)
	}
	return said
}

// MostConfused returns the n pairs of classes that are confused most. With a baseline it returns those whose confusion
// differs most from the baseline's.
func (v VariantClasses) MostConfused(n int) []Cell {
	wrong := slices.DeleteFunc(slices.Clone(v.Cells), func(c Cell) bool { return c.Label == c.Predicted })
	of := func(c Cell) float64 { return c.Images }
	if len(v.Paired) > 0 {
		of = func(c Cell) float64 { return math.Abs(c.Difference) }
	}
	slices.SortStableFunc(wrong, func(a, b Cell) int { return cmp.Compare(of(b), of(a)) })
	return wrong[:min(len(wrong), n)]
}

func byPlace(a, b Cell) int {
	return cmp.Or(cmp.Compare(a.Label, b.Label), cmp.Compare(a.Predicted, b.Predicted))
}

// A Cell of a confusion matrix counts the images of a class, per run, that were taken for another class or for their
// own.
type Cell struct {
	Label      int     `json:"label"`
	Predicted  int     `json:"predicted"`
	Images     float64 `json:"images"`               // the mean of a variant's runs
	Difference float64 `json:"difference,omitempty"` // to the baseline's mean
}

// A ChangedImage is answered differently by the baseline's net of the same seed.
type ChangedImage struct {
	Index  int `json:"index"` // in the test split
	Label  int `json:"label"`
	Seeds  int `json:"seeds"`  // in which the answer changed
	Gained int `json:"gained"` // from wrong to right
	Lost   int `json:"lost"`   // from right to wrong
}

// ErrPredictions is the error for a study in which no run has predictions.
var ErrPredictions = errors.New("no run of the study has predictions")

// mostChanged bounds the list of images.
const mostChanged = 50

// seedAnswers holds a variant's predictions on the test images, by seed.
type seedAnswers map[uint64][]experiments.Prediction

// ByClass compares the classes of a study's variants. names may be nil.
func ByClass(study string, records []experiments.Record, o Options, names []string) (*PerClass, error) {
	p := &PerClass{Study: study, Baseline: cmp.Or(o.Baseline, DefaultBaseline), Classes: names}
	all := map[string]seedAnswers{}
	var order []string
	for _, r := range records {
		if r.Status != experiments.Done {
			continue
		}
		predictions, err := o.Predictions(r)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			p.Problems = append(p.Problems, fmt.Sprintf("%s/%d: %v", r.Variant, r.Seed, err))
			continue
		}
		if all[r.Variant] == nil {
			all[r.Variant] = seedAnswers{}
			order = append(order, r.Variant)
		}
		all[r.Variant][r.Seed] = predictions
	}
	if len(order) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrPredictions, study)
	}
	place := func(v string) int {
		if v == p.Baseline {
			return -1
		}
		if i := slices.Index(o.Variants, v); i >= 0 {
			return i
		}
		return len(o.Variants)
	}
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(place(a), place(b)) })
	for _, v := range order {
		var base seedAnswers
		if v != p.Baseline {
			base = all[p.Baseline]
		}
		one, err := variantClasses(v, all[v], base)
		if err != nil {
			p.Problems = append(p.Problems, err.Error())
			continue
		}
		p.Variants = append(p.Variants, one)
	}
	return p, nil
}

func variantClasses(name string, own, base seedAnswers) (VariantClasses, error) {
	v := VariantClasses{Variant: name}
	for seed := range own {
		v.Seeds = append(v.Seeds, seed)
		if base[seed] == nil {
			continue
		}
		if !slices.EqualFunc(own[seed], base[seed], func(a, b experiments.Prediction) bool {
			return a.Index == b.Index && a.Label == b.Label
		}) {
			return v, fmt.Errorf("%s: its test images are not the baseline's", name)
		}
		v.Paired = append(v.Paired, seed)
	}
	slices.Sort(v.Seeds)
	slices.Sort(v.Paired)
	errorsOf, images := byClass(own, v.Seeds)
	baseErrors, _ := byClass(base, v.Paired)
	pairedErrors, _ := byClass(own, v.Paired)
	var ps []float64
	for class, n := range images {
		if n == 0 {
			continue
		}
		c := ClassError{Class: class, Images: n, Error: figure(stats.Summarise(errorsOf[class]), 0)}
		if len(v.Paired) > 0 {
			d := make([]float64, len(v.Paired))
			for i := range d {
				d[i] = pairedErrors[class][i] - baseErrors[class][i]
			}
			paired := stats.ComparePaired(d)
			c.Delta = &ClassDelta{ClassFigure: figure(paired.Estimate, -1), P: paired.P}
			ps = append(ps, paired.P)
		}
		v.Classes = append(v.Classes, c)
	}
	if len(ps) == len(v.Classes) {
		for i, adjusted := range stats.Holm(ps) {
			v.Classes[i].Delta.Adjusted = adjusted
		}
	}
	v.Cells = confusion(own, v.Seeds, base, v.Paired)
	v.Changed = changedImages(own, base, v.Paired)
	return v, nil
}

// figure returns an estimate whose interval is clipped to the possible range.
func figure(e stats.Estimate, least float64) ClassFigure {
	f := ClassFigure{Mean: e.Mean}
	if e.Interval != nil {
		low, high := max(e.Interval.Low, least), min(e.Interval.High, 1)
		f.Low, f.High = &low, &high
	}
	return f
}

// byClass returns each seed's share of wrong answers for each class, and the number of images in each class.
func byClass(of seedAnswers, seeds []uint64) (shares [][]float64, images []int) {
	for i, seed := range seeds {
		var wrong, n []int
		for _, p := range of[seed] {
			for p.Label >= len(n) {
				wrong, n = append(wrong, 0), append(n, 0)
			}
			n[p.Label]++
			if p.Predicted != p.Label {
				wrong[p.Label]++
			}
		}
		for len(shares) < len(n) {
			shares = append(shares, make([]float64, len(seeds)))
		}
		for c := range n {
			shares[c][i] = float64(wrong[c]) / float64(max(n[c], 1))
		}
		images = n
	}
	return shares, images
}

// confusion counts, per run, which class is taken for which, and how the counts differ from the baseline's.
func confusion(own seedAnswers, seeds []uint64, base seedAnswers, paired []uint64) []Cell {
	type place struct{ label, predicted int }
	cells := map[place]*Cell{}
	add := func(of seedAnswers, seeds []uint64, to func(*Cell) *float64, sign float64) {
		for _, seed := range seeds {
			for _, p := range of[seed] {
				at := place{p.Label, p.Predicted}
				if cells[at] == nil {
					cells[at] = &Cell{Label: p.Label, Predicted: p.Predicted}
				}
				*to(cells[at]) += sign / float64(len(seeds))
			}
		}
	}
	difference := func(c *Cell) *float64 { return &c.Difference }
	add(own, seeds, func(c *Cell) *float64 { return &c.Images }, 1)
	add(own, paired, difference, 1)
	add(base, paired, difference, -1)
	var all []Cell
	for _, c := range cells {
		all = append(all, *c)
	}
	slices.SortFunc(all, byPlace)
	return all
}

// changedImages returns the images whose answer differs from the baseline's, in most seeds first.
func changedImages(own, base seedAnswers, paired []uint64) []ChangedImage {
	var all []ChangedImage
	for _, seed := range paired {
		for i, p := range own[seed] {
			if i == len(all) {
				all = append(all, ChangedImage{Index: p.Index, Label: p.Label})
			}
			before := base[seed][i]
			if p.Predicted == before.Predicted {
				continue
			}
			all[i].Seeds++
			switch p.Label {
			case p.Predicted:
				all[i].Gained++
			case before.Predicted:
				all[i].Lost++
			}
		}
	}
	all = slices.DeleteFunc(all, func(c ChangedImage) bool { return c.Seeds == 0 })
	slices.SortStableFunc(all, func(a, b ChangedImage) int { return cmp.Compare(b.Seeds, a.Seeds) })
	return all[:min(len(all), mostChanged)]
}
