package kernels

import (
	"fmt"

	"ablate/arch"
	"ablate/runner/engine"
)

// A Type is how a library's operand is stored.
type Type int

// Types of operands. Our own tensors are Float32.
const (
	Float32 Type = iota
	BFloat16
)

// Bytes is the size of a value.
func (t Type) Bytes() int {
	if t == BFloat16 {
		return 2
	}
	return 4
}

// single makes the launch of a function with a thread for each of n values, or for each per of them.
func single(function string, n, per int, params ...any) (Launch, error) {
	if n > most {
		return Launch{}, fmt.Errorf("%s: a tensor of %d values, a kernel reaches %d: %w", function, n, most, engine.ErrNoKernel)
	}
	return Launch{Function: function, Grid: [3]uint32{uint32(ceil(n, per*threads)), 1, 1}, Block: [3]uint32{threads, 1, 1}, Params: params}, nil
}

// Narrow writes n float32 values as bfloat16.
func Narrow(from, to uint64, n int) (Launch, error) {
	return single("to_bf16", n, 4, from, to, int32(n), wide(from, to))
}

// Finish adds a bias to each of so many channels, or none where bias is 0, and
// rectifies; n values of type t become float32 ones. From and to may be the same.
func Finish(from uint64, t Type, bias, to uint64, n, channels int, rectify bool) (Launch, error) {
	at := from
	if t == BFloat16 {
		at *= 2 // four lie at multiples of 8
	}
	four := inFours(channels, at, bias, to)
	return single([]string{"finish_float", "finish_bf16"}[t], n, 1+3*int(four), from, bias, to, int32(n), four, divisor(channels), boolean(rectify))
}

// Frame cuts images of shape to out of images of shape from, beginning at row top
// and column left, which may be negative; what an image lacks is 0. Each pixel of
// to is a square of fold × fold pixels, whose channels lie one behind the other, row by row.
func Frame(images int, x uint64, tx Type, from arch.Shape, y uint64, ty Type, to arch.Shape, top, left, fold int) (Launch, error) {
	function := "frame_float"
	switch {
	case tx == BFloat16 && ty == BFloat16:
		return Launch{}, fmt.Errorf("frame of bfloat16 in bfloat16: %w", engine.ErrNoKernel)
	case tx == BFloat16:
		function = "frame_from_bf16"
	case ty == BFloat16:
		function = "frame_to_bf16"
	}
	n, four := images*to.Len(), inFours(to.Channels, y)
	return single(function, n, 1+3*int(four), x, y, int32(n), four, append(divisors(to.Height, to.Width, to.Channels, from.Channels, fold),
		int32(from.Height), int32(from.Width), int32(top), int32(left)))
}

// turned is SIDE of layout.cu.
const turned = 32

// Filters are a convolution's weights: [Kernel², In, Out] of ours, [Out, ⌈Kernel/Fold⌉²,
// Room] of cuDNN's. A cell of cuDNN's is a square of Fold × Fold of ours; what lies
// beyond the kernel, and the channels beyond Fold²·In, are 0.
type Filters struct{ Kernel, Fold, In, Room, Out int }

// side is that of cuDNN's kernel.
func (f Filters) side() int { return ceil(f.Kernel, f.Fold) }

// Len is the number of values as cuDNN has them.
func (f Filters) Len() int { return f.Out * f.side() * f.side() * f.Room }

// ToKRSC turns our weights into cuDNN's.
func (f Filters) ToKRSC(from, to uint64, t Type) (Launch, error) {
	return f.turn([]string{"filters_to_krsc", "filters_to_krsc_bf16"}[t], from, to)
}

// FromKRSC turns cuDNN's weights into ours.
func (f Filters) FromKRSC(from uint64, t Type, to uint64) (Launch, error) {
	return f.turn([]string{"filters_from_krsc", "filters_from_krsc_bf16"}[t], from, to)
}

func (f Filters) turn(function string, from, to uint64) (Launch, error) {
	l, err := single(function, f.Len(), 1, from, to, append(divisors(f.side(), f.Fold, f.In, f.Room), int32(f.Kernel), int32(f.Out)))
	l.Grid[0] = uint32(ceil(f.side()*f.side()*f.Room, turned) * ceil(f.Out, turned))
	return l, err
}
