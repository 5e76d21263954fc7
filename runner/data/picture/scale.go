package picture

import "image"

// A plane is one channel of an image whose samples each cover coverX × coverY
// pixels of it (the chroma of a JPEG covers up to 4 × 2).
type plane struct {
	pix            []byte
	stride, step   int // bytes from row to row and from sample to sample
	size           image.Point
	coverX, coverY int
}

// A window is the part [from, from+n) of a side that is scaled to total pixels.
type window struct{ total, from, n int }

// A scaler resizes planes: every output is a weighted sum of a run of inputs,
// first along rows, then along columns. Where a side shrinks, the weights are
// the areas that an output pixel covers; where it grows, Catmull-Rom's cubic.
// Both are what cuda-convnet2's make-data.py had OpenCV do (INTER_AREA down,
// INTER_CUBIC up; OpenCV's cubic is a little sharper, a = -0.75 instead of -0.5).
type scaler struct {
	rows []int32 // rows scaled to the window's width, with rowBits of fraction
}

const (
	weightBits = 14
	rowBits    = 8 // 16 bits and a sign, times 14-bit weights: the sums stay below 2³¹
)

// scale writes window.n × window.n samples to dst.
func (s *scaler) scale(dst []byte, p plane, across, down window) {
	if across == (window{p.size.X, 0, p.size.X}) && down == (window{p.size.Y, 0, p.size.Y}) && p.coverX*p.coverY == 1 {
		p.copy(dst)
		return
	}
	columns := taps(p.size.X, p.coverX, across)
	lines := taps(p.size.Y, p.coverY, down)
	first, end := lines[0].from, 0
	for _, l := range lines {
		first, end = min(first, l.from), max(end, l.from+len(l.weights))
	}
	if need := (end - first) * across.n; cap(s.rows) < need {
		s.rows = make([]int32, need)
	}
	s.rows = s.rows[:(end-first)*across.n]
	for y := first; y < end; y++ {
		p.scaleRow(s.rows[(y-first)*across.n:][:across.n], y, columns)
	}
	sums := make([]int32, across.n)
	for y, l := range lines {
		for i := range sums {
			sums[i] = 1 << (weightBits + rowBits - 1)
		}
		for k, w := range l.weights {
			row := s.rows[(l.from-first+k)*across.n:][:len(sums)]
			for i, v := range row {
				sums[i] += w * v
			}
		}
		out := dst[y*across.n:][:across.n]
		for i, v := range sums {
			out[i] = clamp(v >> (weightBits + rowBits))
		}
	}
}

// copy takes a plane that has its size already.
func (p plane) copy(dst []byte) {
	for y := range p.size.Y {
		row := p.pix[y*p.stride:]
		for x := range p.size.X {
			dst[y*p.size.X+x] = row[x*p.step]
		}
	}
}

func (p plane) scaleRow(out []int32, y int, columns []tap) {
	row := p.pix[y*p.stride:]
	const shift = weightBits - rowBits
	for x, c := range columns {
		sum := int32(1 << (shift - 1))
		if p.step == 1 {
			for k, v := range row[c.from:][:len(c.weights)] {
				sum += c.weights[k] * int32(v)
			}
		} else {
			for k, w := range c.weights {
				sum += w * int32(row[(c.from+k)*p.step])
			}
		}
		out[x] = sum >> shift
	}
}

// A tap is what one output takes: weights, which add up to 1<<weightBits, for the inputs from on.
type tap struct {
	from    int
	weights []int32
}

// taps are the outputs of a window over a side of size pixels, which
// ⌈size/cover⌉ samples describe.
func taps(size, cover int, w window) []tap {
	samples := (size + cover - 1) / cover
	out := make([]tap, w.n)
	for j := range out {
		// In units of 1/(cover·total) of a sample, output j reaches from j·size
		// to (j+1)·size, and sample i from i·cover·total on.
		unit := cover * w.total
		lo := (w.from + j) * size
		if size >= unit {
			out[j] = areaTap(lo, lo+size, unit, samples)
		} else {
			out[j] = cubicTap(2*lo+size, 2*unit, samples)
		}
	}
	return out
}

// areaTap weighs each sample by how much of it lies in [lo, hi).
func areaTap(lo, hi, unit, samples int) tap {
	t := tap{from: lo / unit}
	shares := make([]float64, 0, 4)
	for i := t.from; i < samples && i*unit < hi; i++ {
		shares = append(shares, float64(min(hi, (i+1)*unit)-max(lo, i*unit))/float64(hi-lo))
	}
	t.weights = fixed(shares)
	return t
}

// cubicTap interpolates at position at/unit, counted in samples from the first
// one's edge, by Catmull-Rom's cubic. Samples beyond the border repeat the border's.
func cubicTap(at, unit, samples int) tap {
	at -= unit / 2 // from the middle of the first sample
	left := at / unit
	if at < 0 {
		left = -1
	}
	f := float64(at-left*unit) / float64(unit)
	// Conversions keep compilers from fusing products into sums, which some machines do.
	f2 := float64(f * f)
	f3 := float64(f2 * f)
	cubic := [4]float64{
		float64(-0.5*f) + f2 - float64(0.5*f3),
		1 - float64(2.5*f2) + float64(1.5*f3),
		float64(0.5*f) + float64(2*f2) - float64(1.5*f3),
		float64(0.5*f3) - float64(0.5*f2),
	}
	first := max(0, min(left-1, samples-1))
	last := max(0, min(left+2, samples-1))
	shares := make([]float64, last-first+1)
	for k, w := range cubic {
		shares[max(first, min(left-1+k, last))-first] += w
	}
	return tap{first, fixed(shares)}
}

// fixed rounds weights; what rounding leaves over goes to the largest, so that a flat image stays flat.
func fixed(shares []float64) []int32 {
	out := make([]int32, len(shares))
	left, largest := int32(1<<weightBits), 0
	for i, s := range shares {
		v := int32(s*(1<<weightBits) + 0.5)
		if s < 0 {
			v = -int32(-s*(1<<weightBits) + 0.5)
		}
		out[i] = v
		left -= v
		if v > out[largest] {
			largest = i
		}
	}
	out[largest] += left
	return out
}
