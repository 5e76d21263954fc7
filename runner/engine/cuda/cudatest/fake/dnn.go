package fake

import (
	"unsafe"

	"ablate/runner/engine/cuda/nvidia"
)

// shape is what a tensor's or a filter's descriptor says.
type shape struct {
	format     nvidia.Format
	bfloat     bool
	n, c, h, w int
	set        bool
}

func (s shape) len() int { return s.n * s.c * s.h * s.w }

func (s shape) bytes() uint64 {
	if s.bfloat {
		return 2 * uint64(s.len())
	}
	return 4 * uint64(s.len())
}

// at is the place of a value in memory.
func (s shape) at(n, c, y, x int) int {
	if s.format == nvidia.NHWC {
		return ((n*s.h+y)*s.w+x)*s.c + c
	}
	return ((n*s.c+c)*s.h+y)*s.w + x
}

type convolution struct {
	padH, padW, strideH, strideW, groups int
	math                                 nvidia.MathType
	set                                  bool
}

// The algorithms that the fake has: one that adds atomically, one that is listed
// before the good one and would do, and the good one, which needs a workspace.
const (
	atomicAlgorithm = 0
	slowAlgorithm   = 3
	goodAlgorithm   = 1
	workspaceBytes  = 1000
)

// DNN is the part of cuDNN's legacy API that convolves (docs.nvidia.com/deeplearning/cudnn).
func (m *Machine) DNN() *nvidia.DNN {
	tensors, filters, convs := map[nvidia.TensorDesc]*shape{}, map[nvidia.FilterDesc]*shape{},
		map[nvidia.ConvDesc]*convolution{}
	activations := map[nvidia.ActivationDesc]nvidia.ActivationMode{}
	streams, contexts := map[nvidia.DNNHandle]nvidia.Stream{}, map[nvidia.DNNHandle]nvidia.Context{}
	const badParam, notSupported, shapeMismatch, tooSmall nvidia.DNNStatus = 2000, 3000, 2008, 2006
	d := &nvidia.DNN{Version: func() uint64 { return 90909 }}
	d.Create = func(h *nvidia.DNNHandle) nvidia.DNNStatus {
		if r := m.inContext("cudnnCreate", func(c nvidia.Context) nvidia.Result {
			*h = nvidia.DNNHandle(m.handle())
			contexts[*h] = c
			return 0
		}); r != 0 {
			return 1001
		}
		return 0
	}
	d.Destroy = func(h nvidia.DNNHandle) nvidia.DNNStatus {
		if contexts[h] == 0 || len(tensors)+len(filters)+len(convs)+len(activations) > 0 && len(contexts) == 1 {
			return badParam // descriptors should be gone by then
		}
		delete(contexts, h)
		return 0
	}
	d.SetStream = func(h nvidia.DNNHandle, s nvidia.Stream) nvidia.DNNStatus { streams[h] = s; return 0 }
	d.CreateTensor = func(t *nvidia.TensorDesc) nvidia.DNNStatus {
		*t = nvidia.TensorDesc(m.handle())
		tensors[*t] = &shape{}
		return 0
	}
	d.DestroyTensor = func(t nvidia.TensorDesc) nvidia.DNNStatus { delete(tensors, t); return 0 }
	describe := func(s *shape, format nvidia.Format, t nvidia.DNNType, n, c, h, w int32) nvidia.DNNStatus {
		if s == nil || n < 1 || c < 1 || h < 1 || w < 1 || t != nvidia.DNNFloat && t != nvidia.DNNBFloat16 ||
			format != nvidia.NHWC && format != nvidia.NCHW {
			return badParam
		}
		*s = shape{format: format, bfloat: t == nvidia.DNNBFloat16, n: int(n), c: int(c), h: int(h), w: int(w), set: true}
		return 0
	}
	d.SetTensor = func(t nvidia.TensorDesc, format nvidia.Format, kind nvidia.DNNType, n, c, h, w int32) nvidia.DNNStatus {
		return describe(tensors[t], format, kind, n, c, h, w)
	}
	d.CreateFilter = func(t *nvidia.FilterDesc) nvidia.DNNStatus {
		*t = nvidia.FilterDesc(m.handle())
		filters[*t] = &shape{}
		return 0
	}
	d.DestroyFilter = func(t nvidia.FilterDesc) nvidia.DNNStatus { delete(filters, t); return 0 }
	d.SetFilter = func(t nvidia.FilterDesc, kind nvidia.DNNType, format nvidia.Format, k, c, h, w int32) nvidia.DNNStatus {
		return describe(filters[t], format, kind, k, c, h, w)
	}
	d.CreateConvolution = func(t *nvidia.ConvDesc) nvidia.DNNStatus {
		*t = nvidia.ConvDesc(m.handle())
		convs[*t] = &convolution{}
		return 0
	}
	d.DestroyConvolution = func(t nvidia.ConvDesc) nvidia.DNNStatus { delete(convs, t); return 0 }
	d.SetConvolution = func(t nvidia.ConvDesc, padH, padW, strideH, strideW, dilationH, dilationW int32,
		mode nvidia.ConvMode, kind nvidia.DNNType) nvidia.DNNStatus {
		if convs[t] == nil || padH < 0 || padW < 0 || strideH < 1 || strideW < 1 || dilationH != 1 || dilationW != 1 ||
			mode != nvidia.CrossCorrelation || kind != nvidia.DNNFloat {
			return badParam
		}
		*convs[t] = convolution{padH: int(padH), padW: int(padW), strideH: int(strideH), strideW: int(strideW), groups: 1,
			math: nvidia.DefaultMath, set: true}
		return 0
	}
	d.SetGroups = func(t nvidia.ConvDesc, groups int32) nvidia.DNNStatus {
		if convs[t] == nil || groups < 1 {
			return badParam
		}
		convs[t].groups = int(groups)
		return 0
	}
	d.SetMath = func(t nvidia.ConvDesc, math nvidia.MathType) nvidia.DNNStatus {
		if convs[t] == nil || math < 0 || math > 3 {
			return badParam
		}
		convs[t].math = math
		return 0
	}
	// fits checks three descriptors against each other, by cuDNN's formula of the output's size.
	fits := func(x, y nvidia.TensorDesc, w nvidia.FilterDesc, c nvidia.ConvDesc) (xs, ys, ws shape, cv convolution,
		status nvidia.DNNStatus) {
		if tensors[x] == nil || tensors[y] == nil || filters[w] == nil || convs[c] == nil {
			return xs, ys, ws, cv, badParam
		}
		xs, ys, ws, cv = *tensors[x], *tensors[y], *filters[w], *convs[c]
		out := func(in, pad, kernel, stride int) int { return (in+2*pad-kernel)/stride + 1 }
		switch {
		case !xs.set || !ys.set || !ws.set || !cv.set:
			status = badParam
		case xs.n != ys.n || ys.c != ws.n || xs.c != ws.c*cv.groups || ws.n%cv.groups != 0 ||
			ys.h != out(xs.h, cv.padH, ws.h, cv.strideH) || ys.w != out(xs.w, cv.padW, ws.w, cv.strideW):
			status = shapeMismatch
		case xs.format != ys.format || xs.format != ws.format || xs.bfloat != ys.bfloat || xs.bfloat != ws.bfloat:
			status = notSupported
		}
		return xs, ys, ws, cv, status
	}
	algorithms := func(x, y nvidia.TensorDesc, w nvidia.FilterDesc, c nvidia.ConvDesc, room int32, count *int32,
		perf *nvidia.AlgorithmPerf) nvidia.DNNStatus {
		_, _, _, cv, status := fits(x, y, w, c)
		if status != 0 {
			return status
		}
		list := []nvidia.AlgorithmPerf{{Algorithm: 6, Status: notSupported}, {Algorithm: atomicAlgorithm, Math: cv.math},
			{Algorithm: slowAlgorithm, Determinism: 1, Math: cv.math},
			{Algorithm: goodAlgorithm, Determinism: 1, Memory: workspaceBytes, Math: nvidia.FMAMath},
			{Algorithm: goodAlgorithm, Determinism: 1, Memory: workspaceBytes, Math: cv.math}}
		*count = int32(copy(unsafe.Slice(perf, room), list))
		return 0
	}
	d.ForwardAlgorithms = func(_ nvidia.DNNHandle, x nvidia.TensorDesc, w nvidia.FilterDesc, c nvidia.ConvDesc,
		y nvidia.TensorDesc, room int32, count *int32, perf *nvidia.AlgorithmPerf) nvidia.DNNStatus {
		return algorithms(x, y, w, c, room, count, perf)
	}
	d.DataAlgorithms = func(_ nvidia.DNNHandle, w nvidia.FilterDesc, dy nvidia.TensorDesc, c nvidia.ConvDesc,
		dx nvidia.TensorDesc, room int32, count *int32, perf *nvidia.AlgorithmPerf) nvidia.DNNStatus {
		return algorithms(dx, dy, w, c, room, count, perf)
	}
	d.FilterAlgorithms = func(_ nvidia.DNNHandle, x, dy nvidia.TensorDesc, c nvidia.ConvDesc, dw nvidia.FilterDesc,
		room int32, count *int32, perf *nvidia.AlgorithmPerf) nvidia.DNNStatus {
		return algorithms(x, dy, dw, c, room, count, perf)
	}
	workspace := func(algorithm int32, bytes *uint64) nvidia.DNNStatus {
		if algorithm != goodAlgorithm && algorithm != atomicAlgorithm {
			return notSupported
		}
		*bytes = workspaceBytes
		return 0
	}
	d.ForwardWorkspace = func(_ nvidia.DNNHandle, _ nvidia.TensorDesc, _ nvidia.FilterDesc, _ nvidia.ConvDesc,
		_ nvidia.TensorDesc, a int32, n *uint64) nvidia.DNNStatus {
		return workspace(a, n)
	}
	d.DataWorkspace = func(_ nvidia.DNNHandle, _ nvidia.FilterDesc, _ nvidia.TensorDesc, _ nvidia.ConvDesc,
		_ nvidia.TensorDesc, a int32, n *uint64) nvidia.DNNStatus {
		return workspace(a, n)
	}
	d.FilterWorkspace = func(_ nvidia.DNNHandle, _, _ nvidia.TensorDesc, _ nvidia.ConvDesc, _ nvidia.FilterDesc, a int32,
		n *uint64) nvidia.DNNStatus {
		return workspace(a, n)
	}
	d.CreateActivation = func(a *nvidia.ActivationDesc) nvidia.DNNStatus {
		*a = nvidia.ActivationDesc(m.handle())
		activations[*a] = -1
		return 0
	}
	d.DestroyActivation = func(a nvidia.ActivationDesc) nvidia.DNNStatus { delete(activations, a); return 0 }
	d.SetActivation = func(a nvidia.ActivationDesc, mode nvidia.ActivationMode, nan nvidia.NaNs,
		coefficient float64) nvidia.DNNStatus {
		if _, ok := activations[a]; !ok || mode != nvidia.ReLU && mode != nvidia.Identity || nan != nvidia.PropagateNaNs ||
			coefficient != 0 {
			return badParam
		}
		activations[a] = mode
		return 0
	}
	// run checks a call and queues it, and then what is to follow.
	run := func(h nvidia.DNNHandle, alpha, beta unsafe.Pointer, xd nvidia.TensorDesc, x nvidia.Address,
		wd nvidia.FilterDesc, w nvidia.Address, yd nvidia.TensorDesc, y nvidia.Address,
		c nvidia.ConvDesc, algorithm int32, work nvidia.Address, bytes uint64, out *nvidia.Address,
		then func()) nvidia.DNNStatus {
		status := nvidia.DNNStatus(5000)
		m.inContext("cudnnConvolution", func(ctx nvidia.Context) nvidia.Result {
			xs, ys, ws, cv, bad := fits(xd, yd, wd, c)
			switch {
			case contexts[h] != ctx:
				status = 1001
			case bad != 0:
				status = bad
			case algorithm != goodAlgorithm:
				status = notSupported
			case bytes < workspaceBytes || !m.holds(ctx, work, bytes):
				status = tooSmall
			case *(*float32)(alpha) != 1 || *(*float32)(beta) != 0:
				status = notSupported
			case !m.holds(ctx, x, xs.bytes()) || !m.holds(ctx, y, ys.bytes()) || !m.holds(ctx, w, ws.bytes()):
				status = 5000
			default:
				status = 0
			}
			if status != 0 {
				return 0
			}
			m.enqueue(ctx, streams[h], func() error {
				convolve(xs, ys, ws, cv, x, y, w, *out)
				if then != nil {
					then()
				}
				return nil
			})
			return 0
		})
		return status
	}
	d.Forward = func(h nvidia.DNNHandle, alpha unsafe.Pointer, xd nvidia.TensorDesc, x nvidia.Address,
		wd nvidia.FilterDesc, w nvidia.Address, c nvidia.ConvDesc, algorithm int32,
		work nvidia.Address, bytes uint64, beta unsafe.Pointer, yd nvidia.TensorDesc, y nvidia.Address) nvidia.DNNStatus {
		return run(h, alpha, beta, xd, x, wd, w, yd, y, c, algorithm, work, bytes, &y, nil)
	}
	d.ForwardFinished = func(h nvidia.DNNHandle, alpha unsafe.Pointer, xd nvidia.TensorDesc, x nvidia.Address,
		wd nvidia.FilterDesc, w nvidia.Address, c nvidia.ConvDesc, algorithm int32,
		work nvidia.Address, bytes uint64, beta unsafe.Pointer, zd nvidia.TensorDesc, z nvidia.Address,
		bd nvidia.TensorDesc, bias nvidia.Address, a nvidia.ActivationDesc,
		yd nvidia.TensorDesc, y nvidia.Address) nvidia.DNNStatus {
		bs, ys, mode := tensors[bd], tensors[yd], activations[a]
		switch {
		case m.Apart:
			return notSupported
		case bs == nil || ys == nil || mode != nvidia.ReLU && mode != nvidia.Identity || zd != yd || z != y ||
			bs.n*bs.h*bs.w != 1 || bs.c != ys.c || bs.bfloat != ys.bfloat:
			return badParam
		case !m.holds(contexts[h], bias, bs.bytes()):
			return 5000
		}
		return run(h, alpha, beta, xd, x, wd, w, yd, y, c, algorithm, work, bytes, &y, func() {
			v, b := values(y, ys.bfloat, ys.len()), values(bias, bs.bfloat, bs.c)
			for i := range v {
				v[i] += b[i%bs.c] // NHWC
				if mode == nvidia.ReLU && v[i] < 0 {
					v[i] = 0
				}
			}
			store(y, ys.bfloat, v)
		})
	}
	d.BackwardData = func(h nvidia.DNNHandle, alpha unsafe.Pointer, wd nvidia.FilterDesc, w nvidia.Address,
		dyd nvidia.TensorDesc, dy nvidia.Address, c nvidia.ConvDesc, algorithm int32,
		work nvidia.Address, bytes uint64, beta unsafe.Pointer, dxd nvidia.TensorDesc, dx nvidia.Address) nvidia.DNNStatus {
		return run(h, alpha, beta, dxd, dx, wd, w, dyd, dy, c, algorithm, work, bytes, &dx, nil)
	}
	d.BackwardFilter = func(h nvidia.DNNHandle, alpha unsafe.Pointer, xd nvidia.TensorDesc, x nvidia.Address,
		dyd nvidia.TensorDesc, dy nvidia.Address, c nvidia.ConvDesc, algorithm int32,
		work nvidia.Address, bytes uint64, beta unsafe.Pointer, dwd nvidia.FilterDesc, dw nvidia.Address) nvidia.DNNStatus {
		return run(h, alpha, beta, xd, x, dwd, dw, dyd, dy, c, algorithm, work, bytes, &dw, nil)
	}
	return d
}

