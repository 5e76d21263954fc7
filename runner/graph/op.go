package graph

// The plain definitions, beside each op, are loops that a reader can check against the formula. Do
// runs them, and every device is tested against them. They are not meant to be fast.

import (
	"fmt"
	"hash"
	"hash/fnv"
	"io"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// An Op is one of our ops. Each kind of op is one type in one file: its plain definition in Go,
// its gradient, its cost, and its share when several devices divide a net.
type Op interface {
	gorgonia.Op
	// Name returns the op and its layer: conv{conv1}.
	Name() string
	// LayerName returns the layer that the op belongs to.
	LayerName() string
	// InputShapes and OutputShape return the shapes that the op was made for; a scalar has an empty
	// shape.
	InputShapes() []tensor.Shape
	OutputShape() tensor.Shape
	// MACs returns the number of multiply-accumulates over the batch, 0 if only memory traffic
	// counts.
	MACs() int64
	// Class returns the kind of work.
	Class() Class
	// Shard returns the share of the op that one of several devices computes.
	Shard(Split) (Shard, error)
}

// A Class is a kind of work, which decides how values are stored around an op
// and whether a library may compute it.
type Class int

// The classes.
const (
	Pass          Class = iota // one pass over memory, in the type of the activations
	Product                    // a matrix product that makes activations or their gradients
	WeightProduct              // a matrix product that makes a gradient of weights
	Float32Only                // takes only float32
)

// meta is the common part of all our ops. It fixes the shapes of the inputs and the output when
// the op is made (batch size included), prints every parameter as the op's identity, and carries a
// plain Go implementation.
//
// Gorgonia merges nodes whose 32-bit hashes are equal and checks nothing else but the number of
// children. So String, which is hashed, must contain the layer's name and every parameter.
type meta struct {
	kind   string // conv, conv-data-grad …
	Layer  string
	Batch  int
	params string // everything else that the op depends on
	in     []tensor.Shape
	out    tensor.Shape // empty for a scalar
	f32    func(in [][]float32, out []float32)
	f64    func(in [][]float64, out []float64)
}

func (m *meta) Arity() int            { return len(m.in) }
func (m *meta) ReturnsPtr() bool      { return false }
func (m *meta) CallsExtern() bool     { return false }
func (m *meta) OverwritesInput() int  { return -1 }
func (m *meta) WriteHash(h hash.Hash) { io.WriteString(h, m.String()) }

// String returns the op with every parameter: conv{conv1 128 {…}}.
func (m *meta) String() string {
	return fmt.Sprintf("%s{%s %d %s}", m.kind, m.Layer, m.Batch, m.params)
}

// Name returns the op and its layer: conv{conv1}.
func (m *meta) Name() string { return m.kind + "{" + m.Layer + "}" }

// LayerName returns the layer that the op belongs to.
func (m *meta) LayerName() string { return m.Layer }

// MACs and Class return the values of most ops.
func (m *meta) MACs() int64  { return 0 }
func (m *meta) Class() Class { return Pass }

// InputShapes and OutputShape return the shapes that the op was made for; a scalar has an empty
// shape.
func (m *meta) InputShapes() []tensor.Shape { return m.in }
func (m *meta) OutputShape() tensor.Shape   { return m.out }

func (m *meta) Hashcode() uint32 {
	h := fnv.New32a()
	m.WriteHash(h)
	return h.Sum32()
}

// Type returns the op's signature in Gorgonia's type system: tensors of the shapes' ranks over one
// float type.
func (m *meta) Type() hm.Type {
	a := hm.TypeVariable('a')
	of := func(s tensor.Shape) hm.Type {
		if s.Dims() == 0 {
			return a
		}
		return gorgonia.TensorType{Dims: s.Dims(), Of: a}
	}
	types := make([]hm.Type, 0, len(m.in)+1)
	for _, s := range m.in {
		types = append(types, of(s))
	}
	return hm.NewFnType(append(types, of(m.out))...)
}

// InferShape checks the inputs against the shapes the op was made for.
func (m *meta) InferShape(inputs ...gorgonia.DimSizer) (tensor.Shape, error) {
	if len(inputs) != len(m.in) {
		return nil, fmt.Errorf("%s: %d inputs, wants %d", m, len(inputs), len(m.in))
	}
	for i, in := range inputs {
		got, ok := in.(tensor.Shape)
		if !ok || !got.Eq(m.in[i]) {
			return nil, fmt.Errorf("%s: input %d has shape %v, wants %v", m, i, in, m.in[i])
		}
	}
	return m.out, nil
}

// Do runs the plain implementation, so that Gorgonia's own machine can run our graphs. It is slow,
// and serves as the oracle of the engine's tests.
func (m *meta) Do(values ...gorgonia.Value) (gorgonia.Value, error) {
	if len(values) != len(m.in) {
		return nil, fmt.Errorf("%s: %d values, wants %d", m, len(values), len(m.in))
	}
	switch dt := values[0].Dtype(); dt {
	case tensor.Float32:
		return apply(m, values, m.f32, func(x float32) gorgonia.Value { return gorgonia.NewF32(x) })
	case tensor.Float64:
		return apply(m, values, m.f64, func(x float64) gorgonia.Value { return gorgonia.NewF64(x) })
	default:
		return nil, fmt.Errorf("%s: no implementation for %v", m, dt)
	}
}

func apply[T float](m *meta, values []gorgonia.Value, f func([][]T, []T),
	scalar func(T) gorgonia.Value) (gorgonia.Value, error) {
	in := make([][]T, len(values))
	for i, v := range values {
		switch d := v.Data().(type) {
		case []T:
			in[i] = d
		case T:
			in[i] = []T{d}
		default:
			return nil, fmt.Errorf("%s: input %d is %T, wants %T", m, i, d, in[i])
		}
	}
	out := make([]T, m.out.TotalSize())
	if len(m.out) == 0 {
		out = make([]T, 1)
	}
	f(in, out)
	if len(m.out) == 0 {
		return scalar(out[0]), nil
	}
	return tensor.New(tensor.WithShape(m.out...), tensor.WithBacking(out)), nil
}

// dropBias removes the third input of a layer that has no biases.
func (m *meta) dropBias() {
	m.in = m.in[:2]
	m.params += " no bias"
}

// biased reports whether the op adds biases.
func (m *meta) biased() bool { return len(m.in) == 3 }

// withBiasGrad adds the gradient to the biases, if there are any, to the gradients to input and
// weights.
func (m *meta) withBiasGrad(dx, dw *gorgonia.Node, db Op, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	if !m.biased() {
		return gorgonia.Nodes{dx, dw}, nil
	}
	n, err := applied(db, dy)
	return gorgonia.Nodes{dx, dw, n}, err
}

// biasOf returns the third of an op's inputs, nil if there are only two.
func biasOf[T float](in [][]T) []T {
	if len(in) < 3 {
		return nil
	}
	return in[2]
}

// applied makes a node of op over inputs. Gorgonia reports shape and type mismatches here.
func applied(op gorgonia.Op, inputs ...*gorgonia.Node) (*gorgonia.Node, error) {
	n, err := gorgonia.ApplyOp(op, inputs...)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", op, err)
	}
	if got := fmt.Sprint(n.Op()); got != fmt.Sprint(op) {
		return nil, fmt.Errorf("%v has the hash of %s: rename the layer", op, got)
	}
	return n, nil
}

// all returns DiffWRT's result for an op with total inputs that can be differentiated with respect
// to the first n.
func all(n, total int) []bool {
	wrt := make([]bool, total)
	for i := range n {
		wrt[i] = true
	}
	return wrt
}

type float interface{ ~float32 | ~float64 }
