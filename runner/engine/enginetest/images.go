package enginetest

import (
	"math"
	"strings"
	"testing"

	"ablate/arch"
	"ablate/runner/augment"
	"ablate/runner/engine"
	"ablate/runner/graph"
	"ablate/runner/random"
)

// Images tests devices with engine.ImageMemory, alone and several together: the input that they
// compute from stored images must have the bits of its plain definition. open returns the device with
// the given number; the suite closes it.
func Images(t *testing.T, open func(t *testing.T, number int) engine.Device) {
	on := func(t *testing.T, devices, chunks int) engine.Placement {
		t.Helper()
		var all []engine.Device
		for i := range devices {
			all = append(all, open(t, i))
		}
		where := engine.Placement{Group: engine.NewGroup(all...), Chunks: chunks}
		t.Cleanup(func() { where.Group.Close() })
		return where
	}
	for _, k := range []struct {
		name            string
		devices, chunks int
	}{{"one device", 1, 0}, {"columns", 2, 0}, {"chunks on one device", 1, 4}, {"chunks", 2, 4}} {
		t.Run(k.name, func(t *testing.T) {
			net := tiny()
			prog, g := evaluating(t, on(t, k.devices, k.chunks), net, 8)
			if !prog.TakesImages(g.Input) {
				t.Fatal("the program takes no images")
			}
			for _, fixed := range []bool{false, true} {
				showing(t, prog, g, net.Input, stored(net.Input, 8, fixed))
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		net := tiny()
		prog, g := evaluating(t, on(t, 1, 0), net, 8)
		refusedImages(t, prog, g, stored(net.Input, 8, true))
	})
}

// evaluating returns a program that computes a net's logits.
func evaluating(t *testing.T, where engine.Placement, net *arch.Net, batch int) (*engine.Program, *graph.Graph) {
	t.Helper()
	g, err := graph.Build(net, where.ChunkOf(batch), false)
	if err != nil {
		t.Fatal(err)
	}
	params, err := engine.NewParams(where, g.Params)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range g.Params {
		v := make([]float32, engine.Tensor{Shape: p.Shape}.Len())
		random.New(5, p.Name).Normal(v, 0, 0, math.Sqrt(1/float64(p.FanIn)))
		if err := params.SetWeights(p.Name, v); err != nil {
			t.Fatal(err)
		}
	}
	prog, err := engine.Evaluate(g, params)
	if err != nil {
		t.Fatal(err)
	}
	return prog, g
}

// stored returns random images, a little larger than the input, and a view of every kind: within the
// image, over each of its sides, past it; mirrored, with shifted colours, both.
func stored(cut arch.Shape, n int, fixed bool) augment.Images {
	m := augment.Images{Shape: shape(cut.Height+3, cut.Width+2, cut.Channels)}
	values := make([]float32, m.Shape.Len())
	for i := range n {
		random.New(3, "pixels").Normal(values, uint64(i), 128, 60)
		for _, v := range values {
			m.Pixels = append(m.Pixels, byte(max(0, min(255, v))))
		}
	}
	m.Mean = make([]float32, m.Shape.Len())
	random.New(3, "mean").Normal(m.Mean, 0, 128, 20)
	if fixed { // another pipeline, with another mean
		random.New(3, "mean").Normal(m.Mean, 1, 128, 20)
		m.MeanAt = &[2]int{1, 2}
	}
	height, width := int32(m.Shape.Height), int32(m.Shape.Width)
	places := [][2]int32{{1, 2}, {0, 0}, {-2, 1}, {2, -1}, {height - 4, 1}, {1, width - 5}, {height, 0}, {-1, -width}}
	for i := range n {
		at := places[i%len(places)]
		v := augment.Transform{Top: at[0], Left: at[1], Flip: i%2 == 1, Scale: 1 / float32(3+i)}
		if i%3 > 0 {
			v.Shifted, v.Shift = true, [3]float32{1.7, -20.3, float32(i) / 7}
		}
		m.Transforms = append(m.Transforms, v)
	}
	return m
}

// shown returns a value of an input by definition: the value of image i at a row, column and channel
// of its cut.
func shown(m augment.Images, cut arch.Shape, i, y, x, c int) float32 {
	v := m.Transforms[i]
	if v.Flip {
		x = cut.Width - 1 - x
	}
	row, column := int(v.Top)+y, int(v.Left)+x
	if row < 0 || row >= m.Shape.Height || column < 0 || column >= m.Shape.Width {
		return 0
	}
	place := func(row, column int) int { return (row*m.Shape.Width+column)*m.Shape.Channels + c }
	mean := m.Mean[place(row, column)]
	if m.MeanAt != nil {
		mean = m.Mean[place(m.MeanAt[0]+y, m.MeanAt[1]+x)]
	}
	value := float32(m.Pixels[i*m.Shape.Len()+place(row, column)]) - mean
	if v.Shifted {
		value += v.Shift[c]
	}
	return value * v.Scale
}

func showing(t *testing.T, prog *engine.Program, g *graph.Graph, cut arch.Shape, m augment.Images) {
	t.Helper()
	if err := prog.WriteImages(g.Input, m); err != nil {
		t.Fatal(err)
	}
	got := make([]float32, len(m.Transforms)*cut.Len())
	if err := prog.Read(g.Input, got); err != nil {
		t.Fatal(err)
	}
	for at, value := range got {
		i, y, x, c := at/cut.Len(), at/(cut.Width*cut.Channels)%cut.Height, at/cut.Channels%cut.Width, at%cut.Channels
		if want := shown(m, cut, i, y, x, c); math.Float32bits(value) != math.Float32bits(want) {
			t.Fatalf("image %d, shown as %+v, is %v at row %d, column %d, channel %d, want %v", i, m.Transforms[i], value, y,
				x, c, want)
		}
	}
	// All devices have the input: copies that differ would lead to other logits.
	logits, again := make([]float32, len(m.Transforms)*g.Logits.Shape()[3]),
		make([]float32, len(m.Transforms)*g.Logits.Shape()[3])
	run := func(to []float32) {
		t.Helper()
		if err := prog.RunAll(); err != nil {
			t.Fatal(err)
		}
		if err := prog.Read(g.Logits, to); err != nil {
			t.Fatal(err)
		}
	}
	run(logits)
	if err := prog.Write(g.Input, got); err != nil {
		t.Fatal(err)
	}
	run(again)
	for i, v := range logits {
		if math.Float32bits(v) != math.Float32bits(again[i]) {
			t.Fatalf("logit %d is %v, from the same input as floats %v", i, v, again[i])
		}
	}
}

// refusedImages checks that nothing is read or written out of bounds.
func refusedImages(t *testing.T, prog *engine.Program, g *graph.Graph, good augment.Images) {
	t.Helper()
	for want, spoil := range map[string]func(m *augment.Images){
		"for an input of shape": func(m *augment.Images) { m.Shape.Channels = 1 },
		"7 views":               func(m *augment.Images) { m.Transforms = m.Transforms[:7] },
		"bytes for 8 images":    func(m *augment.Images) { m.Pixels = m.Pixels[1:] },
		"a mean of":             func(m *augment.Images) { m.Mean = m.Mean[1:] },
		"no cut":                func(m *augment.Images) { m.MeanAt = &[2]int{1, 3} },
		"row -1":                func(m *augment.Images) { m.MeanAt = &[2]int{-1, 0} },
	} {
		m := good
		spoil(&m)
		if err := prog.WriteImages(g.Input, m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if err := prog.WriteImages(g.Logits, good); err == nil {
		t.Error("images are taken for logits")
	}
}
