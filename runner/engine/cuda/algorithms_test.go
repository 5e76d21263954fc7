package cuda

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"gorgonia.org/tensor"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/engine/cuda/cudatest/emulation"
	"ablate/runner/engine/cuda/cudatest/fake"
	"ablate/runner/engine/cuda/nvidia"
	"ablate/runner/engine/enginetest"
	"ablate/runner/graph"
)

// The table of algorithms: for each convolution and direction of two nets, the algorithms that cuDNN
// lists, with channels last and first, and the time of each, beside our own kernel. It shows which
// layout to choose, and whether cuDNN's other interface is worth its calls. On an emulated GPU a small
// net shows that the table can be made.
func TestGPUAlgorithmTable(t *testing.T) {
	type sized struct {
		net   *arch.Net
		batch int
	}
	var nets []sized
	var libs *nvidia.Libraries
	number := 0
	switch device := os.Getenv("ABLATE_TEST_DEVICE"); {
	case strings.HasPrefix(device, "cuda:"):
		if _, err := fmt.Sscanf(device, "cuda:%d", &number); err != nil {
			t.Fatal(err)
		}
		var err error
		if libs, err = nvidia.Open(); err != nil {
			t.Fatal(err)
		}
		for name, batch := range map[string]int{"cifar-quick-lrn": 128, "alexnet": 256} {
			net, err := arch.Nets.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			nets = append(nets, sized{net, batch})
		}
	default:
		emulated, err := emulation.New()
		if errors.Is(err, emulation.ErrNoCompiler) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		libs, nets = fake.New(emulated, 1, 1<<30).Libraries(true), []sized{{enginetest.Paper(t, "alexnet-32", 16, 4), 1}}
	}
	d, err := New(libs, number)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.dnn == nil {
		t.Skip("cuDNN is not here")
	}
	rows := 0
	for _, n := range nets {
		g, err := graph.Build(n.net, n.batch, true)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s, batch %d", n.net.Name, n.batch)
		for _, node := range g.Expr.AllNodes() {
			op, ok := node.Op().(graph.Op)
			if !ok || !strings.HasPrefix(op.Name(), "conv") {
				continue
			}
			for _, p := range []recipe.Precision{recipe.BF16, recipe.TF32, recipe.Float32} {
				made, err := d.algorithmRows(op, p)
				if err != nil {
					t.Errorf("%s in %s: %v", op.Name(), p, err)
				}
				if errors.Is(err, nvidia.ErrLost) {
					return
				}
				for _, r := range made {
					t.Logf("%-28s %-8s %s", op.Name(), p, r)
				}
				rows += len(made)
			}
		}
	}
	if rows < 20 {
		t.Errorf("%d rows", rows)
	}
}

// algorithmRows returns the rows of an op: cuDNN's algorithms with channels last and first, and our
// own kernel.
func (d *Device) algorithmRows(op graph.Op, p recipe.Precision) ([]string, error) {
	var g geometry
	var direction int
	switch op := op.(type) {
	case *graph.Conv:
		g, direction = geometry{batch: op.Batch, window: op.Window}, forward
	case *graph.ConvDataGrad:
		g, direction = geometry{batch: op.Batch, window: op.Window}, backwardData
	case *graph.ConvWeightGrad:
		g, direction = geometry{batch: op.Batch, window: op.Window}, backwardFilter
	default:
		return nil, fmt.Errorf("a %T: %w", op, engine.ErrNoKernel)
	}
	g.precision, g.fold = p, 1
	if direction != backwardData {
		g.fold = spaceToDepth(g.window, p)
	}
	var rows []string
	for _, layout := range []nvidia.Format{nvidia.NHWC, nvidia.NCHW} {
		if layout == nvidia.NCHW {
			g.fold = 1
		}
		err := d.do(func() error {
			made, err := d.layoutRows(g, direction, layout)
			rows = append(rows, made...)
			return err
		})
		if err != nil {
			return rows, err
		}
	}
	if p != recipe.Float32 {
		return rows, nil
	}
	k, err := d.ownKernel(op)
	if err != nil {
		return rows, err
	}
	took, err := d.Time(k, &engine.Context{})
	return append(rows, fmt.Sprintf("own kernel %41.3f ms", 1e3*took.Seconds())), err
}

