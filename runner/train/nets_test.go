package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"

	"ablate/arch"
	"ablate/configs"
	"ablate/recipe"
	"ablate/runner/device"
	"ablate/runner/engine"
	"ablate/runner/graph"
	"ablate/runner/random"
)

// netNames returns the nets that ship: all of them in a long test, otherwise a few that have every
// kind of layer, with and without towers.
func netNames(t *testing.T) []string {
	t.Helper()
	names := arch.Nets.Names()
	if long {
		return names
	}
	size := map[string]int{}
	kinds := map[string][]string{}
	for _, name := range names {
		net := small(t, name)
		size[name] = net.Input.Len() * len(net.Places())
		for l := range net.All() {
			kinds[name] = append(kinds[name], fmt.Sprintf("%T, %d columns", l.Spec, max(net.Columns, 1)))
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return size[a] - size[b] })
	seen := map[string]bool{}
	return slices.DeleteFunc(names, func(name string) bool {
		before := len(seen)
		for _, kind := range kinds[name] {
			seen[kind] = true
		}
		return len(seen) == before
	})
}

// The weights after some steps have the same bits for every number of threads, and for AVX2 and
// AVX-512.
func TestWeightsDoNotDependOnThreadsOrVectors(t *testing.T) {
	type on struct {
		kernels string
		threads int
	}
	steps, others := uint64(5), []on{{"", 3}, {"avx2", 2}}
	if long {
		steps, others = 20, []on{{"", 2}, {"", 3}, {"", 7}, {"avx2", 2}}
	}
	for _, name := range netNames(t) {
		t.Run(name, func(t *testing.T) {
			net := small(t, name)
			want := trainedDigest(t, net, "", 1, steps)
			for _, c := range others {
				if got := trainedDigest(t, net, c.kernels, c.threads, steps); got != want {
					t.Errorf("%d threads, kernels %q: other weights than one thread's", c.threads, c.kernels)
				}
			}
		})
	}
}

// Every shipped net gets the weights of a single device if its columns are on two devices (if it
// has two columns), and if the chunks of its batch are on one or two devices.
func TestEveryNetOnTwoDevices(t *testing.T) {
	one, two := opened(t, "cpu", 1), opened(t, "cpu:0,cpu:1", 2)
	for _, name := range netNames(t) {
		t.Run(name, func(t *testing.T) {
			net := small(t, name)
			for _, chunks := range []int{0, 2} {
				if chunks == 0 && net.Columns < 2 {
					continue
				}
				where := engine.Placement{Group: two, Chunks: chunks}
				if err := where.Check(net, 4); err != nil {
					t.Fatal(err)
				}
				want := digestOf(t, engine.Placement{Group: one, Chunks: chunks}, net, 2, 0, 1, 0, 1)
				if digestOf(t, where, net, 2, 0, 1, 0, 1) != want {
					t.Errorf("other weights on two devices than on one, in %d chunks", chunks)
				}
			}
		})
	}
}

// small returns a shipped net, shrunk.
func small(t *testing.T, name string) *arch.Net {
	t.Helper()
	net, err := arch.Nets.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return shrunk(t, net)
}

// deep reports whether a net has parts, or more convolutions than any net before VGG.
func deep(net *arch.Net) bool {
	convs := 0
	for l := range net.All() {
		if _, ok := l.Spec.(*arch.Conv); ok {
			convs++
		}
		if len(l.Lists()) > 0 {
			return true
		}
	}
	return convs > 7
}

