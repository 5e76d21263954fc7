package runner

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"

	"ablate/arch"
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

// small is a net at the least input that fits it, so that its dense layers stay affordable.
func small(t *testing.T, name string) *arch.Net {
	t.Helper()
	net, err := arch.Nets.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	own := net.Input
	for side := min(32, own.Height); side <= own.Height; side++ {
		net.Input.Height, net.Input.Width = side, side
		if _, err := net.Infer(); err == nil {
			return net
		}
	}
	t.Fatalf("%s does not fit its own input", name)
	return nil
}

// trainedDigest trains 20 steps and hashes the weights. Kernels that this machine
// lacks are left out: there is nothing to compare.
func trainedDigest(t *testing.T, net *arch.Net, kernels string, threads int) [32]byte {
	t.Helper()
	t.Setenv("ABLATE_CPU", kernels)
	dev, err := OpenDevice("cpu", threads)
	if err != nil {
		if kernels != "" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	defer dev.Close()
	const batch = 3
	g, err := graph.Build(net, batch, true)
	if err != nil {
		t.Fatal(err)
	}
	params, err := engine.NewParams(dev, g.Params)
	if err != nil {
		t.Fatal(err)
	}
	if err := initialise(params, g.Params, 1); err != nil {
		t.Fatal(err)
	}
	prog, err := engine.Train(g, dev, params)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, batch*net.Input.Len())
	for step := range uint64(20) {
		random.New(1, "x").Normal(x, step, 0, 1)
		if err := prog.Write(g.Input, x); err != nil {
			t.Fatal(err)
		}
		if err := prog.Write(g.Labels, []float32{0, float32(step % 2), 1}); err != nil {
			t.Fatal(err)
		}
		prog.Context = engine.Context{Seed: 1, Step: step, Rate: 0.01, Momentum: 0.9, Decay: 5e-4}
		if err := prog.RunAll(); err != nil {
			t.Fatal(err)
		}
	}
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
