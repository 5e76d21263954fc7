package fake

import (
	"fmt"
	"unsafe"

	"ablate/runner/engine/cuda/nvidia"
)

// shape holds the contents of a tensor's or a filter's descriptor.
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

// at returns the index of a value in memory.
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

// The algorithms of the fake: one that adds atomically, one that is listed before the good one and for
// which no workspace is large enough, one that needs none, and the good one, whose workspace grows
// with the batch.
const (
	atomicAlgorithm = 0
	slowAlgorithm   = 3
	bareAlgorithm   = 2
	goodAlgorithm   = 1
	workspaceBytes  = 500 // per image
)

// dnnAlign is the alignment that operands need: kernels load 16 bytes at once.
const dnnAlign = 16

// Statuses of cuDNN 9, from cudnn_graph.h.
const (
	notInitialised nvidia.DNNStatus = 1001
	badParam       nvidia.DNNStatus = 2000
	nullPointer    nvidia.DNNStatus = 2002
	misaligned     nvidia.DNNStatus = 2003
	tooSmall       nvidia.DNNStatus = 2006
	shapeMismatch  nvidia.DNNStatus = 2008
	notSupported   nvidia.DNNStatus = 3000
	badLayout      nvidia.DNNStatus = 3004
	dnnFailed      nvidia.DNNStatus = 5000
)

// forgotten deletes a descriptor, which must exist.
func forgotten[K comparable, V any](known map[K]V, descriptor K) nvidia.DNNStatus {
	if _, ok := known[descriptor]; !ok {
		return badParam
	}
	delete(known, descriptor)
	return 0
}

