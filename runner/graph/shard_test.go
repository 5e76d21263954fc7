package graph

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// take copies the part of values that a sharding assigns to device i of several.
func take(c Sharding, i, of int, values []float64) []float64 {
	if c.Whole() {
		return values
	}
	var out []float64
	c.Runs(of, 0, len(values), func(part, off, at, n int) {
		if part != i {
			return
		}
		if off != len(out) {
			panic(fmt.Sprintf("part %d is not read in order: %d after %d", part, off, len(out)))
		}
		out = append(out, values[at:at+n]...)
	})
	return out
}

// Every value of a tensor lies in exactly one part, wherever reading begins.
func TestRunsCoverTheTensor(t *testing.T) {
	for _, c := range []Sharding{{1, 7, 1}, {3, 8, 1}, {4, 5, 3}, {1, 2, 9}, {2, 3, 1}} {
		for of := 1; of <= 3; of++ {
			for first := range c.Len() {
				seen := 0
				c.Runs(of, first, c.Len()-first, func(part, off, at, n int) {
					if at != seen || n < 1 {
						t.Fatalf("%v of %d from %d: a run of %d at %d after %d", c, of, first, n, at, seen)
					}
					for j := range n { // by the definition
						w := first + at + j
						outer, l, inner := w/(c.Length*c.Inner), w/c.Inner%c.Length, w%c.Inner
						start, length := c.Block(part, of)
						if want := (outer*length+l-start)*c.Inner + inner; l < start || l >= start+length || off+j != want {
							t.Fatalf("%v of %d: value %d is said to be value %d of part %d", c, of, w, off+j, part)
						}
					}
					seen += n
				})
				if seen != c.Len()-first {
					t.Fatalf("%v of %d from %d: %d values of %d", c, of, first, seen, c.Len()-first)
				}
			}
		}
	}
}

// The devices' shares of every op together equal the op. Their sums have the same order too: the
// plain definitions have equal bits.
func TestSharesAreTheOp(t *testing.T) {
	for _, net := range append(laterNets(), testNet(), columnNet()) {
		t.Run(net.Name, func(t *testing.T) {
			g, err := build(net, 3, true, tensor.Float64)
			if err != nil {
				t.Fatal(err)
			}
			*g.Clock = Clock{Seed: 4, Step: 7}
			checked := 0
			for it := g.Expr.Nodes(); it.Next(); {
				n, ok := it.Node().(*gorgonia.Node)
				if !ok || n.Op() == nil {
					continue
				}
				if o, ok := n.Op().(Op); ok {
					checkShards(t, n.Op(), o, max(net.Columns, 1))
					checked++
				}
			}
			if checked < len(net.Layers) {
				t.Errorf("only %d ops were checked", checked)
			}
		})
	}
}

func checkShards(t *testing.T, op gorgonia.Op, o Op, of int) {
	t.Helper()
	var in [][]float64
	for i, s := range o.InputShapes() {
		v := wave(max(s.TotalSize(), 1), 0.7, float64(i))
		if strings.HasPrefix(o.Name(), "batch-norm") && i == 2 { // a variance
			for j := range v {
				v[j] = math.Abs(v[j]) + 0.1
			}
		}
		if strings.HasPrefix(o.Name(), "softmax") && i == 1 { // labels
			for j := range v {
				v[j] = float64(j % 2)
			}
		}
		in = append(in, v)
	}
	want := compute(t, op, o, in)
	for i := range of {
		s, err := ShardOf(op, Split{i, of})
		if err != nil {
			t.Errorf("%s: %v", o.Name(), err)
			return
		}
		part := s.Op
		var mine [][]float64
		for j, c := range s.In {
			mine = append(mine, take(c, i, of, in[j]))
			if n := max(part.InputShapes()[j].TotalSize(), 1); len(mine[j]) != n {
				t.Errorf("%s, device %d: input %d has %d values, its op wants %d", o.Name(), i, j, len(mine[j]), n)
				return
			}
		}
		got, expected := compute(t, s.Op, part, mine), take(s.Out, i, of, want)
		for j, v := range expected {
			if j >= len(got) || math.Float64bits(got[j]) != math.Float64bits(v) {
				t.Errorf("%s, device %d of %d: value %d differs from the whole op's %v", o.Name(), i, of, j, v)
				return
			}
		}
	}
}

func compute(t *testing.T, op gorgonia.Op, o Op, in [][]float64) []float64 {
	t.Helper()
	var values []gorgonia.Value
	for i, s := range o.InputShapes() {
		if s.Dims() == 0 {
			values = append(values, gorgonia.NewF64(in[i][0]))
			continue
		}
		values = append(values, tensor.New(tensor.WithShape(s...), tensor.WithBacking(in[i])))
	}
	out, err := op.Do(values...)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := out.Data().(float64); ok {
		return []float64{v}
	}
	return out.Data().([]float64)
}

