package cpu

import (
	"ablate/runner/engine"
	"ablate/runner/graph"
)

var _ = computes(newBiasGrad)

// chunkLen is the number of values that an elementwise kernel handles as one tile: 64 KiB of each
// operand.
const chunkLen = 16 << 10

func chunks(n int) int { return (n + chunkLen - 1) / chunkLen }

func chunk(i, n int) (from, to int) { return i * chunkLen, min((i+1)*chunkLen, n) }

// rows cuts values of c channels each into tiles of whole rows.
type rows struct{ n, channels int }

func rowsOf(values, channels int) rows { return rows{values / channels, channels} }

// perTile returns how many rows make about a chunk of values.
func (r rows) perTile() int { return max(1, chunkLen/r.channels) }

func (r rows) tiles() int { return (r.n + r.perTile() - 1) / r.perTile() }

// tile returns the range [from, to) of the values of tile i.
func (r rows) tile(i int) (from, to int) {
	return i * r.perTile() * r.channels, min((i+1)*r.perTile(), r.n) * r.channels
}

// A channelSum adds up a quantity for each channel over all rows. It sums rows in fixed chunks and
// adds the chunks in order, so that the sum does not depend on the threads.
type channelSum struct {
	d      *Device
	rows   rows
	chunks int
	out    []float32
	scale  float32                           // of the sum
	add    func(sum []float32, from, to int) // adds the values in [from, to), which are whole rows
}

func newChannelSum(d *Device, values int, out []float32, add func(sum []float32, from, to int)) *channelSum {
	s := &channelSum{d: d, rows: rowsOf(values, len(out)), out: out, scale: 1, add: add}
	s.chunks = min(s.rows.n, 64)
	d.needShared(s.chunks * len(out))
	return s
}

// Run sums the chunks, then adds them.
func (s *channelSum) Run(*engine.Context) error {
	if err := s.d.workers.run(s, s.chunks); err != nil {
		return err
	}
	for c := range s.out {
		var sum float32
		for i := range s.chunks {
			sum += s.d.shared[i*len(s.out)+c]
		}
		s.out[c] = sum * s.scale
	}
	return nil
}

func (s *channelSum) tile(_, i int) {
	n := len(s.out)
	sum := s.d.shared[i*n : (i+1)*n]
	clear(sum)
	s.add(sum, i*s.rows.n/s.chunks*n, (i+1)*s.rows.n/s.chunks*n)
}

// newBiasGrad is db[c] = Σ dy over images and pixels.
func newBiasGrad(d *Device, _ *graph.BiasGrad, in engine.Instr) engine.Kernel {
	dy := slice(in.In[0])
	return newChannelSum(d, len(dy), slice(in.Out), func(sum []float32, from,
		to int) {
		d.isa.columnSums(sum, dy[from:to])
	})
}
