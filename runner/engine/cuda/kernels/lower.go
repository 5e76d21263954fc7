package kernels

import (
	"fmt"
	"reflect"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/graph"
	"ablate/runner/random"
)

// lowerings turn an instruction into launches, by the type of its op. Each is in the file of its
// family, lower_*.go.
var lowerings = map[reflect.Type]func(*lowering){}

// lowers registers the function that launches a type of op.
func lowers[O any](f func(l *lowering, op O)) struct{} {
	lowerings[reflect.TypeFor[O]()] = func(l *lowering) { f(l, l.Op.(O)) }
	return struct{}{}
}

func (l *lowering) lower() {
	f, ok := lowerings[reflect.TypeOf(l.Op)]
	if !ok {
		l.fail(fmt.Errorf("%v: %w", l.Op, engine.ErrNoKernel))
		return
	}
	f(l)
}

// softmaxThreads is THREADS of softmax.cu.
const softmaxThreads = 128

// functions are the codes of elementwise.cu.
var functions = map[graph.Function]int32{
	graph.ReLU: 0, graph.LeakyReLU: 1, graph.ELU: 2, graph.Softplus: 3, graph.Arcsinh: 4, graph.Tanh: 5, graph.Sigmoid: 6,
	graph.GELU: 7, graph.SiLU: 8, graph.HardSwish: 9,
}

func (l *lowering) function(f graph.Function) int32 {
	code, ok := functions[f]
	if !ok {
		l.fail(fmt.Errorf("%s: %w", f, engine.ErrNoKernel))
	}
	return code
}

func (l *lowering) stream(kind, layer string, of func(seed uint64, layer string) random.Stream) int32 {
	slot, err := l.b.Slots.stream(stream{kind, layer}, func(seed uint64) random.Stream { return of(seed, layer) })
	if err != nil {
		l.fail(err)
	}
	return slot
}

func (l *lowering) rule(u engine.Update) int32 {
	slot, err := l.b.Slots.rule(u)
	if err != nil {
		l.fail(err)
	}
	return slot
}

// partOf is Part of prelude.cu.
func partOf(p graph.Part, s arch.Shape) Struct {
	return append(divisor(s.Channels), int32(s.Height*s.Width), int32(p.Image), int32(p.Channel), int32(p.Channels))
}

// Kinds of column sums, as in columns.cu.
const (
	columnSum int32 = iota
	columnDistance
	columnProduct
	columnNegative
)

// The least number of rows in a chunk of a column sum, and the largest number of chunks: enough blocks
// for a GPU, and few sums to add at the end.
const (
	chunkRows = 64
	maxChunks = 256
)

// columns sums a quantity of x over all rows. out has one value per column.
func (l *lowering) columns(x, dy, mean uint64, kind int32, scale float32, variance uint64, epsilon float64) {
	const lanes = 32
	channels := l.Out.Len()
	rows := l.In[0].Len() / channels
	l.count(l.In[0].Len())
	chunks := min(ceil(rows, chunkRows), maxChunks)
	partial := l.scratch(chunks * channels)
	l.launch("column_chunks", chunks*ceil(channels, lanes), 1, 8*lanes, x, dy, mean, partial, int32(rows),
		int32(channels), int32(chunks), kind)
	l.each("chunk_totals", channels, partial, l.out(), variance, int32(channels), int32(chunks), scale, float32(epsilon))
}

// perRow returns the factor that turns a sum over rows into their mean.
func (l *lowering) perRow() float32 { return 1 / float32(l.In[0].Len()/l.Out.Len()) }

// cast stores the input as the output's type.
func (l *lowering) cast() {
	launch, err := Store(l.in(0), l.In[0].Type, l.out(), l.Out.Type, l.Out.Len())
	if err != nil {
		l.fail(err)
	}
	l.launches = append(l.launches, launch)
}

