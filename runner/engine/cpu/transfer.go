package cpu

import "ablate/runner/engine"

var (
	_ = computes(newMove)
	_ = computes(newSum)
)

// move copies a tensor's stretches from the memory of all CPU devices.
type move struct {
	d         *Device
	in        [][]float32
	out       []float32
	stretches []engine.Stretch
}

// A tile of a move is whole stretches of at least moveTile values.
const moveTile = 1 << 16

func newMove(d *Device, op engine.Gather, in engine.Instr) *move {
	m := &move{d: d, out: slice(in.Out)}
	for _, t := range in.In {
		m.in = append(m.in, slice(t))
	}
	op.Stretches(func(s engine.Stretch) { m.stretches = append(m.stretches, s) })
	return m
}

func (m *move) Run(*engine.Context) error {
	return m.d.workers.run(m, (len(m.stretches)+m.perTile()-1)/m.perTile())
}

// perTile returns how many stretches make a tile. They are about equally long.
func (m *move) perTile() int {
	return max(1, moveTile*len(m.stretches)/max(1, len(m.out)))
}

func (m *move) tile(_, i int) {
	n := m.perTile()
	for _, s := range m.stretches[i*n : min((i+1)*n, len(m.stretches))] {
		copy(m.out[s.To:s.To+s.N], m.in[s.Part][s.From:s.From+s.N])
	}
}

// sum adds tensors in pairs: in[0] ← scale·((in[0] + in[1]) + (in[2] + in[3]) …).
type sum struct {
	d     *Device
	in    [][]float32
	scale float32
}

func newSum(d *Device, op engine.Reduce, in engine.Instr) *sum {
	s := &sum{d: d, scale: op.Scale}
	for _, t := range in.In {
		s.in = append(s.in, slice(t))
	}
	return s
}

func (s *sum) Run(*engine.Context) error { return s.d.workers.run(s, chunks(len(s.in[0]))) }

func (s *sum) tile(_, i int) {
	from, to := chunk(i, len(s.in[0]))
	for step := 1; step < len(s.in); step *= 2 {
		for j := 0; j+step < len(s.in); j += 2 * step {
			s.d.isa.axpy(s.in[j][from:to], s.in[j+step][from:to], 1)
		}
	}
	if s.scale == 1 {
		return
	}
	for j := from; j < to; j++ {
		s.in[0][j] *= s.scale
	}
}
