package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"ablate/arch"
)

// LRNParams holds the constants of local response normalisation: y = x·(K + Alpha·Σx²)^−Beta.
// Alpha is the factor of the sum: if the net divides it by the window's area, that has already
// been done.
type LRNParams struct {
	Size   int
	Alpha  float64
	Beta   float64
	K      float64
	Groups int  // columns: a window across maps does not leave its column
	Within bool // the window is Size×Size pixels of one map, not Size maps
}

// LRN is local response normalisation: x → y.
type LRN struct {
	meta
	Shape arch.Shape
	LRNParams
}

// NewLRN makes a normalisation layer.
func NewLRN(layer string, batch int, s arch.Shape, n LRNParams) *LRN {
	o := &LRN{Shape: s, LRNParams: n}
	o.meta = meta{
		kind: "lrn", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %+v", s, n),
		in:  []tensor.Shape{nhwc(batch, s)},
		out: nhwc(batch, s),
		f32: func(in [][]float32, out []float32) { lrn(o.Batch, o.Shape, o.LRNParams, in[0], out) },
		f64: func(in [][]float64, out []float64) { lrn(o.Batch, o.Shape, o.LRNParams, in[0], out) },
	}
	return o
}

// DiffWRT reports that the input has a gradient.
func (o *LRN) DiffWRT(n int) []bool { return all(1, n) }

// SymDiff returns the gradient to the input. The sums are computed again from x, which is cheaper
// than storing them.
func (o *LRN) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := applied(NewLRNGrad(o.Layer, o.Batch, o.Shape, o.LRNParams), in[0], dy)
	return gorgonia.Nodes{dx}, err
}

// LRNGrad is the gradient of LRN: (x, dy) → dx.
type LRNGrad struct {
	meta
	Shape arch.Shape
	LRNParams
}

// NewLRNGrad makes the gradient of a normalisation layer.
func NewLRNGrad(layer string, batch int, s arch.Shape, n LRNParams) *LRNGrad {
	o := &LRNGrad{Shape: s, LRNParams: n}
	o.meta = meta{
		kind: "lrn-grad", Layer: layer, Batch: batch, params: fmt.Sprintf("%+v %+v", s, n),
		in:  []tensor.Shape{nhwc(batch, s), nhwc(batch, s)},
		out: nhwc(batch, s),
		f32: func(in [][]float32, out []float32) { lrnGrad(o.Batch, o.Shape, o.LRNParams, in[0], in[1], out) },
		f64: func(in [][]float64, out []float64) { lrnGrad(o.Batch, o.Shape, o.LRNParams, in[0], in[1], out) },
	}
	return o
}

// window calls f with the indices of the activations in the window around each activation.
func (n LRNParams) window(batch int, s arch.Shape, f func(i, j int)) {
	half := n.Size / 2
	per := s.Channels / n.Groups
	for img := range batch {
		for y := range s.Height {
			for x := range s.Width {
				for c := range s.Channels {
					at := func(y, x, c int) int { return ((img*s.Height+y)*s.Width+x)*s.Channels + c }
					if n.Within {
						for yy := max(0, y-half); yy <= min(s.Height-1, y+half); yy++ {
							for xx := max(0, x-half); xx <= min(s.Width-1, x+half); xx++ {
								f(at(y, x, c), at(yy, xx, c))
							}
						}
						continue
					}
					first := c / per * per
					for cc := max(first, c-half); cc <= min(first+per-1, c+half); cc++ {
						f(at(y, x, c), at(y, x, cc))
					}
				}
			}
		}
	}
}

// denominators returns K + Alpha·Σx² for every activation.
func (n LRNParams) denominators(sums []float64) {
	for i := range sums {
		sums[i] = n.K + n.Alpha*sums[i]
	}
}

func lrn[T float](batch int, s arch.Shape, n LRNParams, x, y []T) {
	d := make([]float64, len(x))
	n.window(batch, s, func(i, j int) { d[i] += float64(x[j]) * float64(x[j]) })
	n.denominators(d)
	for i, v := range x {
		y[i] = T(float64(v) * math.Pow(d[i], -n.Beta))
	}
}

// dx_i = dy_i·d_i^−β − 2αβ·x_i·Σ_j dy_j·x_j·d_j^−(β+1), j over the windows that hold i.
func lrnGrad[T float](batch int, s arch.Shape, n LRNParams, x, dy, dx []T) {
	d := make([]float64, len(x))
	n.window(batch, s, func(i, j int) { d[i] += float64(x[j]) * float64(x[j]) })
	n.denominators(d)
	sums := make([]float64, len(x))
	n.window(batch, s, func(i, j int) { sums[i] += float64(dy[j]) * float64(x[j]) * math.Pow(d[j], -n.Beta-1) })
	for i, v := range x {
		dx[i] = T(float64(dy[i])*math.Pow(d[i], -n.Beta) - 2*n.Alpha*n.Beta*float64(v)*sums[i])
	}
}

// shard returns the constants for one device, whose windows must stay in their columns.
func (n LRNParams) shard(op Op, s Split) (LRNParams, error) {
	if n.Within {
		return n, nil
	}
	if n.Groups%s.Of != 0 {
		return n, fmt.Errorf("%s: windows over the maps of %d columns cannot be divided among %d devices", op.Name(),
			n.Groups, s.Of)
	}
	n.Groups /= s.Of
	return n, nil
}

// Shard divides by channels.
func (o *LRN) Shard(s Split) (Shard, error) {
	n, err := o.LRNParams.shard(o, s)
	return s.own(o, NewLRN(o.Layer, o.Batch, s.shape(o.Shape), n)), err
}

// Shard divides by channels.
func (o *LRNGrad) Shard(s Split) (Shard, error) {
	n, err := o.LRNParams.shard(o, s)
	return s.own(o, NewLRNGrad(o.Layer, o.Batch, s.shape(o.Shape), n)), err
}

var _ = builds(func(b *builder, p arch.LayerInfo, l *arch.LRN, x *gorgonia.Node) (*gorgonia.Node, error) {
	return applied(NewLRN(p.Layer.Name, b.g.Batch, p.In, norm(l, p.Groups)), x)
})

// norm resolves a layer's alpha: the paper's formula does not divide it by the size of the window;
// the 2012 source and most frameworks do.
func norm(l *arch.LRN, groups int) LRNParams {
	n := LRNParams{Size: l.Size, Alpha: l.Alpha, Beta: l.Beta, K: l.K, Groups: groups, Within: l.Region == arch.WithinMap}
	if *l.AlphaOverSize {
		n.Alpha /= float64(l.Size)
		if n.Within {
			n.Alpha /= float64(l.Size)
		}
	}
	return n
}