// DNN returns the part of cuDNN's legacy API that convolves (docs.nvidia.com/deeplearning/cudnn).
func (m *Machine) DNN() *nvidia.DNN {
	tensors, filters, convs := map[nvidia.TensorDesc]*shape{}, map[nvidia.FilterDesc]*shape{},
		map[nvidia.ConvDesc]*convolution{}
	activations := map[nvidia.ActivationDesc]nvidia.ActivationMode{}
	streams, contexts := map[nvidia.DNNHandle]nvidia.Stream{}, map[nvidia.DNNHandle]nvidia.Context{}
	d := &nvidia.DNN{Version: func() uint64 { return 90909 }}
	d.LastError = func(to *byte, size uint64) {
		said := unsafe.Slice(to, size)
		said[copy(said[:size-1], m.said)] = 0
		m.said = ""
	}
	d.Create = func(h *nvidia.DNNHandle) nvidia.DNNStatus {
		if r := m.inContext("cudnnCreate", func(c nvidia.Context) nvidia.Result {
			*h = nvidia.DNNHandle(m.handle())
			contexts[*h] = c
			return 0
		}); r != 0 {
			return notInitialised
		}
		return 0
	}
	d.Destroy = func(h nvidia.DNNHandle) nvidia.DNNStatus {
		left := len(tensors) + len(filters) + len(convs) + len(activations)
		if contexts[h] == 0 || contexts[h] != m.currentContext() || left > 0 && len(contexts) == 1 {
			return badParam // descriptors should be destroyed by then
		}
		delete(contexts, h)
		return 0
	}
	d.SetStream = func(h nvidia.DNNHandle, s nvidia.Stream) nvidia.DNNStatus {
		if contexts[h] == 0 || m.streams[s] == nil || m.streams[s].context != contexts[h] {
			return badParam
		}
		streams[h] = s
		return 0
	}
	d.CreateTensor = func(t *nvidia.TensorDesc) nvidia.DNNStatus {
		*t = nvidia.TensorDesc(m.handle())
		tensors[*t] = &shape{}
		return 0
	}
	d.DestroyTensor = func(t nvidia.TensorDesc) nvidia.DNNStatus { return forgotten(tensors, t) }
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
	d.DestroyFilter = func(t nvidia.FilterDesc) nvidia.DNNStatus { return forgotten(filters, t) }
	d.SetFilter = func(t nvidia.FilterDesc, kind nvidia.DNNType, format nvidia.Format, k, c, h, w int32) nvidia.DNNStatus {
		return describe(filters[t], format, kind, k, c, h, w)
	}
	d.CreateConvolution = func(t *nvidia.ConvDesc) nvidia.DNNStatus {
		*t = nvidia.ConvDesc(m.handle())
		convs[*t] = &convolution{}
		return 0
	}
	d.DestroyConvolution = func(t nvidia.ConvDesc) nvidia.DNNStatus { return forgotten(convs, t) }
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
	// fits checks three descriptors against each other, by cuDNN's formula for the output's size.
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
		case cv.math == nvidia.FMAMath && xs.bfloat:
			status = m.say(notSupported, "CUDNN_FMA_MATH takes no bfloat16")
		case xs.bfloat && xs.format == nvidia.NHWC && (ws.c%8 != 0 || ws.n/cv.groups%8 != 0):
			status = m.say(badLayout, "NHWC tensor cores take channels in eights")
		case cv.math == nvidia.TensorMath && !xs.bfloat:
			status = notSupported
		}
		return xs, ys, ws, cv, status
	}
	algorithms := func(h nvidia.DNNHandle, call string, x, y nvidia.TensorDesc, w nvidia.FilterDesc, c nvidia.ConvDesc,
		room int32, count *int32, perf *nvidia.AlgorithmPerf) nvidia.DNNStatus {
		if contexts[h] == 0 {
			return notInitialised
		}
		if count == nil || perf == nil {
			return nullPointer
		}
		xs, _, _, cv, status := fits(x, y, w, c)
		if status == 0 {
			status = m.refused(call, -1)
		}
		if status != 0 {
			return status
		}
		need := workspaceBytes * uint64(xs.n)
		list := []nvidia.AlgorithmPerf{{Algorithm: 6, Status: notSupported}, {Algorithm: atomicAlgorithm, Math: cv.math},
			{Algorithm: slowAlgorithm, Determinism: 1, Math: cv.math},
			{Algorithm: bareAlgorithm, Determinism: 1, Math: cv.math},
			{Algorithm: goodAlgorithm, Determinism: 1, Memory: need, Math: nvidia.FMAMath},
			{Algorithm: goodAlgorithm, Determinism: 1, Memory: need, Math: cv.math}}
		*count = int32(copy(unsafe.Slice(perf, room), list))
		return 0
	}
	d.ForwardAlgorithms = func(h nvidia.DNNHandle, x nvidia.TensorDesc, w nvidia.FilterDesc, c nvidia.ConvDesc,
		y nvidia.TensorDesc, room int32, count *int32, perf *nvidia.AlgorithmPerf) nvidia.DNNStatus {
		return algorithms(h, "ForwardAlgorithms", x, y, w, c, room, count, perf)
	}
	d.DataAlgorithms = func(h nvidia.DNNHandle, w nvidia.FilterDesc, y nvidia.TensorDesc, c nvidia.ConvDesc,
		dx nvidia.TensorDesc, room int32, count *int32, perf *nvidia.AlgorithmPerf) nvidia.DNNStatus {
		return algorithms(h, "DataAlgorithms", dx, y, w, c, room, count, perf)
	}
	d.FilterAlgorithms = func(h nvidia.DNNHandle, x, dy nvidia.TensorDesc, c nvidia.ConvDesc, dw nvidia.FilterDesc,
		room int32, count *int32, perf *nvidia.AlgorithmPerf) nvidia.DNNStatus {
		return algorithms(h, "FilterAlgorithms", x, dy, dw, c, room, count, perf)
	}
	workspace := func(h nvidia.DNNHandle, x, y nvidia.TensorDesc, w nvidia.FilterDesc, c nvidia.ConvDesc, algorithm int32,
		bytes *uint64) nvidia.DNNStatus {
		if contexts[h] == 0 {
			return notInitialised
		}
		if bytes == nil {
			return nullPointer
		}
		xs, _, _, _, status := fits(x, y, w, c)
		switch {
		case status != 0:
			return status
		case algorithm == bareAlgorithm:
			*bytes = 0
		case algorithm == goodAlgorithm || algorithm == atomicAlgorithm:
			*bytes = workspaceBytes * uint64(xs.n)
		default:
			return notSupported
		}
		return 0
	}
	d.ForwardWorkspace = func(h nvidia.DNNHandle, x nvidia.TensorDesc, w nvidia.FilterDesc, c nvidia.ConvDesc,
		y nvidia.TensorDesc, a int32, n *uint64) nvidia.DNNStatus {
		return workspace(h, x, y, w, c, a, n)
	}
	d.DataWorkspace = func(h nvidia.DNNHandle, w nvidia.FilterDesc, y nvidia.TensorDesc, c nvidia.ConvDesc,
		x nvidia.TensorDesc, a int32, n *uint64) nvidia.DNNStatus {
		return workspace(h, x, y, w, c, a, n)
	}
	d.FilterWorkspace = func(h nvidia.DNNHandle, x, y nvidia.TensorDesc, c nvidia.ConvDesc, w nvidia.FilterDesc, a int32,
		n *uint64) nvidia.DNNStatus {
		return workspace(h, x, y, w, c, a, n)
	}
	d.CreateActivation = func(a *nvidia.ActivationDesc) nvidia.DNNStatus {
		*a = nvidia.ActivationDesc(m.handle())
		activations[*a] = -1
		return 0
	}
	d.DestroyActivation = func(a nvidia.ActivationDesc) nvidia.DNNStatus { return forgotten(activations, a) }
	d.SetActivation = func(a nvidia.ActivationDesc, mode nvidia.ActivationMode, nan nvidia.NaNs,
		coefficient float64) nvidia.DNNStatus {
		if _, ok := activations[a]; !ok || mode != nvidia.ReLU && mode != nvidia.Identity || nan != nvidia.PropagateNaNs ||
			coefficient != 0 {
			return badParam
		}
		activations[a] = mode
		return 0
	}
	// run checks a call and queues it, and then the work that follows it.
	run := func(call string, h nvidia.DNNHandle, alpha, beta unsafe.Pointer, xd nvidia.TensorDesc, x nvidia.Address,
		wd nvidia.FilterDesc, w nvidia.Address, yd nvidia.TensorDesc, y nvidia.Address,
		c nvidia.ConvDesc, algorithm int32, work nvidia.Address, bytes uint64, out *nvidia.Address,
		then func()) nvidia.DNNStatus {
		status := dnnFailed
		m.inContext("cudnnConvolution", func(ctx nvidia.Context) nvidia.Result {
			status = func() nvidia.DNNStatus {
				if contexts[h] != ctx {
					return notInitialised
				}
				xs, ys, ws, cv, bad := fits(xd, yd, wd, c)
				need := uint64(workspaceBytes * xs.n)
				if algorithm == bareAlgorithm {
					need = 0
				}
				switch {
				case bad != 0:
					return bad
				case alpha == nil || beta == nil || x == 0 || y == 0 || w == 0 || need > 0 && work == 0:
					return nullPointer
				case algorithm != goodAlgorithm && algorithm != bareAlgorithm:
					return notSupported
				case bytes < need || bytes > 0 && !m.holds(ctx, work, bytes):
					return tooSmall
				case x%dnnAlign != 0 || y%dnnAlign != 0 || w%dnnAlign != 0 || need > 0 && work%dnnAlign != 0:
					return m.say(misaligned, "operands are aligned to 16 bytes")
				case *(*float32)(alpha) != 1 || *(*float32)(beta) != 0:
					return notSupported
				case !m.holds(ctx, x, xs.bytes()) || !m.holds(ctx, y, ys.bytes()) || !m.holds(ctx, w, ws.bytes()):
					return dnnFailed
				}
				if status := m.refused(call, algorithm); status != 0 {
					return status
				}
				if r := m.enqueue(ctx, streams[h], func() error {
					for a, n := range map[nvidia.Address]uint64{x: xs.bytes(), y: ys.bytes(), w: ws.bytes()} {
						if !m.holds(ctx, a, n) { // freed in the meantime, or before the graph was launched again
							return fmt.Errorf("%s reaches %#x, which is not this GPU's", call, a)
						}
					}
					convolve(xs, ys, ws, cv, x, y, w, *out)
					if then != nil {
						then()
					}
					return nil
				}); r != 0 {
					return dnnFailed
				}
				return 0
			}()
			return 0
		})
		return status
	}
	d.Forward = func(h nvidia.DNNHandle, alpha unsafe.Pointer, xd nvidia.TensorDesc, x nvidia.Address,
		wd nvidia.FilterDesc, w nvidia.Address, c nvidia.ConvDesc, algorithm int32,
		work nvidia.Address, bytes uint64, beta unsafe.Pointer, yd nvidia.TensorDesc, y nvidia.Address) nvidia.DNNStatus {
		return run("Forward", h, alpha, beta, xd, x, wd, w, yd, y, c, algorithm, work, bytes, &y, nil)
	}
	d.ForwardFinished = func(h nvidia.DNNHandle, alpha unsafe.Pointer, xd nvidia.TensorDesc, x nvidia.Address,
		wd nvidia.FilterDesc, w nvidia.Address, c nvidia.ConvDesc, algorithm int32,
		work nvidia.Address, bytes uint64, beta unsafe.Pointer, zd nvidia.TensorDesc, z nvidia.Address,
		bd nvidia.TensorDesc, bias nvidia.Address, a nvidia.ActivationDesc,
		yd nvidia.TensorDesc, y nvidia.Address) nvidia.DNNStatus {
		bs, ys, mode := tensors[bd], tensors[yd], activations[a]
		switch {
		case bs == nil || ys == nil || mode != nvidia.ReLU && mode != nvidia.Identity || zd != yd || z != y ||
			bs.n*bs.h*bs.w != 1 || bs.c != ys.c || bs.bfloat != ys.bfloat:
			return badParam
		case mode == nvidia.Identity && algorithm != goodAlgorithm: // documented for ALGO_1 only
			return notSupported
		case !m.holds(contexts[h], bias, bs.bytes()):
			return dnnFailed
		}
		return run("ForwardFinished", h, alpha, beta, xd, x, wd, w, yd, y, c, algorithm, work, bytes, &y, func() {
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
		return run("BackwardData", h, alpha, beta, dxd, dx, wd, w, dyd, dy, c, algorithm, work, bytes, &dx, nil)
	}
	d.BackwardFilter = func(h nvidia.DNNHandle, alpha unsafe.Pointer, xd nvidia.TensorDesc, x nvidia.Address,
		dyd nvidia.TensorDesc, dy nvidia.Address, c nvidia.ConvDesc, algorithm int32,
		work nvidia.Address, bytes uint64, beta unsafe.Pointer, dwd nvidia.FilterDesc, dw nvidia.Address) nvidia.DNNStatus {
		return run("BackwardFilter", h, alpha, beta, xd, x, dwd, dw, dyd, dy, c, algorithm, work, bytes, &dw, nil)
	}
	return d
}

// convolve computes the one of the three tensors that lies at out from the other two.
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
