package cpu

import (
	"fmt"
	"time"

	"ablate/recipe"
	"ablate/runner/engine"
)

// The sizes of the measurements. They take long enough to hide the pool's wake-up, and the arrays are
// larger than any cache.
const (
	fmaRounds   = 1 << 20
	streamLen   = 8 << 20 // 32 MiB in each of two arrays
	limitTrials = 5
)

// Limits measures the rates of fused multiply-adds and of memory traffic that all threads of the
// device reach together. Each is the best of several trials: of a loop that touches registers only,
// and of y += a·x over arrays that fit in no cache. Products are of float32 only.
func (d *Device) Limits(p recipe.Precision) (engine.Limits, error) {
	if p != recipe.Float32 {
		return engine.Limits{}, fmt.Errorf("device %s forms products in float32, not in %s", d.name, p)
	}
	f := &fmaLoop{d: d}
	s := &stream{d: d, x: alignedFloats(streamLen), y: alignedFloats(streamLen)}
	var l engine.Limits
	for range limitTrials {
		seconds, err := d.timed(f, d.workers.n)
		if err != nil {
			return l, err
		}
		l.FLOPS = max(l.FLOPS, float64(d.workers.n)*fmaRounds*float64(d.isa.fmaFLOPs)/seconds)
		if seconds, err = d.timed(s, chunks(streamLen)); err != nil {
			return l, err
		}
		l.Bytes = max(l.Bytes, 3*4*streamLen/seconds)
	}
	return l, nil
}

func (d *Device) timed(t task, tiles int) (seconds float64, err error) {
	start := time.Now()
	err = d.workers.run(t, tiles)
	return time.Since(start).Seconds(), err
}

type fmaLoop struct{ d *Device }

func (f *fmaLoop) tile(int, int) { f.d.isa.fmas(fmaRounds) }

type stream struct {
	d    *Device
	x, y []float32
}

func (s *stream) tile(_, i int) {
	from, to := chunk(i, len(s.x))
	s.d.isa.axpy(s.y[from:to], s.x[from:to], 0.5)
}
