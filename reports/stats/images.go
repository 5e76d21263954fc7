package stats

import (
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// A Crossed states where the uncertainty of a mean difference comes from if every seed's nets saw the same test images.
// Other seeds would give other nets, and other images another test.
type Crossed struct {
	Seeds, Images int
	Mean          float64
	SeedError     float64   // standard error over seeds alone: sd of the seeds' means / √seeds
	ImageError    float64   // over images alone: sd of the images' means / √images
	Error         float64   // over both
	Interval      *Interval // over both, at the level asked for; nil with fewer than two seeds or images
}

// Dominates reports whether the test images contribute more to the uncertainty than the seeds.
func (c Crossed) Dominates() bool { return c.ImageError > c.SeedError }

// CrossSeedsAndImages takes differences by seed and image: +1 where only the variant errs, −1 where only its rival
// does, 0 elsewhere. In the two-way random effects model without replication the variance of the mean over n
// images and k seeds is
//
//	σ²(seeds)/k + σ²(images)/n + σ²(rest)/kn,
//
// which var(seed means)/k + var(image means)/n − rest/kn estimates without bias, since either of
// the first two holds the rest once (Searle, Casella and McCulloch, Variance Components, 1992,
// section 4.5). The interval is Student's t with Satterthwaite's degrees of freedom.
func CrossSeedsAndImages(d [][]int8, level float64) Crossed {
	c := Crossed{Seeds: len(d)}
	if c.Seeds == 0 || len(d[0]) == 0 {
		return c
	}
	c.Images = len(d[0])
	k, n := float64(c.Seeds), float64(c.Images)
	bySeed, byImage := make([]float64, c.Seeds), make([]float64, c.Images)
	squares := 0.0
	for s, row := range d {
		for i, v := range row {
			bySeed[s] += float64(v) / n
			byImage[i] += float64(v) / k
			squares += float64(v) * float64(v)
		}
	}
	c.Mean = stat.Mean(bySeed, nil)
	if c.Seeds < 2 || c.Images < 2 {
		return c
	}
	seeds, images := stat.Variance(bySeed, nil)/k, stat.Variance(byImage, nil)/n
	total := squares - k*n*c.Mean*c.Mean
	rest := max(0, (total-seeds*k*n*(k-1)-images*k*n*(n-1))/((k-1)*(n-1))/(k*n))
	c.SeedError, c.ImageError = math.Sqrt(seeds), math.Sqrt(images)
	variance := max(seeds+images-rest, seeds, images)
	c.Error = math.Sqrt(variance)
	freedom := variance * variance / (seeds*seeds/(k-1) + images*images/(n-1) + rest*rest/((k-1)*(n-1)))
	half := 0.0
	if variance > 0 {
		half = c.Error * distuv.StudentsT{Sigma: 1, Nu: max(freedom, 1)}.Quantile(1-(1-level)/2)
	}
	c.Interval = &Interval{c.Mean - half, c.Mean + half}
	return c
}
