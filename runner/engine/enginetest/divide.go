package enginetest

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"ablate/arch"
	"ablate/runner/engine"
	"ablate/runner/graph"
	"ablate/runner/random"
)

// Divide tests programs that several devices run together, with the columns of a net or the chunks of
// a batch on each. Their results must equal those of one device bit for bit. Nets of the registry keep
// one in narrow of their filters. open returns the device with the given number; the suite closes it.
func Divide(t *testing.T, narrow int, open func(t *testing.T, number int) engine.Device) {
	group := func(t *testing.T, n int) *engine.Group {
		t.Helper()
		var devices []engine.Device
		for i := range n {
			devices = append(devices, open(t, i))
		}
		g := engine.NewGroup(devices...)
		t.Cleanup(func() { g.Close() })
		return g
	}
	dev := open(t, 0)
	_, async := dev.(engine.Async) // the test does not count what a driver allocates
	if err := dev.Close(); err != nil {
		t.Fatal(err)
	}
	t.Run("columns", func(t *testing.T) { columns(t, narrow, group, !async) })
	t.Run("chunks", func(t *testing.T) { chunks(t, narrow, group) })
	t.Run("rules", func(t *testing.T) { rules(t, group) })
	t.Run("refused", func(t *testing.T) { refused(t, group) })
	t.Run("a device fails", func(t *testing.T) { failing(t, open) })
}

// Paper returns a net of the registry with a small input, narrow dense layers, and one in narrow of
// its filters.
func Paper(t *testing.T, name string, size, narrow int) *arch.Net {
	t.Helper()
	net, err := arch.Nets.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	net.Input.Height, net.Input.Width = size, size
	for i, l := range net.Layers {
		switch l := l.Spec.(type) {
		case *arch.Conv:
			l.Filters /= narrow
		case *arch.Dense:
			if i < len(net.Layers)-2 {
				l.Outputs = 64
			}
		}
	}
	return net
}

// twoColumns returns the net later with every layer divided, and with layers that later lacks.
func twoColumns() *arch.Net {
	net := later()
	net.Name, net.Columns = "two columns", 2
	at := slices.IndexFunc(net.Layers, func(l arch.Layer) bool { return l.Name == "fc3" })
	net.Layers = slices.Insert(net.Layers, at,
		arch.Layer{Name: "rrelu2", Spec: &arch.RReLU{Lower: 0.125, Upper: 0.4}},
		arch.Layer{Name: "pyramid2", Spec: &arch.SpatialPyramid{Levels: []int{1, 2}}},
		arch.Layer{Name: "drop2", Spec: &arch.Dropout{Rate: 0.2}})
	return net
}

// trained holds the results of a few steps: losses, logits, weights, velocities.
type trained struct {
	steps  []float32
	params map[string][]float32
	moved  int64
	prog   *engine.Program
}

func train(t *testing.T, where engine.Placement, net *arch.Net, batch, steps int) trained {
	t.Helper()
	return trainUnder(t, engine.Rule{}, where, net, batch, steps)
}

func trainUnder(t *testing.T, rule engine.Rule, where engine.Placement, net *arch.Net, batch, steps int) trained {
	t.Helper()
	g, err := graph.Build(net, where.ChunkOf(batch), true)
	if err != nil {
		t.Fatal(err)
	}
	params, err := engine.NewParamsUnder(rule, where, g.Params)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := engine.Train(g, params)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range g.Params {
		v := make([]float32, engine.Tensor{Shape: p.Shape}.Len())
		random.New(5, p.Name).Normal(v, 0, 0, math.Sqrt(2/float64(p.FanIn)))
		if err := params.SetWeights(p.Name, v); err != nil {
			t.Fatal(err)
		}
	}
	classes := g.Logits.Shape()[3]
	x, y := make([]float32, batch*net.Input.Len()), make([]float32, batch)
	out := trained{params: map[string][]float32{}, moved: prog.Moved(), prog: prog}
	for s := range steps {
		random.New(5, "x").Normal(x, uint64(s), 0, 1)
		labels(y, classes)
		if err := errors.Join(prog.Write(g.Input, x), prog.Write(g.Labels, y)); err != nil {
			t.Fatal(err)
		}
		prog.Context = engine.Context{Seed: 9, Step: uint64(s), Rate: 0.02, Momentum: 0.9, Decay: 5e-4}
		if err := prog.RunAll(); err != nil {
			t.Fatal(err)
		}
		read := make([]float32, 1+batch*classes)
		if err := errors.Join(prog.Read(g.Loss, read[:1]), prog.Read(g.Logits, read[1:])); err != nil {
			t.Fatal(err)
		}
		out.steps = append(out.steps, read...)
	}
	for _, name := range params.Names() {
		w, err := params.Weights(name)
		if err != nil {
			t.Fatal(err)
		}
		out.params[name] = w
		for _, state := range rule.State() {
			v, err := params.State(state, name)
			if err != nil {
				t.Fatal(err)
			}
			out.params[name] = append(out.params[name], v...)
		}
	}
	return out
}