// update changes a parameter, or moves a running average.
func (l *lowering) update(u engine.Update) {
	n, slot := l.In[0].Len(), l.rule(u)
	if u.Average > 0 {
		l.each("average", n, l.in(0), l.in(2), l.b.Step, int32(n), slot, float32(u.Average))
		return
	}
	if !u.Plain() {
		l.optimize(u, n, slot)
		return
	}
	l.quads("update", n, l.in(0), l.in(1), l.in(2), l.b.Step, int32(n), wide(l.in(0), l.in(1), l.in(2)), slot)
}

// optimizers are the codes of optimizers.cu.
var optimizers = map[recipe.OptimizerKind]int32{
	recipe.SGD: 0, recipe.Nesterov: 1, recipe.RMSProp: 2, recipe.AdaGrad: 3, recipe.Adam: 4, recipe.AdamW: 5,
	recipe.LARS: 6,
}

// optimize changes a parameter by a rule other than the paper's.
func (l *lowering) optimize(u engine.Update, n int, slot int32) {
	r, at := u.Rule, u.Operands()
	operand := func(i int) uint64 {
		if i == 0 {
			return 0
		}
		return l.in(i)
	}
	keep := r.Beta2
	if r.Kind == recipe.RMSProp {
		keep = r.Alpha
	}
	l.each("optimize", n, l.in(0), l.in(1), operand(at.Second), l.in(2), operand(at.Norm), operand(at.WeightNorm),
		operand(at.GradNorm), l.b.Step, int32(n), slot, optimizers[r.Kind], float32(r.Clip), float32(r.L1*u.Decay),
		float32(r.Beta1), float32(1-r.Beta1), float32(keep), float32(1-keep), float32(r.Trust), float32(r.Epsilon))
}

// normPer is the number of values that a block of square_chunks adds up.
const normPer = 16 * threads

// norm adds the inputs' squares: one sum for each block, and then the sum of these.
func (l *lowering) norm() {
	blocks := 0
	for _, t := range l.In {
		blocks += ceil(t.Len(), normPer)
	}
	sums := l.scratch(2 * blocks) // of float64
	done := 0
	for i, t := range l.In {
		l.count(t.Len())
		l.launch("square_chunks", ceil(t.Len(), normPer), 1, threads, l.in(i), sums+8*uint64(done), int32(t.Len()))
		done += ceil(t.Len(), normPer)
	}
	l.launch("norm_of_chunks", 1, 1, threads, sums, l.out(), int32(blocks))
}

// sum adds the inputs in pairs, pairs of pairs and so on, into the first.
func (l *lowering) sum(op engine.Reduce) {
	n := l.In[0].Len()
	for step := 1; step < len(l.In); step *= 2 {
		for j := 0; j+step < len(l.In); j += 2 * step {
			scale := float32(1)
			if 2*step >= len(l.In) { // the last pair
				scale = op.Scale
			}
			l.quads("add", n, l.in(j), l.in(j+step), int32(n), wide(l.in(j), l.in(j+step)), scale)
		}
	}
}

// move copies stretches. Stretches of one part that are equally long and equally far apart share one
// launch, since a cut through channels has one for each pixel.
func (l *lowering) move(op engine.Gather) {
	type rows struct{ part, n, count, from, to, fromStride, toStride int }
	var runs []rows
	last := map[int]int{} // by part: the index of its latest run
	op.Stretches(func(s engine.Stretch) {
		i, ok := last[s.Part]
		if ok && runs[i].n == s.N {
			r := &runs[i]
			if r.count == 1 {
				r.fromStride, r.toStride = s.From-r.from, s.To-r.to
			}
			if s.From == r.from+r.count*r.fromStride && s.To == r.to+r.count*r.toStride && r.fromStride > 0 && r.toStride > 0 {
				r.count++
				return
			}
		}
		last[s.Part] = len(runs)
		runs = append(runs, rows{part: s.Part, n: s.N, count: 1, from: s.From, to: s.To, fromStride: 0, toStride: 0})
	})
	for _, r := range runs {
		l.each("copy_rows", r.n*r.count, l.in(r.part)+4*uint64(r.from), l.out()+4*uint64(r.to), divisor(r.n), int32(r.count),
			uint64(r.fromStride), uint64(r.toStride))
	}
}
