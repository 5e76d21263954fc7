package runner

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"ablate/arch"
	"ablate/configs"
	"ablate/runner/engine"
	"ablate/runner/graph"
	"ablate/runner/random"
)

// The weights after 20 steps are the same bits for every number of threads, and
// for AVX2 and AVX-512: of every net that ships.
func TestWeightsDoNotDependOnThreadsOrVectors(t *testing.T) {
	if testing.Short() {
		t.Skip("trains every net five times")
	}
	for _, name := range arch.Nets.Names() {
		t.Run(name, func(t *testing.T) {
			net := small(t, name)
			want := trainedDigest(t, net, "", 1)
			for _, c := range []struct {
				kernels string
				threads int
			}{{"", 2}, {"", 3}, {"", 7}, {"avx2", 2}} {
				if got := trainedDigest(t, net, c.kernels, c.threads); got != want {
					t.Errorf("%d threads, kernels %q: other weights than one thread's", c.threads, c.kernels)
				}
			}
		})
	}
}

// small is a shipped net, shrunk.
func small(t *testing.T, name string) *arch.Net {
	t.Helper()
	net, err := arch.Nets.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return shrunk(t, net)
}

// shrunk is a net with narrow dense layers and at the least input that fits it,
// so that a step stays affordable. All its layers are there.
func shrunk(t *testing.T, net *arch.Net) *arch.Net {
	t.Helper()
	net = net.Clone()
	for i, l := range net.Layers[:len(net.Layers)-2] {
		switch p := l.Spec.(type) {
		case *arch.Dense:
			p.Outputs = min(p.Outputs, 128)
		case *arch.Conv: // dense layers within columns
			if i > 0 && p.Filters >= 4096 {
				p.Filters = 128
			}
		}
	}
	own := net.Input
	for side := min(32, own.Height); side <= own.Height; side++ {
		net.Input.Height, net.Input.Width = side, side
		if _, err := net.Infer(); err == nil {
			return net
		}
	}
	t.Fatalf("%s does not fit its own input", net.Name)
	return nil
}

// A bench trains one net on batches that the test makes up.
type bench struct {
	graph  *graph.Graph
	params *engine.Params
	prog   *engine.Program
	x      []float32
}

func newBench(t *testing.T, where engine.Placement, net *arch.Net, batch int) *bench {
	t.Helper()
	g, err := graph.Build(net, where.ChunkOf(batch), true)
	if err != nil {
		t.Fatal(err)
	}
	params, err := engine.NewParams(where, g.Params)
	if err != nil {
		t.Fatal(err)
	}
	if err := initialise(params, g.Params, 1); err != nil {
		t.Fatal(err)
	}
	prog, err := engine.Train(g, params)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{g, params, prog, make([]float32, batch*net.Input.Len())}
}

// step trains on noise number n, whose labels are given, and gives the loss.
func (b *bench) step(t *testing.T, c engine.Context, n uint64, labels []float32) float32 {
	t.Helper()
	random.New(1, "x").Normal(b.x, n, 0, 1)
	if err := b.prog.Write(b.graph.Input, b.x); err != nil {
		t.Fatal(err)
	}
	if err := b.prog.Write(b.graph.Labels, labels); err != nil {
		t.Fatal(err)
	}
	b.prog.Context = c
	if err := b.prog.RunAll(); err != nil {
		t.Fatal(err)
	}
	loss := []float32{0}
	if err := b.prog.Read(b.graph.Loss, loss); err != nil {
		t.Fatal(err)
	}
	return loss[0]
}

// allocatesNothing checks that a step of any layer leaves nothing to collect.
func (b *bench) allocatesNothing(t *testing.T) {
	t.Helper()
	var err error
	if n := testing.AllocsPerRun(2, func() { err = b.prog.RunAll() }); n != 0 || err != nil {
		t.Errorf("%v allocations a step, error %v", n, err)
	}
}