// layoutRows returns the algorithms that cuDNN lists for a direction in a layout, each timed alone.
func (d *Device) layoutRows(g geometry, direction int, layout nvidia.Format) ([]string, error) {
	n := d.dnn
	known := n.convolutions
	n.convolutions = map[geometry]*convolution{} // a separate map, for another layout
	defer func() { n.convolutions = known }()
	c, err := n.convolution(g)
	if err != nil {
		return nil, err
	}
	defer c.close(n)
	name := "NHWC"
	if layout == nvidia.NCHW {
		name = "NCHW"
		if err := c.channelsFirst(n); err != nil {
			return nil, err
		}
	}
	listed, err := c.perf(n, direction)
	if err != nil {
		return []string{fmt.Sprintf("%s lists nothing: %v", name, err)}, nil
	}
	var rows []string
	for _, p := range listed {
		a := algorithm{number: p.Algorithm, math: p.Math}
		result := fmt.Sprintf("status %d", p.Status)
		if p.Status == 0 {
			err := c.workspace(n, direction, &a)
			var ms float32
			if err == nil && a.bytes <= n.workspace {
				ms, err = d.timeAttempt(c, attempt{algorithm: a, direction: direction})
			}
			switch {
			case errors.Is(err, nvidia.ErrLost):
				return rows, err
			case err != nil:
				result = err.Error()
			case a.bytes > n.workspace:
				result = "workspace too large"
			default:
				result = fmt.Sprintf("%.3f ms", ms)
			}
		}
		rows = append(rows, fmt.Sprintf("%s algorithm %d math %d determinism %d workspace %5d MiB %s", name, p.Algorithm,
			p.Math, p.Determinism, a.bytes>>20, result))
	}
	return rows, nil
}

// channelsFirst sets a convolution's tensor descriptors again, with channels first.
func (c *convolution) channelsFirst(n *dnn) error {
	t := map[engine.Type]nvidia.DNNType{engine.Float32: nvidia.DNNFloat, engine.BFloat16: nvidia.DNNBFloat16}[c.as]
	b, w := int32(c.batch), c.window
	return first([]error{
		n.err(n.SetTensor(c.x, nvidia.NCHW, t, b, int32(c.in.Channels), int32(c.in.Height), int32(c.in.Width))),
		n.err(n.SetTensor(c.y, nvidia.NCHW, t, b, int32(c.out.Channels), int32(w.Out.Height), int32(w.Out.Width))),
		n.err(n.SetFilter(c.w, t, nvidia.NCHW, int32(c.out.Channels), int32(c.in.Channels/c.groups), int32(c.kernel),
			int32(c.kernel))),
	})
}

// timeAttempt measures cuDNN's call alone, on memory that is not cleared.
func (d *Device) timeAttempt(c *convolution, a attempt) (float32, error) {
	p, size := &plan{d: d}, uint64(c.as.Bytes())
	x, y := p.reserve(size*uint64(c.batch*c.in.Len())), p.reserve(size*uint64(c.batch*c.out.Len()))
	w, work := p.reserve(size*uint64(c.filters().Len())), p.reserve(a.bytes)
	if p.place(); p.err != nil {
		return 0, p.err
	}
	p.run("algorithm", c, a, func(n *dnn, one, zero unsafe.Pointer) nvidia.DNNStatus {
		switch a.direction {
		case forward:
			return n.Forward(n.handle, one, c.x, p.at(x), c.w, p.at(w), c.conv, a.number, p.at(work), a.bytes, zero, c.y,
				p.at(y))
		case backwardData:
			return n.BackwardData(n.handle, one, c.w, p.at(w), c.y, p.at(y), c.conv, a.number, p.at(work), a.bytes, zero, c.x,
				p.at(x))
		default:
			return n.BackwardFilter(n.handle, one, c.x, p.at(x), c.y, p.at(y), c.conv, a.number, p.at(work), a.bytes, zero,
				c.w, p.at(w))
		}
	})
	if err := p.once(); err != nil {
		return 0, err
	}
	return d.measure(&kernel{d: d, plan: p})
}

// ownKernel binds our own kernel for an op, on separate memory.
func (d *Device) ownKernel(op graph.Op) (*kernel, error) {
	shaped := op.(interface {
		InputShapes() []tensor.Shape
		OutputShape() tensor.Shape
	})
	in := engine.Instr{Op: op}
	for i, s := range append(shaped.InputShapes(), shaped.OutputShape()) {
		mem, err := d.Alloc(s.TotalSize())
		if err != nil {
			return nil, err
		}
		t := engine.Tensor{Mem: mem, Shape: s}
		if i == len(shaped.InputShapes()) {
			in.Out = t
			break
		}
		in.In = append(in.In, t)
	}
	k := &kernel{d: d, in: in, plan: &plan{d: d}}
	k.job = k.begin
	err := d.do(func() error { k.plan.fallback(in); return k.plan.err })
	return k, err
}
