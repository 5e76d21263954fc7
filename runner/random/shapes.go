package random

// LogUniform returns a number between two positive numbers that is uniform in the logarithm: a
// half and a double are equally likely.
func (s Stream) LogUniform(step, index uint64, lo, hi float64) float64 {
	from, to := lnOf(lo), lnOf(hi)
	return exponential(from + float64((to-from)*s.Float64(step, index)))
}

// lnOf returns ln x for any positive x, by means of the logarithm of a number of at most 1.
func lnOf(x float64) float64 {
	if x > 1 {
		return -logarithm(1 / x)
	}
	return logarithm(x)
}

// betaDraws is how many indices of a stream one draw of Beta may use.
const betaDraws = 1 << 20

// Beta draws from the distribution Beta(alpha, alpha) by Jöhnk's method: it draws U^(1/alpha) and
// V^(1/alpha) until their sum is at most 1, and returns the first's share of the sum. Each draw
// has indices of its own, so rejections do not affect other draws.
func (s Stream) Beta(step, index uint64, alpha float64) float64 {
	for i := range uint64(betaDraws / 2) {
		at := index*betaDraws + 2*i
		x, y := logarithm(1-s.Float64(step, at))/alpha, logarithm(1-s.Float64(step, at+1))/alpha
		if exponential(max(x, -700))+exponential(max(y, -700)) <= 1 {
			return 1 / (1 + exponential(min(max(y-x, -700), 700)))
		}
	}
	return 0.5
}