// same checks that two trainings have equal bits.
func same(t *testing.T, what string, got, want trained) {
	t.Helper()
	differ := func(of string, got, want []float32) {
		t.Helper()
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Errorf("%s: value %d of %s is %v, on one device %v", what, i, of, got[i], want[i])
				return
			}
		}
	}
	differ("losses and logits", got.steps, want.steps)
	for name := range want.params {
		differ(name, got.params[name], want.params[name])
	}
}

func columns(t *testing.T, narrow int, group func(*testing.T, int) *engine.Group, ours bool) {
	for _, c := range []struct {
		net     *arch.Net
		batch   int
		crosses []string // layers whose input must come from the other device
	}{
		{tiny(), 5, []string{"relu3", "sigmoid4"}},
		{twoColumns(), 5, nil},
		{joined(), 5, nil},
		{Paper(t, "alexnet-32", 16, narrow), 6, []string{"pool2", "pool5"}},
		{Paper(t, "alexnet", 67, narrow), 3, []string{"pool2", "pool5"}},
		{Paper(t, "alexnet-2012-source", 67, narrow), 2, nil},
	} {
		t.Run(c.net.Name, func(t *testing.T) {
			one, two := engine.Placement{Group: group(t, 1)}, engine.Placement{Group: group(t, 2)}
			if err := two.Check(c.net, c.batch); err != nil {
				t.Fatal(err)
			}
			want, got := train(t, one, c.net, c.batch, 4), train(t, two, c.net, c.batch, 4)
			same(t, "two devices", got, want)
			if want.moved != 0 || got.moved == 0 {
				t.Errorf("one device moves %d bytes, two %d", want.moved, got.moved)
			}
			crossings(t, got.prog, c.crosses)
			var err error
			n := testing.AllocsPerRun(2, func() { err = got.prog.RunAll() })
			if n != 0 && ours || err != nil {
				t.Errorf("%v allocations a step, error %v", n, err)
			}
		})
	}
}

// crossings checks that columns meet at the given layers, and not at those where the paper's own
// columns meet.
func crossings(t *testing.T, prog *engine.Program, layers []string) {
	t.Helper()
	var transfers []string
	for i, name := range prog.Steps() {
		if prog.Cost(i).Moved > 0 {
			transfers = append(transfers, name)
		}
	}
	all := strings.Join(transfers, "\n")
	for _, l := range layers {
		if !strings.Contains(all, "{"+l+"}") {
			t.Errorf("the columns do not meet after %s:\n%s", l, all)
		}
	}
	for _, own := range []string{"{norm1}", "{pool1}", "{norm2}", "{conv4", "{conv5"} {
		if strings.Contains(all, own) {
			t.Errorf("a transfer at %s, whose columns are their own:\n%s", own, all)
		}
	}
}

func chunks(t *testing.T, narrow int, group func(*testing.T, int) *engine.Group) {
	const batch = 8
	for _, net := range []*arch.Net{tiny(), later(), twoColumns(), joined(), Paper(t, "alexnet-32", 16, narrow)} {
		t.Run(net.Name, func(t *testing.T) {
			want := train(t, engine.Placement{Group: group(t, 1), Chunks: 4}, net, batch, 4)
			for _, devices := range []int{2, 4} {
				where := engine.Placement{Group: group(t, devices), Chunks: 4}
				if err := where.Check(net, batch); err != nil {
					t.Fatal(err)
				}
				got := train(t, where, net, batch, 4)
				same(t, where.Group.Name(), got, want)
				if got.moved == 0 {
					t.Errorf("%d devices add up gradients without moving any", devices)
				}
			}
			if net.Name == "later" || net.Name == "two columns" || net.Name == "joined" {
				return // the statistics of its batch norms are computed for each chunk
			}
			whole := train(t, engine.Placement{Group: group(t, 1)}, net, batch, 4)
			for name, values := range whole.params {
				for i, v := range values {
					if diff := math.Abs(float64(want.params[name][i] - v)); diff > 1e-4 {
						t.Fatalf("%s: value %d is %v in chunks, %v of the whole batch", name, i, want.params[name][i], v)
					}
				}
			}
		})
	}
}