// shrunk returns a net with narrow dense layers and the smallest input that fits it, so that a
// step is affordable. It keeps all layers, except in a block that is repeated more than twice.
// Unless the test is long, it also keeps only a quarter of the filters of convolutions. In a deep
// net it always does: the full net would take minutes and prove no more.
func shrunk(t *testing.T, net *arch.Net) *arch.Net {
	t.Helper()
	net = net.Clone()
	whole := long && !deep(net)
	quarter := func(filters int) int { // a number that can still be split into towers and maxout pieces
		if whole || filters < 16 {
			return filters
		}
		return filters / 16 * 4
	}
	factors := map[arch.Spec]bool{} // dense layers with one output per channel
	for l := range net.All() {
		if p, ok := l.Spec.(*arch.SqueezeExcitation); ok {
			for _, inner := range p.Layers {
				factors[inner.Spec] = true
			}
		}
	}
	for l := range net.All() {
		if l == &net.Layers[len(net.Layers)-2] { // the layer of the classes
			continue
		}
		switch p := l.Spec.(type) {
		case *arch.Dense:
			outputs := p.Outputs
			if p.Outputs = min(p.Outputs, 128); factors[p] {
				p.Outputs = quarter(outputs)
			}
		case *arch.Repeat:
			p.Times = min(p.Times, 2)
		case *arch.Conv:
			if l != &net.Layers[0] && p.Filters >= 4096 { // dense layers within columns
				p.Filters = 128
			}
			depthwise := p.Groups == p.Filters
			if p.Filters = quarter(p.Filters); depthwise {
				p.Groups = p.Filters
			}
		case *arch.Local:
			p.Filters = quarter(p.Filters)
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

// A bench trains one net on batches that the test generates.
type bench struct {
	*Model
	x     []float32
	nudge float32 // the amount by which inputs move, up or down
}

func newBench(t *testing.T, where engine.Placement, net *arch.Net, batch int) *bench {
	t.Helper()
	m, err := Compile(t.Context(), recipe.Recipe{Net: net, Train: recipe.Train{Batch: batch}}, where, 1)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{Model: m, x: make([]float32, batch*net.Input.Len())}
}

// step trains on noise number n with the given labels and returns the loss.
func (b *bench) step(t *testing.T, c engine.Context, n uint64, labels []float32) float32 {
	t.Helper()
	random.New(1, "x").Normal(b.x, n, 0, 1)
	if b.nudge != 0 {
		signs := make([]float32, len(b.x))
		random.New(1, "nudge").Normal(signs, n, 0, 1)
		for i, sign := range signs {
			b.x[i] += float32(math.Copysign(float64(b.nudge), float64(sign)))
		}
	}
	if err := b.Program.Write(b.Graph.Input, b.x); err != nil {
		t.Fatal(err)
	}
	if err := b.Program.Write(b.Graph.Labels, labels); err != nil {
		t.Fatal(err)
	}
	b.Program.Context = c
	if err := b.Program.RunAll(); err != nil {
		t.Fatal(err)
	}
	loss := []float32{0}
	if err := b.Program.Read(b.Graph.Loss, loss); err != nil {
		t.Fatal(err)
	}
	return loss[0]
}

// allocatesNothing checks that a step of any layer leaves no garbage.
func (b *bench) allocatesNothing(t *testing.T) {
	t.Helper()
	var err error
	if n := testing.AllocsPerRun(2, func() { err = b.Program.RunAll() }); n != 0 || err != nil {
		t.Errorf("%v allocations a step, error %v", n, err)
	}
}

// Every shipped net can memorise a batch: the loss falls below a tenth of its initial value.
// Weights start as in He et al. 2015, since a std of 0.01 is meant for layers with thousands of
// inputs. There is no dropout.
func TestEveryNetLearnsABatchByHeart(t *testing.T) {
	dev := opened(t, "cpu", 2)
	labels := []float32{0, 1, 2, 3, 4, 5, 6, 7}
	for _, name := range netNames(t) {
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
			if scores := rectifiedScores(net); scores != nil {
				// Otherwise the first steps could leave a class at zero, where it has no gradient.
				scores.Init = arch.Init{Kind: arch.Gaussian, Std: 0.01, Bias: 1}
			}
			b := newBench(t, engine.Placement{Group: dev}, net, len(labels))
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

// rectifiedScores returns the convolution whose rectified maps are the scores of the classes, as
// in Network in Network, or nil.
func rectifiedScores(net *arch.Net) *arch.Conv {
	for i := range net.Layers[:len(net.Layers)-2] {
		conv, isConv := net.Layers[i].Spec.(*arch.Conv)
		_, relu := net.Layers[i+1].Spec.(*arch.ReLU)
		_, pool := net.Layers[i+2].Spec.(*arch.GlobalAvgPool)
		if isConv && relu && pool {
			return conv
		}
	}
	return nil
}

// Every net of every shipped study can be built. One step of it has a finite loss and changes the
// first weights that are learned.
func TestEveryVariantTakesAStep(t *testing.T) {
	t.Setenv("ABLATE_DATA", t.TempDir())
	dev := opened(t, "cpu", 2)
	seen := map[string]bool{}
	for _, study := range configs.Names() {
		s, err := configs.Load(study, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range s.Variants {
			text, err := json.Marshal(shrunk(t, v.Recipe.Net))
			if err != nil {
				t.Fatal(err)
			}
			if seen[string(text)] { // its recipe differs only in what does not affect a step
				continue
			}
			seen[string(text)] = true
			t.Run(study+"/"+v.Name, func(t *testing.T) {
				b := newBench(t, engine.Placement{Group: dev}, shrunk(t, v.Recipe.Net), 3)
				learned := b.Graph.Params[slices.IndexFunc(b.Graph.Params, func(p graph.Param) bool { return p.LR > 0 })].Name
				before, err := b.Params.Weights(learned)
				if err != nil {
					t.Fatal(err)
				}
				loss := b.step(t, engine.Context{Seed: 1, Rate: 0.01, Momentum: 0.9, Decay: 0.1}, 0, []float32{0, 1, 2})
				if !(loss > 0 && loss < 100) {
					t.Errorf("the loss is %v", loss)
				}
				b.allocatesNothing(t)
				after, err := b.Params.Weights(learned)
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

// trainedDigest trains some steps and returns a hash of the weights. It skips kernels that this
// machine lacks.
func trainedDigest(t *testing.T, net *arch.Net, kernels string, threads int, steps uint64) [32]byte {
	t.Helper()
	t.Setenv("ABLATE_CPU", kernels)
	dev, err := device.Open("cpu", threads)
	if err != nil {
		if kernels != "" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	defer dev.Close()
	return digestOf(t, engine.Placement{Group: dev}, net, steps, 0, 0, 1)
}

// digestOf trains some steps on noise with the given labels, the second of which changes, and
// returns a hash of the weights.
func digestOf(t *testing.T, where engine.Placement, net *arch.Net, steps uint64, labels ...float32) [32]byte {
	t.Helper()
	b := newBench(t, where, net, len(labels))
	for step := range steps {
		labels[1] = float32(step % 2)
		b.step(t, engine.Context{Seed: 1, Step: step, Rate: 0.01, Momentum: 0.9, Decay: 5e-4}, step, labels)
	}
	return digestOfParams(t, b.Params)
}

// digestOfParams returns a hash of all weights.
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
