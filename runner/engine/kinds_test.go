package engine_test

import (
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
	"ablate/arch/archtest"
	"ablate/runner/engine"
	"ablate/runner/engine/cpu"
	"ablate/runner/engine/cuda/kernels"
	"ablate/runner/graph"
	"ablate/runner/random"
)

const kindsBatch = 2

// opsOf returns the ops of a layer in a graph, or of all layers.
func opsOf(g *graph.Graph, layer string) (ops []graph.Op) {
	for _, n := range g.Expr.AllNodes() {
		if op, err := g.Op(n); err == nil && (layer == "" || op.LayerName() == layer) {
			ops = append(ops, op)
		}
	}
	return ops
}

// Every kind of layer is complete: it becomes ops, each with a plain definition, a shard and a kernel
// on every device, and they cost what arch computes.
func TestKindsAreWhole(t *testing.T) {
	dev, err := cpu.New("cpu", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for _, kind := range arch.Kinds() {
		t.Run(kind, func(t *testing.T) {
			net := archtest.Net(t, kind)
			layers, err := net.Infer()
			if err != nil {
				t.Fatal(err)
			}
			name, cost := archtest.Layer, int64(0)
			if len(net.Layers[1].Lists()) > 0 { // a composite layer is covered by the layers that it holds
				name = ""
			}
			for _, l := range layers {
				if name == "" || l.Layer.Name == name {
					cost += l.MACs
				}
			}
			forward, err := graph.Build(net, kindsBatch, false)
			if err != nil {
				t.Fatal(err)
			}
			var macs int64
			for _, op := range opsOf(forward, name) {
				macs += op.MACs()
			}
			if want := kindsBatch * cost; macs != want {
				t.Errorf("a forward pass costs %d multiply-accumulates, arch says %d", macs, want)
			}
			g, err := graph.Build(net, kindsBatch, true)
			if err != nil {
				t.Fatal(err)
			}
			ops := opsOf(g, name)
			if len(ops) < 2 { // itself and a gradient
				t.Fatalf("the layer becomes %v", ops)
			}
			for _, op := range ops {
				checkOp(t, dev, op)
			}
		})
	}
}

func checkOp(t *testing.T, dev engine.Device, op graph.Op) {
	t.Helper()
	checkShards(t, op)
	values := make([]gorgonia.Value, len(op.InputShapes()))
	in := engine.Instr{Op: op, Out: operand(t, dev, op.OutputShape())}
	for i, s := range op.InputShapes() {
		in.In = append(in.In, operand(t, dev, s))
		x := make([]float32, in.In[i].Len()) // labels among them are class 0
		if _, loss := op.(*graph.SoftmaxLoss); !loss {
			random.New(1, op.Name()).Normal(x, uint64(i), 0, 0)
		}
		if len(s) == 0 {
			values[i] = gorgonia.NewF32(x[0])
		} else {
			values[i] = tensor.New(tensor.WithShape(s...), tensor.WithBacking(x))
		}
	}
	if out, err := op.Do(values...); err != nil || !out.Shape().Eq(op.OutputShape()) {
		t.Errorf("%s: its definition makes %v: %v", op.Name(), out, err)
	}
	if _, err := dev.Kernel(in); err != nil {
		t.Errorf("%s: %v on a CPU", op.Name(), err)
	}
	launches, err := kernels.Lower(in, kernels.Bindings{
		Address: func(engine.Tensor) uint64 { return 1 << 40 },
		Scratch: func(int) (uint64, error) { return 1 << 41, nil },
		Step:    1 << 42,
		Slots:   kernels.NewStep(),
	})
	if err != nil || len(launches) == 0 {
		t.Errorf("%s: %d launches on a GPU: %v", op.Name(), len(launches), err)
	}
}

// checkShards checks that the shards of two devices have the sizes that they declare.
func checkShards(t *testing.T, op graph.Op) {
	t.Helper()
	var macs int64
	outputs := 0
	for i := range 2 {
		s, err := op.Shard(graph.Split{I: i, Of: 2})
		if err != nil {
			t.Errorf("%s: %v", op.Name(), err)
			return
		}
		if len(s.In) != op.Arity() || s.Op.Arity() != op.Arity() || s.Op.LayerName() != op.LayerName() {
			t.Errorf("%s: %d inputs of a shard, %+v", op.Name(), s.Op.Arity(), s)
			return
		}
		for j, in := range s.In {
			if want := sharded(in, i, op.InputShapes()[j]); s.Op.InputShapes()[j].TotalSize() != want {
				t.Errorf("%s: input %d of shard %d is %v, of %d values", op.Name(), j, i, s.Op.InputShapes()[j], want)
			}
		}
		if want := sharded(s.Out, i, op.OutputShape()); s.Op.OutputShape().TotalSize() != want {
			t.Errorf("%s: shard %d makes %v, of %d values", op.Name(), i, s.Op.OutputShape(), want)
		}
		macs += s.Op.MACs()
		outputs += s.Op.OutputShape().TotalSize()
	}
	if whole := op.OutputShape().TotalSize(); outputs == whole && macs != op.MACs() {
		t.Errorf("%s: the shards cost %d multiply-accumulates, the whole %d", op.Name(), macs, op.MACs())
	}
}

// sharded returns how many values of a shape a device has.
func sharded(s graph.Sharding, device int, shape tensor.Shape) int {
	if s.Whole() {
		return shape.TotalSize()
	}
	_, n := s.Block(device, 2)
	return s.Outer * n * s.Inner
}

func operand(t *testing.T, dev engine.Device, s tensor.Shape) engine.Tensor {
	t.Helper()
	out := engine.Tensor{Shape: s}
	mem, err := dev.Alloc(out.Len())
	if err != nil {
		t.Fatal(err)
	}
	out.Mem = mem
	return out
}