// columnNet has what the other nets of the tests lack where columns meet: layers over all columns
// after layers within columns, odd numbers of outputs, and every kind of random layer.
func columnNet() *arch.Net {
	init := arch.Init{Kind: "he"}
	layer := func(name string, p arch.Spec) arch.Layer { return arch.Layer{Name: name, Spec: p} }
	return &arch.Net{Name: "columns", Input: arch.Shape{Height: 9, Width: 9, Channels: 3}, Columns: 2,
		Layers: []arch.Layer{
			layer("conv1", &arch.Conv{Bias: true, Filters: 6, Kernel: 3, Stride: 1, Pad: arch.Pad{Top: 1}, Groups: 1,
				Init: init}),
			layer("pool1", &arch.StochasticPool{Pool: arch.Pool{Kernel: 2, Stride: 1}}),
			layer("local2", &arch.Local{Conv: arch.Conv{Bias: true, Filters: 4, Kernel: 2, Stride: 1, Groups: 1,
				WithinColumn: true,
				Init:         init}}),
			layer("drop2", &arch.Dropout{Rate: 0.4}),
			layer("rrelu2", &arch.RReLU{Lower: 0.125, Upper: 0.4}),
			layer("conv3", &arch.Conv{Bias: true, Filters: 6, Kernel: 2, Stride: 2, Groups: 1, Init: init}),
			layer("local4", &arch.Local{Conv: arch.Conv{Bias: true, Filters: 2, Kernel: 2, Stride: 1,
				Pad: arch.Pad{Left: 1}, Groups: 1,
				Init: init}}),
			layer("pyramid4", &arch.SpatialPyramid{Levels: []int{1, 2}}),
			layer("fc5", &arch.Dense{Bias: true, Outputs: 7, Init: init}),
			layer("drop5", &arch.Dropout{Rate: 0.3, Inverted: true}),
			layer("fc6", &arch.Dense{Bias: true, Outputs: 3, Init: init}),
			layer("loss", &arch.SoftmaxLoss{}),
		}}
}

// A net with a layer that cannot be divided names the layer and the reason.
func TestColumnRefuses(t *testing.T) {
	for want, op := range map[string]gorgonia.Op{
		"conv{l}: 3 groups cannot be divided among 2 devices": NewConv("l", 1,
			Window{In: arch.Shape{Height: 1, Width: 1, Channels: 6},
				Out: arch.Shape{Height: 1, Width: 1, Channels: 6}, Kernel: 1, Stride: 1, Groups: 3}),
		"dense{l}: 1 outputs are too few for 2 devices": NewDense("l", 1,
			arch.Shape{Height: 1, Width: 1, Channels: 6}, 1),
		"lrn{l}: windows over the maps of 1 columns cannot be divided among 2 devices": NewLRN("l", 1,
			arch.Shape{Height: 1, Width: 1, Channels: 6}, LRNParams{Size: 3, Groups: 1}),
	} {
		if _, err := ShardOf(op, Split{0, 2}); err == nil || err.Error() != want {
			t.Errorf("%v: error %v, want %s", op, err, want)
		}
	}
}

// Random layers on the second half of a batch draw the same numbers as on the whole batch.
func TestFromImage(t *testing.T) {
	clock := &Clock{Seed: 4, Step: 7}
	s := arch.Shape{Height: 4, Width: 3, Channels: 5}
	w := Window{In: s, Out: arch.Shape{Height: 3, Width: 2, Channels: 5}, Kernel: 2, Stride: 1}
	slopes := arch.RReLU{Lower: 0.125, Upper: 0.4}
	for name, of := range map[string]func(batch int) gorgonia.Op{
		"dropout": func(n int) gorgonia.Op {
			return NewDropout("l", n, s, arch.Dropout{Rate: 0.5}, true,
				clock)
		},
		"rrelu":                func(n int) gorgonia.Op { return NewRReLU("l", n, s, slopes, true, clock) },
		"rrelu grad":           func(n int) gorgonia.Op { return NewRReLUGrad("l", n, s, slopes, true, clock) },
		"stochastic pool":      func(n int) gorgonia.Op { return NewStochasticPool("l", n, w, true, clock) },
		"stochastic pool grad": func(n int) gorgonia.Op { return NewStochasticPoolGrad("l", n, w, clock) },
	} {
		t.Run(name, func(t *testing.T) {
			const batch, first = 6, 3
			var in, tail [][]float64
			for i, shape := range of(batch).(Op).InputShapes() {
				v := wave(shape.TotalSize(), 0.3, float64(i+1))
				in, tail = append(in, v), append(tail, v[len(v)/batch*first:])
			}
			want := compute(t, of(batch), of(batch).(Op), in)
			want = want[len(want)/batch*first:]
			part := FromImage(of(batch-first), first)
			if got := compute(t, part, part.(Op), tail); !slices.Equal(got, want) {
				t.Errorf("images from %d on: %v, in the whole batch %v", first, got, want)
			}
			alone := of(batch - first)
			if got := compute(t, alone, alone.(Op), tail); slices.Equal(got, want) {
				t.Error("the test shows nothing: the first images draw the same")
			}
		})
	}
}
