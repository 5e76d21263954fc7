package imaging

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// Statistics holds sums over images of one size with three bytes per pixel. The sums are exact, so
// they do not depend on the order of the images.
type Statistics struct {
	Images   int64
	Sums     []uint64     // of each value, over the images
	Products [3][3]uint64 // of each pair of channels, over the pixels of all images; the upper triangle
}

// Add adds an image to the sums.
func (s *Statistics) Add(image []byte) {
	if s.Sums == nil {
		s.Sums = make([]uint64, len(image))
	}
	s.Images++
	sums := s.Sums[:len(image)]
	var rr, rg, rb, gg, gb, bb uint64
	for i := 0; i+2 < len(image); i += 3 {
		r, g, b := uint64(image[i]), uint64(image[i+1]), uint64(image[i+2])
		sums[i] += r
		sums[i+1] += g
		sums[i+2] += b
		rr += r * r
		rg += r * g
		rb += r * b
		gg += g * g
		gb += g * b
		bb += b * b
	}
	for i, row := range [3][3]uint64{{rr, rg, rb}, {0, gg, gb}, {0, 0, bb}} {
		for j, v := range row {
			s.Products[i][j] += v
		}
	}
}

// Mean returns the mean image, with one mean for each value of an image, 0..255.
func (s *Statistics) Mean() []float32 {
	mean := make([]float32, len(s.Sums))
	for i, v := range s.Sums {
		mean[i] = float32(float64(v) / float64(s.Images))
	}
	return mean
}

// A Colour says how the colours of all pixels are spread (paper, section 4.1:
// "PCA on the set of RGB pixel values throughout the ImageNet training set").
// Pixels are 0..255.
type Colour struct {
	Mean       [3]float64    `json:"mean"`
	Covariance [3][3]float64 `json:"covariance"`
	Values     [3]float64    `json:"eigenvalues"`  // of the covariance, largest first
	Vectors    [3][3]float64 `json:"eigenvectors"` // Vectors[i] belongs to Values[i]; its largest component is positive
}

// Colour computes the covariance over all pixels and its principal components.
func (s *Statistics) Colour() Colour {
	var c Colour
	if s.Images == 0 {
		return c
	}
	pixels := float64(s.Images) * float64(len(s.Sums)/3)
	var totals [3]uint64
	for i, v := range s.Sums {
		totals[i%3] += v
	}
	for i, t := range totals {
		c.Mean[i] = float64(t) / pixels
	}
	matrix := mat.NewSymDense(3, nil)
	for i := range 3 {
		for j := i; j < 3; j++ {
			v := float64(s.Products[i][j])/pixels - float64(c.Mean[i]*c.Mean[j])
			c.Covariance[i][j], c.Covariance[j][i] = v, v
			matrix.SetSym(i, j, v)
		}
	}
	var e mat.EigenSym
	if !e.Factorize(matrix, true) { // LAPACK's iteration ends for every finite matrix
		return c
	}
	values := e.Values(nil) // ascending
	var vectors mat.Dense
	e.VectorsTo(&vectors)
	for i := range 3 {
		from := 2 - i
		c.Values[i] = max(0, values[from]) // rounding may leave an eigenvalue of a flat colour below 0
		largest := 0
		for j := range 3 {
			c.Vectors[i][j] = vectors.At(j, from)
			if math.Abs(c.Vectors[i][j]) > math.Abs(c.Vectors[i][largest]) {
				largest = j
			}
		}
		if c.Vectors[i][largest] < 0 {
			for j := range 3 {
				c.Vectors[i][j] = -c.Vectors[i][j]
			}
		}
	}
	return c
}
