package kernels

import (
	"fmt"

	"ablate/arch"
	"ablate/runner/engine"
	"ablate/runner/graph"
	"ablate/runner/random"
)

func (l *lowering) lower() {
	switch op := l.Op.(type) {
	case *graph.Conv:
		l.conv(windowOf(op.Batch, op.Window), false)
	case *graph.ConvDataGrad:
		l.dataGrad(windowOf(op.Batch, op.Window))
	case *graph.ConvWeightGrad:
		l.weightGrad(windowOf(op.Batch, op.Window), false)
	case *graph.Dense:
		l.conv(denseWindow(op.Batch, op.In, op.Outputs), false)
	case *graph.DenseDataGrad:
		l.dataGrad(denseWindow(op.Batch, op.In, op.Outputs))
	case *graph.DenseWeightGrad:
		l.denseWeightGrad(op)
	case *graph.Local:
		l.conv(windowOf(op.Batch, op.Window), true)
	case *graph.LocalDataGrad:
		l.each("local_data_grad", l.Out.Len(), l.in(0), l.in(1), l.out(), int32(l.Out.Len()), windowOf(op.Batch, op.Window).params())
	case *graph.LocalWeightGrad:
		l.weightGrad(windowOf(op.Batch, op.Window), true)

	case *graph.BiasGrad:
		l.columns(l.in(0), 0, 0, columnSum, 1, 0, 0)
	case *graph.BatchMean:
		l.columns(l.in(0), 0, 0, columnSum, l.perRow(), 0, 0)
	case *graph.BatchVariance:
		l.columns(l.in(0), 0, l.in(1), columnDistance, l.perRow(), 0, 0)
	case *graph.BatchNormScaleGrad:
		l.columns(l.in(0), l.in(3), l.in(1), columnProduct, 1, l.in(2), op.Epsilon)
	case *graph.PReLUSlopeGrad:
		l.columns(l.in(0), l.in(1), 0, columnNegative, 1, 0, 0)
	case *graph.BatchNorm:
		n := l.Out.Len()
		l.each("batchnorm", n, l.in(0), l.in(1), l.in(2), l.in(3), l.in(4), l.out(), int32(n), divisor(op.Shape.Channels), float32(op.Epsilon))
	case *graph.BatchNormGrad:
		n := l.Out.Len()
		l.each("batchnorm_grad", n, l.in(0), l.in(1), l.in(2), l.in(3), l.in(4), l.in(5), l.in(6), l.out(),
			int32(n), divisor(l.In[1].Len()), float32(op.Epsilon))

	case *graph.Unit:
		l.quads("unit", l.Out.Len(), l.in(0), l.out(), int32(l.Out.Len()), wide(l.in(0), l.out()),
			l.function(op.F), float32(op.A), float32(op.B))
	case *graph.UnitGrad:
		l.quads("unit_grad", l.Out.Len(), l.in(0), l.in(1), l.out(), int32(l.Out.Len()), wide(l.in(0), l.in(1), l.out()),
			l.function(op.F), float32(op.A), float32(op.B))
	case *graph.Dropout:
		slot := l.stream("dropout", op.Layer, graph.DropoutStream)
		l.quads("dropout", l.Out.Len(), l.in(0), l.out(), l.mask(), l.b.Step, int32(l.Out.Len()), wide(l.in(0), l.out(), l.mask()),
			slot, graph.DropoutThreshold(op.Rate), boolean(op.Train), float32(op.Up()), float32(op.Kept()), partOf(op.Part, op.Shape))
	case *graph.RReLU:
		slot, v := l.stream("rrelu", op.Layer, graph.RReLUStream), l.in(len(l.In)-1)
		l.quads("rrelu", l.Out.Len(), l.in(0), v, l.out(), l.b.Step, int32(l.Out.Len()), wide(l.in(0), v, l.out()),
			slot, boolean(op.Train), op.Lower, op.Upper-op.Lower, op.Mean(), partOf(op.Part, op.Shape))
	case *graph.PReLU:
		l.each("prelu", l.Out.Len(), l.in(0), l.in(1), l.in(0), l.out(), int32(l.Out.Len()), divisor(l.In[1].Len()))
	case *graph.PReLUGrad:
		l.each("prelu", l.Out.Len(), l.in(0), l.in(1), l.in(2), l.out(), int32(l.Out.Len()), divisor(l.In[1].Len()))
	case *graph.Maxout:
		l.each("maxout", l.Out.Len(), l.in(0), l.out(), int32(l.Out.Len()), int32(op.Pieces))
	case *graph.MaxoutGrad:
		l.each("maxout_grad", l.Out.Len(), l.in(0), l.in(1), l.out(), int32(l.Out.Len()), divisor(op.Pieces))

	case *graph.LRN:
		l.lrn(op.Shape, op.Norm)
	case *graph.LRNGrad:
		l.lrnGrad(op)

	case *graph.MaxPool:
		l.pool(op.Batch, op.Window, poolMax)
	case *graph.AvgPool:
		l.pool(op.Batch, op.Window, poolAverage)
	case *graph.MaxAvgPool:
		l.pool(op.Batch, op.Window, poolBoth)
	case *graph.MaxPoolGrad:
		l.maxPoolGrad(l.in(2), windowOf(op.Batch, op.Window), poolMax)
	case *graph.AvgPoolGrad:
		l.poolGrad(0, l.in(0), windowOf(op.Batch, op.Window), poolAverage)
	case *graph.MaxAvgPoolGrad:
		l.maxPoolGrad(l.in(1), windowOf(op.Batch, op.Window), poolBoth)
	case *graph.StochasticPool:
		l.stochastic(op.Layer, op.Train, op.Part, op.Out, l.Out.Len(), l.out(), 0, windowOf(op.Batch, op.Window))
	case *graph.StochasticPoolGrad:
		w, n := windowOf(op.Batch, op.Window), l.In[1].Len()
		picks := l.picks(n, w)
		l.stochastic(op.Layer, true, op.Part, op.Out, n, 0, picks, w)
		l.poolGrad(picks, l.in(1), w, poolMax)
	case *graph.PyramidPool:
		l.pyramid(op.Batch, op.In, op.Levels, func(n int, grid Struct) {
			l.each("pyramid", n, l.in(0), l.out(), uint64(0), int32(n), grid)
		})
	case *graph.PyramidPoolGrad:
		l.pyramid(op.Batch, op.In, op.Levels, func(n int, grid Struct) {
			picks := l.scratch(n)
			l.each("pyramid", n, l.in(0), uint64(0), picks, int32(n), grid)
			l.each("pyramid_grad", l.Out.Len(), picks, l.in(1), l.out(), int32(l.Out.Len()), grid)
		})

	case *graph.SoftmaxLoss:
		losses := l.scratch(2 * op.Batch) // float64
		l.launch("softmax_losses", op.Batch, 1, softmaxThreads, l.in(0), l.in(1), losses, int32(op.Classes))
		l.launch("mean_loss", 1, 1, softmaxThreads, losses, l.out(), int32(op.Batch))
	case *graph.SoftmaxLossGrad:
		l.launch("softmax_grad", op.Batch, 1, softmaxThreads, l.in(0), l.in(1), l.in(2), l.out(), int32(op.Classes), int32(op.Batch))

	case engine.Cast:
		l.cast()
	case engine.Update:
		l.update(op)
	case engine.Move:
		l.move(op)
	case engine.Sum:
		l.sum(op)
	default:
		l.fail(fmt.Errorf("%v: %w", l.Op, engine.ErrNoKernel))
	}
}

