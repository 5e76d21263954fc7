package fake

import (
	"math"
	"unsafe"

	"ablate/runner/engine/cuda/nvidia"
)

type blasHandle struct {
	context   nvidia.Context
	stream    nvidia.Stream
	workspace bool
}

// values reads n numbers of a type at an address.
func values(a nvidia.Address, bfloat bool, n int) []float32 {
	v := make([]float32, n)
	if bfloat {
		for i, b := range unsafe.Slice((*uint16)(unsafe.Pointer(&bytesAt(a, 2*uint64(n))[0])), n) {
			v[i] = math.Float32frombits(uint32(b) << 16)
		}
		return v
	}
	copy(v, unsafe.Slice((*float32)(unsafe.Pointer(&bytesAt(a, 4*uint64(n))[0])), n))
	return v
}

// store writes numbers of a type at an address, rounded to nearest even.
func store(a nvidia.Address, bfloat bool, v []float32) {
	if len(v) == 0 {
		return
	}
	if bfloat {
		to := unsafe.Slice((*uint16)(unsafe.Pointer(&bytesAt(a, 2*uint64(len(v)))[0])), len(v))
		for i, x := range v {
			to[i] = bf16(x)
		}
		return
	}
	copy(unsafe.Slice((*float32)(unsafe.Pointer(&bytesAt(a, 4*uint64(len(v)))[0])), len(v)), v)
}

func bf16(x float32) uint16 {
	bits := math.Float32bits(x)
	if x != x {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// tf32 rounds a value's fraction to 10 bits, as tensor cores do.
func tf32(x float32) float32 {
	if x != x || math.IsInf(float64(x), 0) {
		return x
	}
	return math.Float32frombits((math.Float32bits(x) + 0xfff + math.Float32bits(x)>>13&1) &^ 0x1fff)
}

// BLAS returns cuBLAS, with matrices by columns (docs.nvidia.com/cuda/cublas, cublasGemmEx).
func (m *Machine) BLAS() *nvidia.BLAS {
	handles := map[nvidia.BLASHandle]*blasHandle{}
	in := func(function string, h nvidia.BLASHandle,
		f func(c nvidia.Context, s *blasHandle) nvidia.BLASStatus) nvidia.BLASStatus {
		status := nvidia.BLASStatus(13)
		if r := m.inContext(function, func(c nvidia.Context) nvidia.Result {
			s, ok := handles[h]
			if !ok || s.context != c {
				status = 1
				return 0
			}
			status = f(c, s)
			return 0
		}); r != 0 {
			return 13
		}
		return status
	}
	b := &nvidia.BLAS{Property: func(int32, *int32) nvidia.BLASStatus { return 0 }}
	b.Create = func(h *nvidia.BLASHandle) nvidia.BLASStatus {
		if r := m.inContext("cublasCreate", func(c nvidia.Context) nvidia.Result {
			*h = nvidia.BLASHandle(m.handle())
			handles[*h] = &blasHandle{context: c}
			return 0
		}); r != 0 {
			return 1
		}
		return 0
	}
	b.Destroy = func(h nvidia.BLASHandle) nvidia.BLASStatus {
		return in("cublasDestroy", h, func(nvidia.Context, *blasHandle) nvidia.BLASStatus { delete(handles, h); return 0 })
	}
	b.SetStream = func(h nvidia.BLASHandle, s nvidia.Stream) nvidia.BLASStatus {
		return in("cublasSetStream", h, func(c nvidia.Context, b *blasHandle) nvidia.BLASStatus {
			if m.streams[s] == nil || m.streams[s].context != c {
				return 7
			}
			b.stream, b.workspace = s, false // the workspace is reset with the stream
			return 0
		})
	}
	b.SetWorkspace = func(h nvidia.BLASHandle, a nvidia.Address, n uint64) nvidia.BLASStatus {
		return in("cublasSetWorkspace", h, func(c nvidia.Context, b *blasHandle) nvidia.BLASStatus {
			if a%256 != 0 || !m.holds(c, a, n) {
				return 7
			}
			b.workspace = true
			return 0
		})
	}
	b.GemmEx = func(h nvidia.BLASHandle, ta, tb nvidia.Transpose, rows, columns, k int32, alpha unsafe.Pointer,
		a nvidia.Address, at nvidia.BLASType, lda int32,
		bm nvidia.Address, bt nvidia.BLASType, ldb int32, beta unsafe.Pointer, cm nvidia.Address, ct nvidia.BLASType,
		ldc int32, compute nvidia.Compute, algorithm int32) nvidia.BLASStatus {
		return in("cublasGemmEx", h, func(c nvidia.Context, s *blasHandle) nvidia.BLASStatus {
			M, N, K := int(rows), int(columns), int(k)
			aCols, bCols, aRows, bRows := K, N, M, K
			if ta == nvidia.Transposed {
				aRows, aCols = K, M
			}
			if tb == nvidia.Transposed {
				bRows, bCols = N, K
			}
			size := map[nvidia.BLASType]nvidia.Address{nvidia.BLASFloat: 4, nvidia.BLASBFloat16: 2}
			switch {
			case size[at]*size[bt]*size[ct] == 0:
				return 15
			case alpha == nil || beta == nil || a == 0 || bm == 0 || cm == 0:
				return 7
			case a%size[at] != 0 || bm%size[bt] != 0 || cm%size[ct] != 0:
				return 7
			case M < 0 || N < 0 || K < 0 || int(lda) < aRows || int(ldb) < bRows || int(ldc) < M:
				return 7
			case at != bt || ct != nvidia.BLASFloat && ct != at || algorithm != nvidia.GemmDefault ||
				compute != nvidia.ComputeFloat && (compute != nvidia.ComputeTF32 || at != nvidia.BLASFloat):
				return 15
			case !m.holds(c, a, uint64(size[at])*uint64(int(lda)*(aCols-1)+aRows)) ||
				!m.holds(c, bm, uint64(size[bt])*uint64(int(ldb)*(bCols-1)+bRows)) ||
				!m.holds(c, cm, uint64(size[ct])*uint64(int(ldc)*(N-1)+M)):
				return 13
			case m.streams[s.stream].capturing && !s.workspace:
				return 14 // cuBLAS would allocate a workspace
			}
			by, times := *(*float32)(alpha), *(*float32)(beta)
			round := func(x float32) float64 { return float64(x) }
			if compute == nvidia.ComputeTF32 {
				round = func(x float32) float64 { return float64(tf32(x)) }
			}
			m.enqueue(c, s.stream, func() error {
				x := values(a, at == nvidia.BLASBFloat16, int(lda)*(aCols-1)+aRows)
				y := values(bm, bt == nvidia.BLASBFloat16, int(ldb)*(bCols-1)+bRows)
				z := values(cm, ct == nvidia.BLASBFloat16, int(ldc)*(N-1)+M)
				for j := range N {
					for i := range M {
						var sum float64
						for l := range K {
							ai, bi := i+l*int(lda), l+j*int(ldb)
							if ta == nvidia.Transposed {
								ai = l + i*int(lda)
							}
							if tb == nvidia.Transposed {
								bi = j + l*int(ldb)
							}
							sum += round(x[ai]) * round(y[bi])
						}
						to := &z[i+j*int(ldc)]
						if times == 0 { // beta 0: c need not hold numbers
							*to = by * float32(sum)
						} else {
							*to = by*float32(sum) + times**to
						}
					}
				}
				store(cm, ct == nvidia.BLASBFloat16, z)
				return nil
			})
			return 0
		})
	}
	return b
}
