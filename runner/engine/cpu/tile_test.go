package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// A job is a tile on separate memory, with guard values between the rows of the output.
type job struct {
	tile
	xs, ws, inits, outs   []float32
	rows, initRows, outRs []int
	segOffs               []int
	cols                  int
}

func newJob(r *rand.Rand, cols, count, segs, run, step int, accumulate bool) *job {
	j := &job{cols: cols}
	fill := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = r.Float32() - 0.5
		}
		return v
	}
	reach := (run-1)*step + 1
	j.xs = fill(64 + max(reach, 1)*(segs+1) + 64)
	j.ws = fill(max(segs*run, 1) * (cols + 3))
	for s := range segs {
		j.segOffs = append(j.segOffs, r.IntN(64)+s*max(reach, 1))
	}
	pitch := cols + 5 // guard values fill the gap
	j.outs = fill(count * tileRows * pitch)
	j.inits = fill(cols)
	j.initRows = make([]int, tileRows) // of all groups
	for i := range count * tileRows {
		j.rows = append(j.rows, r.IntN(60))
		j.outRs = append(j.outRs, i*pitch)
	}
	j.tile = tile{x: &j.xs[0], w: &j.ws[0], init: &j.inits[0], out: &j.outs[0], row: &j.rows[0], initRow: &j.initRows[0],
		outRow: &j.outRs[0], segs: segs, run: run, step: step, wStride: cols + 3,
		count: count, ahead: &j.ws[0], floor: noFloor}
	if segs > 0 {
		j.seg = &j.segOffs[0]
	}
	if accumulate {
		j.init, j.initRow, j.initNext = j.out, j.outRow, tileRows
	}
	return j
}

// run returns the outputs of the tile and leaves the job unchanged.
func (j *job) run(p *isa) []float32 {
	before := slices.Clone(j.outs)
	p.tile[j.cols/lane](&j.tile)
	after := slices.Clone(j.outs)
	copy(j.outs, before)
	return after
}

// sums returns the outputs by the definition, in float64.
func (j *job) sums() []float64 {
	out := make([]float64, len(j.outs))
	for i, v := range j.outs {
		out[i] = float64(v)
	}
	for r := range j.rows {
		for c := range j.cols {
			acc := float64(j.inits[c])
			if j.init == j.out {
				acc = float64(j.outs[j.outRs[r]+c])
			}
			for s, seg := range j.segOffs {
				for i := range j.tile.run {
					acc += float64(j.xs[j.rows[r]+seg+i*j.step]) * float64(j.ws[(s*j.tile.run+i)*j.wStride+c])
				}
			}
			out[j.outRs[r]+c] = math.Max(acc, float64(j.floor))
		}
	}
	return out
}

// Every instruction set computes the definition and writes nothing else. All assembly kernels compute
// the same bits.
func TestTile(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, cols := range []int{16, 32, 48, 64} {
		for _, g := range []struct{ segs, run, step int }{{0, 0, 1}, {1, 0, 1}, {1, 1, 1}, {5, 15, 1}, {3, 48, 1}, {7, 13, 4},
			{1, 127, 33}, {2, 400, 1}} {
			for _, accumulate := range []bool{false, true} {
				t.Run(fmt.Sprint(cols, g, accumulate), func(t *testing.T) {
					for _, count := range []int{1, 3} {
						check(t, newJob(r, cols, count, g.segs, g.run, g.step, accumulate))
					}
				})
			}
		}
	}
}

func check(t *testing.T, j *job) {
	t.Helper()
	if len(j.segOffs)%2 == 1 {
		j.floor = 0
	}
	want := j.sums()
	var bits []float32
	for _, p := range isas() {
		if j.cols > p.panel {
			continue
		}
		got := j.run(p)
		for i, w := range want {
			// Long sums that cancel keep the rounding errors of their terms: 1e-7 of each product.
			if math.Abs(float64(got[i])-w) > 1e-5*(1+math.Abs(w))+1e-7*float64(j.segs*j.tile.run) {
				t.Fatalf("%s: value %d is %v, want %v", p.name, i, got[i], w)
			}
		}
		if p == &goISA {
			continue
		}
		if bits == nil {
			bits = got
		}
		if !slices.Equal(bits, got) {
			t.Errorf("%s computes other bits than %s", p.name, isas()[0].name)
		}
	}
}

// ReLU must not hide a NaN: a diverged run must be visible.
func TestTileKeepsNaN(t *testing.T) {
	for _, p := range isas() {
		j := newJob(rand.New(rand.NewPCG(1, 2)), p.panel, 1, 1, 3, 1, false)
		j.floor = 0
		j.ws[5] = float32(math.NaN())
		if out := j.run(p); !math.IsNaN(float64(out[5])) {
			t.Errorf("%s: a NaN became %v", p.name, out[5])
		}
	}
}

func FuzzTile(f *testing.F) {
	f.Add(uint64(1), uint8(4), uint8(2), uint8(3), uint8(20), uint8(2), true)
	f.Fuzz(func(t *testing.T, seed uint64, vectors, count, segs, run, step uint8, accumulate bool) {
		check(t, newJob(rand.New(rand.NewPCG(seed, 0)), lane*(1+int(vectors)%4), 1+int(count)%5, int(segs)%16, int(run),
			1+int(step)%64, accumulate))
	})
}

// A long sum over one panel, as in conv3: GFLOP/s of one core.
func BenchmarkTile(b *testing.B) {
	for _, p := range isas() {
		for _, cols := range []int{16, 32, 48, 64} {
			b.Run(fmt.Sprintf("%s/cols=%d", p.name, cols), func(b *testing.B) {
				const segs, run = 3, 768
				j := newJob(rand.New(rand.NewPCG(1, 2)), cols, 1, segs, run, 1, false)
				for b.Loop() {
					p.tile[cols/lane](&j.tile)
				}
				b.ReportMetric(float64(2*tileRows*cols*segs*run)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