// Every shipped net learns a batch by heart: the loss falls below a tenth of its
// start. Weights start from He et al. 2015, since a std of 0.01 is meant for
// layers of thousands of inputs, and nothing is dropped.
func TestEveryNetLearnsABatchByHeart(t *testing.T) {
	if testing.Short() {
		t.Skip("trains every net")
	}
	dev, err := OpenDevices("cpu", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	labels := []float32{0, 1, 2, 3, 4, 5, 6, 7}
	for _, name := range arch.Nets.Names() {
		t.Run(name, func(t *testing.T) {
			net := small(t, name)
			for _, l := range net.Layers {
				switch p := l.Spec.(type) {
				case *arch.Conv:
					p.Init = arch.Init{Kind: arch.He}
				case *arch.Local:
					p.Init = arch.Init{Kind: arch.He}
				case *arch.Dense:
					p.Init = arch.Init{Kind: arch.He}
				case *arch.Dropout:
					p.Rate = 0
				}
			}
			b := newBench(t, engine.Placement{Group: dev.Group}, net, len(labels))
			first, last := float32(0), float32(0)
			const most = 400
			for step := range uint64(most) {
				last = b.step(t, engine.Context{Seed: 1, Step: step, Rate: 0.003, Momentum: 0.9}, 0, labels)
				if step == 0 {
					first = last
				}
				if last < first/10 {
					b.allocatesNothing(t)
					return
				}
			}
			t.Errorf("after %d steps the loss went from %v to %v", most, first, last)
		})
	}
}

// Every variant of every shipped study builds, and a step of it gives a finite
// loss and changes the first weights that learn.
func TestEveryVariantTakesAStep(t *testing.T) {
	if testing.Short() {
		t.Skip("builds every variant")
	}
	t.Setenv("ABLATE_DATA", t.TempDir())
	dev, err := OpenDevices("cpu", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for _, study := range configs.Names() {
		s, err := configs.Load(study, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range s.Variants {
			t.Run(study+"/"+v.Name, func(t *testing.T) {
				b := newBench(t, engine.Placement{Group: dev.Group}, shrunk(t, v.Recipe.Net), 3)
				learned := b.graph.Params[slices.IndexFunc(b.graph.Params, func(p graph.Param) bool { return p.LR > 0 })].Name
				before, err := b.params.Weights(learned)
				if err != nil {
					t.Fatal(err)
				}
				loss := b.step(t, engine.Context{Seed: 1, Rate: 0.01, Momentum: 0.9, Decay: 0.1}, 0, []float32{0, 1, 2})
				if !(loss > 0 && loss < 100) {
					t.Errorf("the loss is %v", loss)
				}
				b.allocatesNothing(t)
				after, err := b.params.Weights(learned)
				if err != nil {
					t.Fatal(err)
				}
				if slices.Equal(before, after) {
					t.Errorf("%s did not move", learned)
				}
			})
		}
	}
}

// trainedDigest trains 20 steps and hashes the weights. Kernels that this machine
// lacks are left out: there is nothing to compare.
func trainedDigest(t *testing.T, net *arch.Net, kernels string, threads int) [32]byte {
	t.Helper()
	t.Setenv("ABLATE_CPU", kernels)
	dev, err := OpenDevices("cpu", threads)
	if err != nil {
		if kernels != "" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	defer dev.Close()
	return digestOf(t, engine.Placement{Group: dev.Group}, net, 20, 0, 0, 1)
}

// digestOf trains some steps on noise of the given labels, of which the second changes, and hashes the weights.
func digestOf(t *testing.T, where engine.Placement, net *arch.Net, steps uint64, labels ...float32) [32]byte {
	t.Helper()
	b := newBench(t, where, net, len(labels))
	for step := range steps {
		labels[1] = float32(step % 2)
		b.step(t, engine.Context{Seed: 1, Step: step, Rate: 0.01, Momentum: 0.9, Decay: 5e-4}, step, labels)
	}
	return digestOfParams(t, b.params)
}

// digestOfParams is one of all weights.
func digestOfParams(t *testing.T, params *engine.Params) [32]byte {
	t.Helper()
	h := sha256.New()
	for _, name := range params.Names() {
		w, err := params.Weights(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(h, name)
		if err := binary.Write(h, binary.LittleEndian, w); err != nil {
			t.Fatal(err)
		}
	}
	return [32]byte(h.Sum(nil))
}