// convolve computes whichever of the three tensors is at out from the other two.
func convolve(xs, ys, ws shape, cv convolution, xa, ya, wa, out nvidia.Address) {
	x, y, w := values(xa, xs.bfloat, xs.len()), values(ya, ys.bfloat, ys.len()), values(wa, ws.bfloat, ws.len())
	if cv.math == nvidia.DefaultMath && !xs.bfloat { // TF32 is allowed, so it is used
		for _, v := range [][]float32{x, y, w} {
			for i := range v {
				v[i] = tf32(v[i])
			}
		}
	}
	var to shape
	switch out {
	case xa:
		to = xs
	case ya:
		to = ys
	default:
		to = ws
	}
	sums := make([]float64, to.len())
	perOut := ws.n / cv.groups
	for n := range xs.n {
		for o := range ws.n {
			for oy := range ys.h {
				for ox := range ys.w {
					yi := ys.at(n, o, oy, ox)
					for c := range ws.c {
						for ky := range ws.h {
							iy := oy*cv.strideH + ky - cv.padH
							if iy < 0 || iy >= xs.h {
								continue
							}
							for kx := range ws.w {
								ix := ox*cv.strideW + kx - cv.padW
								if ix < 0 || ix >= xs.w {
									continue
								}
								xi, wi := xs.at(n, o/perOut*ws.c+c, iy, ix), ws.at(o, c, ky, kx)
								switch out {
								case xa:
									sums[xi] += float64(y[yi]) * float64(w[wi])
								case ya:
									sums[yi] += float64(x[xi]) * float64(w[wi])
								default:
									sums[wi] += float64(x[xi]) * float64(y[yi])
								}
							}
						}
					}
				}
			}
		}
	}
	v := make([]float32, len(sums))
	for i, s := range sums {
		v[i] = float32(s)
	}
	store(out, to.bfloat, v)
}