// softmaxThreads is THREADS of softmax.cu.
const softmaxThreads = 128

// functions are the codes of elementwise.cu.
var functions = map[graph.Function]int32{
	graph.ReLU: 0, graph.LeakyReLU: 1, graph.ELU: 2, graph.Softplus: 3, graph.Arcsinh: 4, graph.Tanh: 5, graph.Sigmoid: 6,
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

// A column sum's chunks have at least so many rows, and there are at most so many
// chunks: enough blocks for a GPU, and few sums to add at the end.
const (
	chunkRows = 64
	maxChunks = 256
)

// columns sums something of x over all rows: out has a value a column.
func (l *lowering) columns(x, dy, mean uint64, kind int32, scale float32, variance uint64, epsilon float64) {
	const lanes = 32
	channels := l.Out.Len()
	rows := l.In[0].Len() / channels
	l.count(l.In[0].Len())
	chunks := min(ceil(rows, chunkRows), maxChunks)
	partial := l.scratch(chunks * channels)
	l.launch("column_chunks", chunks*ceil(channels, lanes), 1, 8*lanes, x, dy, mean, partial, int32(rows), int32(channels), int32(chunks), kind)
	l.each("chunk_totals", channels, partial, l.out(), variance, int32(channels), int32(chunks), scale, float32(epsilon))
}

// perRow makes a sum over rows their mean.
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
	l.quads("update", n, l.in(0), l.in(1), l.in(2), l.b.Step, int32(n), wide(l.in(0), l.in(1), l.in(2)), slot)
}

// sum adds the inputs in pairs, pairs of pairs and so on, into the first.
func (l *lowering) sum(op engine.Sum) {
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

// move copies stretches: those of one part that are equally long and equally far
// apart in one launch, since a cut through channels has one for each pixel.
func (l *lowering) move(op engine.Move) {
	type rows struct{ part, n, count, from, to, fromStride, toStride int }
	var runs []rows
	last := map[int]int{} // by part, where its latest run is
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
		runs = append(runs, rows{s.Part, s.N, 1, s.From, s.To, 0, 0})
	})
	for _, r := range runs {
		l.each("copy_rows", r.n*r.count, l.in(r.part)+4*uint64(r.from), l.out()+4*uint64(r.to), divisor(r.n), int32(r.count),
			uint64(r.fromStride), uint64(r.toStride))
	}
}
