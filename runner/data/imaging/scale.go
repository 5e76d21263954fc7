package imaging

import "image"

// A plane is one channel of an image. Each of its samples covers coverX × coverY pixels of the
// image (the chroma of a JPEG covers up to 4 × 2).
type plane struct {
	pix            []byte
	stride, step   int // bytes from row to row and from sample to sample
	size           image.Point
	coverX, coverY int
}

// A window is the part [from, from+n) of a side that is scaled to total pixels.
type window struct{ total, from, n int }

// A scaler resizes planes. Every output is a weighted sum of a run of inputs, first along rows,
// then along columns. If a side shrinks, the weights are the areas that an output pixel covers; if
// it grows, they are Catmull-Rom's cubic. cuda-convnet2's make-data.py let OpenCV do both
// (INTER_AREA down, INTER_CUBIC up; OpenCV's cubic is a little sharper, with a = -0.75 instead of
// -0.5).
type scaler struct {
	// Rows scaled to the window's width, with rowBits of fraction. Each number holds two samples, the
	// second multiplied by 2³², so that one multiplication weighs both. Sums of such numbers are
	// right as long as the sums of the parts fit: see lanes.
	rows []int64
	sums []int64
	both []int64           // two rows of samples, the second times 2³²
	taps map[side]sideTaps // for the most recent sides: many photographs have the same
}

// A side holds everything that taps depend on.
type side struct {
	size, cover int
	window      window
}

// maxSides is how many sides' taps are kept, which takes a few megabytes.
const maxSides = 256

// sideTaps are the taps of a side, and the same taps with four weights each if none has more.
type sideTaps struct {
	all   []tap
	fours []four
}

// A four is a tap of four weights.
type four struct {
	from    int
	weights [4]int64
}

// of returns a side's taps, which it computes once.
func (s *scaler) of(size, cover int, w window) sideTaps {
	key := side{size, cover, w}
	if t, ok := s.taps[key]; ok {
		return t
	}
	if s.taps == nil || len(s.taps) >= maxSides {
		s.taps = map[side]sideTaps{}
	}
	t := sideTaps{all: taps(size, cover, w)}
	t.fours = asFours(t.all, (size+cover-1)/cover)
	s.taps[key] = t
	return t
}

// asFours pads taps with weights of 0 to four weights. It returns nil if a tap has more than four,
// or if there are fewer samples.
func asFours(all []tap, samples int) []four {
	out := make([]four, len(all))
	for i, t := range all {
		if len(t.weights) > 4 || samples < 4 {
			return nil
		}
		from := min(t.from, samples-4)
		out[i].from = from
		for k, w := range t.weights {
			out[i].weights[t.from-from+k] = int64(w)
		}
	}
	return out
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
	columns := s.of(p.size.X, p.coverX, across)
	lines := s.of(p.size.Y, p.coverY, down).all
	first, end := lines[0].from, 0
	for _, l := range lines {
		first, end = min(first, l.from), max(end, l.from+len(l.weights))
	}
	pairs := (across.n + 1) / 2
	if need := (end - first) * pairs; cap(s.rows) < need {
		s.rows = make([]int64, need)
	}
	s.rows = s.rows[:(end-first)*pairs]
	for y := first; y < end; y += 2 {
		upper := s.rows[(y-first)*pairs:][:pairs]
		if y+1 < end && p.step == 1 && columns.fours != nil {
			s.scaleTwoRows(upper, s.rows[(y+1-first)*pairs:][:pairs], p, y, columns.fours)
			continue
		}
		p.scaleRow(upper, y, columns.all)
		if y+1 < end {
			p.scaleRow(s.rows[(y+1-first)*pairs:][:pairs], y+1, columns.all)
		}
	}
	for y, l := range lines {
		s.blend(dst[y*across.n:][:across.n], s.rows[(l.from-first)*pairs:], l.weights)
	}
}

const (
	// A sum starts with half a unit, for rounding, and with an offset that keeps the lower of two
	// lanes from falling below 0 and borrowing from the upper.
	half  = 1 << (weightBits + rowBits - 1)
	floor = 1 << 29
	start = half + floor | (half+floor)<<32
)

// lanes returns the two samples in a sum.
func lanes(sum int64) (lower, upper byte) {
	l, u := int32(uint32(sum)-floor), int32(uint32(sum>>32)-floor)
	return clamp(l >> (weightBits + rowBits)), clamp(u >> (weightBits + rowBits))
}

