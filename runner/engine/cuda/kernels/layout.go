package kernels

import (
	"fmt"

	"ablate/arch"
	"ablate/runner/engine"
)

// single returns the launch of a function with one thread for every per of n values.
func single(function string, n, per int, params ...any) (Launch, error) {
	if n > most {
		return Launch{}, fmt.Errorf("%s: a tensor of %d values, a kernel reaches %d: %w", function, n, most,
			engine.ErrNoKernel)
	}
	return Launch{Function: function, Grid: [3]uint32{uint32(ceil(n, per*threads)), 1, 1}, Block: [3]uint32{threads, 1,
		1}, Params: params}, nil
}

// Store writes n values as another type.
func Store(from uint64, tf engine.Type, to uint64, tt engine.Type, n int) (Launch, error) {
	return Finish(from, tf, 0, to, tt, n, n, false)
}

// Finish adds a bias to each channel, or none where bias is 0, and with rectify also rectifies the n
// values. From and to may be the same if their types are.
func Finish(from uint64, tf engine.Type, bias, to uint64, tt engine.Type, n, channels int, rectify bool) (Launch,
	error) {
	four := inFours(channels, from, bias, to)
	return single(pair("finish", tf, tt), n, 1+3*int(four), from, bias, to, int32(n), four, divisor(channels),
		boolean(rectify))
}

// pair returns the name of the function that reads one type and writes another.
func pair(name string, from, to engine.Type) string {
	switch {
	case from == engine.Float32 && to == engine.Float32:
		return name + "_float"
	case from == engine.Float32:
		return name + "_to_bf16"
	case to == engine.Float32:
		return name + "_from_bf16"
	}
	return name + "_bf16"
}

// Frame cuts images of shape to out of images of shape from, beginning at row top and column left,
// which may be negative. Values outside an image are 0. Each pixel of to is a square of fold × fold
// pixels, whose channels lie one after the other, row by row.
func Frame(images int, x uint64, tx engine.Type, from arch.Shape, y uint64, ty engine.Type, to arch.Shape, top, left,
	fold int) (Launch, error) {
	n, four := images*to.Len(), inFours(to.Channels, y)
	return single(pair("frame", tx, ty), n, 1+3*int(four), x, y, int32(n), four,
		append(divisors(to.Height, to.Width, to.Channels, from.Channels, fold),
			int32(from.Height), int32(from.Width), int32(top), int32(left)))
}

// turned is SIDE of layout.cu.
const turned = 32

// Filters are a convolution's weights: [Kernel², In, Out] in our layout, [Rows, ⌈Kernel/Fold⌉², Room]
// in cuDNN's. A cell of cuDNN's is a square of Fold × Fold of our cells. Cells beyond the kernel,
// channels beyond Fold²·In, and rows beyond Out are 0. With Groups above 1, cuDNN's filters reach the
// channels of all groups, In of each, and are 0 for those of the other groups.
type Filters struct{ Kernel, Fold, In, Room, Out, Rows, Groups int }

// side returns the side of cuDNN's kernel.
func (f Filters) side() int { return ceil(f.Kernel, f.Fold) }

// Len returns the number of values in cuDNN's layout.
func (f Filters) Len() int { return f.Rows * f.side() * f.side() * f.Room }

// ToKRSC converts our weights to cuDNN's layout.
func (f Filters) ToKRSC(from, to uint64, t engine.Type) (Launch, error) {
	return f.turn([]string{"filters_to_krsc", "filters_to_krsc_bf16"}[t], from, to)
}

// FromKRSC converts cuDNN's weights to our layout.
func (f Filters) FromKRSC(from uint64, t engine.Type, to uint64) (Launch, error) {
	return f.turn([]string{"filters_from_krsc", "filters_from_krsc_bf16"}[t], from, to)
}

func (f Filters) turn(function string, from, to uint64) (Launch, error) {
	l, err := single(function, f.Len(), 1, from, to, append(divisors(f.side(), f.Fold, f.In*f.Groups, f.Room, f.In,
		f.Out/f.Groups), int32(f.Kernel), int32(f.Out), int32(f.Rows)))
	l.Grid[0] = uint32(ceil(f.side()*f.side()*f.Room, turned) * ceil(f.Rows, turned))
	return l, err
}
