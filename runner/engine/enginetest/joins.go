package enginetest

import (
	"fmt"

	"ablate/arch"
	"ablate/runner/graph"
)

// joins adds to the cases the ops where layers come together, and the ops without biases.
func joins(all map[string]op) {
	for _, s := range []arch.Shape{shape(5, 7, 33), shape(4, 4, 16), shape(1, 1, 3)} {
		for _, n := range []int{2, 3, 4} {
			all[fmt.Sprintf("add %d of %v", n, s)] = graph.NewAdd("l", 3, s, n)
		}
		all[fmt.Sprintf("scale %v", s)] = graph.NewScale("l", 3, s)
		all[fmt.Sprintf("scale factor grad %v", s)] = graph.NewScaleFactorGrad("l", 3, s)
		all[fmt.Sprintf("global avg pool of %v", s)] = graph.NewAvgPool("l", 3, global(s))
		all[fmt.Sprintf("global avg pool grad of %v", s)] = graph.NewAvgPoolGrad("l", 3, global(s))
	}
	for _, channels := range [][]int{{3, 5}, {16, 16, 8}, {1, 64, 32, 7}} {
		var shapes []arch.Shape
		total := 0
		for _, c := range channels {
			shapes = append(shapes, shape(5, 3, c))
			total += c
		}
		whole := graph.NewConcat("l", 3, shapes)
		all[fmt.Sprint("concat ", channels)] = whole
		all[fmt.Sprint("slice ", channels)] = graph.NewSlice("l", 3, shape(5, 3, total), channels[0], channels[1])
		for i := range 2 {
			part, err := whole.Shard(graph.Split{I: i, Of: 2})
			if err != nil {
				panic(err)
			}
			all[fmt.Sprintf("concat %v, device %d", channels, i)] = part.Op.(op)
		}
	}
	for _, p := range []struct {
		in, out arch.Shape
		stride  int
	}{{shape(8, 6, 4), shape(4, 3, 8), 2}, {shape(7, 9, 16), shape(3, 3, 33), 3}, {shape(5, 5, 8), shape(5, 5, 12), 1},
		{shape(5, 7, 3), shape(3, 4, 3), 2}} {
		for i := range 2 {
			name := fmt.Sprintf("%v to %v, device %d", p.in, p.out, i)
			forward, err := graph.NewPad("l", 3, p.in, p.out, p.stride).Shard(graph.Split{I: i, Of: 2})
			if err != nil {
				panic(err)
			}
			back, err := graph.NewPadGrad("l", 3, p.in, p.out, p.stride).Shard(graph.Split{I: i, Of: 2})
			if err != nil {
				panic(err)
			}
			all["pad "+name], all["pad grad "+name] = forward.Op.(op), back.Op.(op)
		}
		all[fmt.Sprintf("pad %v to %v", p.in, p.out)] = graph.NewPad("l", 3, p.in, p.out, p.stride)
		all[fmt.Sprintf("pad grad %v to %v", p.in, p.out)] = graph.NewPadGrad("l", 3, p.in, p.out, p.stride)
	}
	for _, n := range []struct {
		s      arch.Shape
		groups int
	}{{shape(5, 7, 24), 4}, {shape(4, 4, 16), 1}, {shape(3, 3, 5), 5}, {shape(1, 1, 32), 2}} {
		for i := range 2 {
			name := fmt.Sprintf("%v in %d groups, device %d", n.s, n.groups, i)
			g := graph.WholeGroups(n.s, n.groups, 1e-3)
			for what, o := range map[string]graph.Op{
				"group norm ": graph.NewGroupNorm("l", 3, g), "group norm grad ": graph.NewGroupNormGrad("l", 3, g),
				"group norm scale grad ": graph.NewGroupNormScaleGrad("l", 3, g),
			} {
				part, err := o.Shard(graph.Split{I: i, Of: 2})
				if err != nil {
					panic(err)
				}
				all[what+name], all[what+name+" of one"] = part.Op.(op), o.(op)
			}
		}
	}
	for _, c := range convolutions[1:5] {
		all["conv without bias "+c.name] = graph.NewConv("l", c.batch, c.w).WithoutBias()
		all["local without bias "+c.name] = graph.NewLocal("l", c.batch, c.w).WithoutBias()
	}
	all["dense without bias"] = graph.NewDense("l", 7, shape(2, 2, 16), 70).WithoutBias()
}

// global returns the window of a pooling over the whole image.
func global(s arch.Shape) graph.Window {
	return graph.Window{In: s, Out: shape(1, 1, s.Channels), Kernel: max(s.Height, s.Width), Stride: 1, Groups: 1}
}

// joined returns a net that is not a chain. It has each way in which layers come together, nested and
// one behind the other, so that several layers read the same value.
func joined() *arch.Net {
	net, err := arch.Parse("joined", []byte(`
net: joined
input: {height: 9, width: 8, channels: 3}
columns: 2
layers:
  - conv: {name: first, filters: 8, kernel: 3, pad: 1, bias: false, init: {kind: he}}
  - repeat:
      name: stage
      times: 2
      layers:
        - residual:
            name: same
            layers:
              - conv: {name: a, filters: 8, kernel: 3, pad: 1, bias: false, init: {kind: he}}
              - tanh: {}
              - batch_norm: {}
              - conv: {name: b, filters: 8, kernel: 1, init: {kind: he}}
        - relu: {}
  - squeeze_excitation:
      name: se
      layers: [{global_avgpool: {name: squeeze}}, {dense: {outputs: 8, init: {kind: he}}}, {sigmoid: {}}]
  - residual:
      name: down
      shortcut: pad
      layers:
        - conv: {name: c, filters: 12, kernel: 3, stride: 2, pad: 1, groups: 2, init: {kind: he}}
  - residual:
      name: more
      shortcut: projection
      layers:
        - elu: {}
        - branches:
            name: both
            paths:
              - [{conv: {name: d, filters: 6, kernel: 1, init: {kind: he}}}, {relu: {}}]
              - - maxpool: {name: max, kernel: 3, stride: 1, pad: 1}
                - conv: {name: e, filters: 10, kernel: 1, init: {kind: he}}
              - []
  - branches:
      name: sum
      join: add
      paths: [[], [{sigmoid: {}}], [{tanh: {}}], [{avgpool: {name: mean, kernel: 3, stride: 1, pad: 1}}]]
  - silu: {}
  - group_norm: {name: gn, groups: 4}
  - layer_norm: {name: ln}
  - residual: {name: dense, shortcut: concat, layers: [{conv: {name: f, filters: 4, kernel: 1, init: {kind: he}}}]}
  - residual: {name: all, shortcut: projection_always, layers: [{tanh: {}}]}
  - global_avgpool: {name: whole}
  - dense: {name: last, outputs: 4, bias: false, init: {kind: he}}
  - softmax_loss: {}
`))
	if err != nil {
		panic(err)
	}
	return net
}
