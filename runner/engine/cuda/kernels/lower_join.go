package kernels

import (
	"ablate/arch"
	"ablate/runner/graph"
)

var (
	_ = lowers(func(l *lowering, _ *graph.Add) {
		for i, from := 1, l.in(0); i < len(l.In); i, from = i+3, l.out() { // up to four at a time
			var more [3]uint64
			for j := i; j < min(i+3, len(l.In)); j++ {
				more[j-i] = l.in(j)
			}
			l.quads("plus", l.Out.Len(), from, more[0], more[1], more[2], l.out(), int32(l.Out.Len()),
				wide(from, more[0], more[1], more[2], l.out()), boolean(l.ReLU && i+3 >= len(l.In)))
		}
	})
	_ = lowers(func(l *lowering, op *graph.Concat) {
		first, last := op.First, op.First+op.N // of the channels that are kept
		for i, s := range op.Shapes {
			if from, to := max(first, 0), min(last, s.Channels); from < to {
				l.channels(l.in(i), s.Channels, from, op.N, from-first, to-from)
			}
			first, last = first-s.Channels, last-s.Channels
		}
	})
	_ = lowers(func(l *lowering, op *graph.Slice) {
		l.channels(l.in(0), op.Shape.Channels, op.First, op.N, 0, op.N)
	})
	_ = lowers(func(l *lowering, op *graph.Scale) {
		l.each("scale", l.Out.Len(), l.in(0), l.in(1), l.out(), int32(l.Out.Len()), divisor(op.Shape.Channels),
			divisor(op.Shape.Len()))
	})
	_ = lowers(func(l *lowering, op *graph.ScaleFactorGrad) {
		l.count(l.In[0].Len())
		l.each("scale_factor_grad", l.Out.Len(), l.in(0), l.in(1), l.out(), int32(l.Out.Len()), divisor(op.Shape.Channels),
			int32(op.Shape.Height*op.Shape.Width))
	})
	_ = lowers(func(l *lowering, op *graph.Pad) {
		l.each("pad", l.Out.Len(), l.in(0), l.out(), int32(l.Out.Len()), shortcut(op.In, op.Out, op.Stride, op.First))
	})
	_ = lowers(func(l *lowering, op *graph.PadGrad) {
		l.each("pad_grad", l.Out.Len(), l.in(0), l.out(), int32(l.Out.Len()), shortcut(op.In, op.Out, op.Stride, op.First))
	})
)

// channels copies n channels of each pixel, from channel first of pitch channels to channel toFirst of
// toPitch.
func (l *lowering) channels(x uint64, pitch, first, toPitch, toFirst, n int) {
	values := l.Out.Len() / toPitch * n
	l.each("copy_channels", values, x, l.out(), int32(values), divisor(n), int32(pitch), int32(first), int32(toPitch),
		int32(toFirst))
}

// shortcut is Shortcut of join.cu.
func shortcut(in, out arch.Shape, stride, first int) Struct {
	return append(divisors(in.Height, in.Width, in.Channels, out.Height, out.Width, out.Channels, stride), int32(first))
}