// blend writes the weighted sum of as many rows as there are weights. Four rows, as for a cubic,
// are summed in one pass; any other number is summed row by row.
func (s *scaler) blend(out []byte, rows []int64, weights []int32) {
	pairs := (len(out) + 1) / 2
	if len(weights) == 4 {
		w0, w1, w2, w3 := int64(weights[0]), int64(weights[1]), int64(weights[2]), int64(weights[3])
		a, b, c, d := rows[:pairs], rows[pairs:][:pairs], rows[2*pairs:][:pairs], rows[3*pairs:][:pairs]
		for i := range len(out) / 2 {
			o := out[2*i:][:2]
			o[0], o[1] = lanes(start + w0*a[i] + w1*b[i] + w2*c[i] + w3*d[i])
		}
		if i := pairs - 1; len(out)%2 == 1 {
			out[2*i], _ = lanes(start + w0*a[i] + w1*b[i] + w2*c[i] + w3*d[i])
		}
		return
	}
	if cap(s.sums) < pairs {
		s.sums = make([]int64, pairs)
	}
	sums := s.sums[:pairs]
	for i := range sums {
		sums[i] = start
	}
	for k, w := range weights {
		for i, v := range rows[k*pairs:][:pairs] {
			sums[i] += int64(w) * v
		}
	}
	for i, sum := range sums[:len(out)/2] {
		o := out[2*i:][:2]
		o[0], o[1] = lanes(sum)
	}
	if len(out)%2 == 1 {
		out[len(out)-1], _ = lanes(sums[pairs-1])
	}
}

// copy copies a plane that already has the right size.
func (p plane) copy(dst []byte) {
	for y := range p.size.Y {
		row := p.pix[y*p.stride:]
		for x := range p.size.X {
			dst[y*p.size.X+x] = row[x*p.step]
		}
	}
}

// scaleRow scales row y into pairs of samples.
func (p plane) scaleRow(out []int64, y int, columns []tap) {
	row := p.pix[y*p.stride:]
	for x, c := range columns {
		sum := int32(roundRow)
		for k, w := range c.weights {
			sum += w * int32(row[(c.from+k)*p.step])
		}
		v := int64(sum >> shiftRow)
		if x%2 == 0 {
			out[x/2] = v
		} else {
			out[x/2] += v << 32
		}
	}
}

// scaleTwoRows scales rows y and y+1 with one multiplication for both.
func (s *scaler) scaleTwoRows(first, second []int64, p plane, y int, columns []four) {
	samples := (p.size.X + p.coverX - 1) / p.coverX
	a, b := p.pix[y*p.stride:][:samples], p.pix[(y+1)*p.stride:][:samples]
	if cap(s.both) < samples {
		s.both = make([]int64, samples)
	}
	both := s.both[:samples]
	for i := range both {
		both[i] = int64(a[i]) | int64(b[i])<<32
	}
	second = second[:len(first)]
	for i := range first {
		c := &columns[2*i]
		v, w := both[c.from:][:4], &c.weights
		left := startRow + w[0]*v[0] + w[1]*v[1] + w[2]*v[2] + w[3]*v[3]
		right := int64(startRow)
		if 2*i+1 < len(columns) {
			c := &columns[2*i+1]
			v, w := both[c.from:][:4], &c.weights
			right += w[0]*v[0] + w[1]*v[1] + w[2]*v[2] + w[3]*v[3]
		}
		first[i] = lowerRow(left) + lowerRow(right)<<32
		second[i] = lowerRow(left>>32) + lowerRow(right>>32)<<32
	}
}

// lowerRow returns the sample in a sum's lower lane.
func lowerRow(sum int64) int64 { return int64(int32(uint32(sum)-floorRow) >> shiftRow) }

const (
	shiftRow = weightBits - rowBits
	roundRow = 1 << (shiftRow - 1)
	// floorRow does for rows what start does for columns.
	floorRow = 1 << 24
	startRow = roundRow + floorRow | (roundRow+floorRow)<<32
)

// A tap describes one output: the weights, which add up to 1<<weightBits, of the inputs from
// number from on.
type tap struct {
	from    int
	weights []int32
}

// taps returns the taps of a window over a side of size pixels, for which there are ⌈size/cover⌉
// samples.
func taps(size, cover int, w window) []tap {
	samples := (size + cover - 1) / cover
	out := make([]tap, w.n)
	for j := range out {
		// In units of 1/(cover·total) of a sample, output j covers j·size to (j+1)·size, and sample i
		// begins at i·cover·total.
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

// cubicTap interpolates by Catmull-Rom's cubic at position at/unit, in samples from the edge of
// the first sample. Samples beyond the border repeat the one at the border.
func cubicTap(at, unit, samples int) tap {
	at -= unit / 2 // from the middle of the first sample
	left := at / unit
	if at < 0 {
		left = -1
	}
	f := float64(at-left*unit) / float64(unit)
	// The conversions keep compilers from fusing products into sums, as they do on some machines.
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

// fixed rounds weights. It adds the rounding error to the largest weight, so that a flat image
// stays flat.
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