// rules checks that several devices train a net to the bits of one device under other rules than the
// paper's, including rules that need norms of weights and gradients.
func rules(t *testing.T, group func(*testing.T, int) *engine.Group) {
	for _, kind := range []string{"lars", "adam", "rmsprop"} {
		rule := ruleOf(t, kind)
		rule.Clip, rule.L1 = 0.3, 1e-3
		for _, chunks := range []int{0, 4} {
			want := trainUnder(t, rule, engine.Placement{Group: group(t, 1), Chunks: chunks}, tiny(), 8, 3)
			got := trainUnder(t, rule, engine.Placement{Group: group(t, 2), Chunks: chunks}, tiny(), 8, 3)
			same(t, kind, got, want)
			if free := trainUnder(t, ruleOf(t, kind), engine.Placement{Group: group(t, 1), Chunks: chunks}, tiny(), 8,
				3); slices.Equal(free.params["conv1.weight"], want.params["conv1.weight"]) {
				t.Errorf("%s: neither clipping nor L1 changes a weight", kind)
			}
		}
	}
}

func refused(t *testing.T, group func(*testing.T, int) *engine.Group) {
	two, four := group(t, 2), group(t, 4)
	joined := tiny()
	joined.Columns = 1
	joined.Layers[4].Spec.(*arch.Conv).WithinColumn = false
	for name, c := range map[string]struct {
		where engine.Placement
		net   *arch.Net
		want  string
	}{
		"one column":        {engine.Placement{Group: two}, joined, "no columns"},
		"too many devices":  {engine.Placement{Group: four}, tiny(), "2 columns"},
		"chunks of 3":       {engine.Placement{Group: two, Chunks: 3}, tiny(), "power of 2"},
		"uneven batch":      {engine.Placement{Group: two, Chunks: 16}, tiny(), "batch of 8"},
		"devices past them": {engine.Placement{Group: four, Chunks: 2}, tiny(), "2 chunks"},
	} {
		err := c.where.Check(c.net, 8)
		if !errors.Is(err, engine.ErrPlacement) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// failing checks that a device that fails also ends the step on the others, and that they work again
// afterwards.
func failing(t *testing.T, open func(t *testing.T, number int) engine.Device) {
	broken := &faulty{Device: open(t, 1)}
	group := engine.NewGroup(open(t, 0), broken)
	t.Cleanup(func() { group.Close() })
	where := engine.Placement{Group: group, Chunks: 2}
	g, err := graph.Build(tiny(), where.ChunkOf(4), true)
	if err != nil {
		t.Fatal(err)
	}
	params, err := engine.NewParams(where, g.Params)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := engine.Train(g, params)
	if err != nil {
		t.Fatal(err)
	}
	for _, fails := range []bool{false, true, false} {
		broken.fails = fails
		err := prog.RunAll()
		if (err != nil) != fails {
			t.Errorf("with a device that fails %v: %v", fails, err)
		}
		if err != nil && (!errors.Is(err, errFaulty) || !strings.Contains(err.Error(), "softmax-loss")) {
			t.Errorf("the error is %v, not that of the device that failed", err)
		}
	}
}

var errFaulty = errors.New("the device fails")

// faulty is a device whose losses fail when the test says so.
type faulty struct {
	engine.Device
	fails bool
}

func (d *faulty) Kernel(in engine.Instr) (engine.Kernel, error) {
	k, err := d.Device.Kernel(in)
	if _, ok := in.Op.(*graph.SoftmaxLoss); ok && err == nil {
		return &faultyKernel{k, d}, nil
	}
	return k, err
}

type faultyKernel struct {
	engine.Kernel
	d *faulty
}

func (k *faultyKernel) Run(c *engine.Context) error {
	if k.d.fails {
		return errFaulty
	}
	return k.Kernel.Run(c)
}
