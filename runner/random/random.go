// Package random draws numbers as pure functions of (seed, stream name, step, index).
//
// The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random
// numbers: as easy as 1, 2, 3; SC 2011). It encrypts a counter with a key, so any draw can
// be made at once, in any order, by any number of threads, and on a GPU. Each purpose has a
// stream of its own: a new use of randomness shifts no other.
//
// The same arguments yield the same bits on every platform. Integers need no care for this;
// floating point is confined to operations that IEEE 754 rounds in one way. Go may fuse
// x*y + z into one rounding if the processor can (arm64 does, amd64 does not); the explicit
// conversions around products forbid it. math.Log and math.Sincos differ between
// architectures in the last bit; elementary.go has our own two functions instead.
package random

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/bits"
)

// A Stream holds the random numbers of one purpose in one run.
type Stream struct{ key [2]uint32 }

// New returns the stream of a seed and a name. Its key is the first 8 bytes of
// SHA-256 over the seed (8 bytes, little-endian) and the name.
func New(seed uint64, name string) Stream {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+len(name)), seed)
	sum := sha256.Sum256(append(b, name...))
	return Stream{[2]uint32{binary.LittleEndian.Uint32(sum[0:]), binary.LittleEndian.Uint32(sum[4:])}}
}

// Key returns the stream's encryption key, for a device that draws the words itself.
func (s Stream) Key() [2]uint32 { return s.key }

// Block returns four words: the encryption of the counter (index, step).
func (s Stream) Block(step, index uint64) [4]uint32 {
	return philox(s.key, [4]uint32{uint32(index), uint32(index >> 32), uint32(step), uint32(step >> 32)})
}

// The constants are those of the paper: two multipliers and two Weyl increments.
func philox(key [2]uint32, c [4]uint32) [4]uint32 {
	for range 10 {
		hi0, lo0 := bits.Mul32(0xD2511F53, c[0])
		hi1, lo1 := bits.Mul32(0xCD9E8D57, c[2])
		c = [4]uint32{hi1 ^ c[1] ^ key[0], lo1, hi0 ^ c[3] ^ key[1], lo0}
		key[0] += 0x9E3779B9
		key[1] += 0xBB67AE85
	}
	return c
}

// Uint32 returns word index%4 of block index/4.
func (s Stream) Uint32(step, index uint64) uint32 { return s.Block(step, index/4)[index%4] }

// Float64 returns a uniform number in [0, 1) with 53 random bits; it uses half a block.
func (s Stream) Float64(step, index uint64) float64 {
	b := s.Block(step, index/2)
	i := index % 2 * 2
	return unit(b[i], b[i+1])
}

func unit(hi, lo uint32) float64 {
	return float64((uint64(hi)<<32|uint64(lo))>>11) / (1 << 53)
}

// Intn returns a uniform number in [0, n). n must be positive and fit in 32 bits; the bias is
// below n/2³².
func (s Stream) Intn(step, index uint64, n int) int {
	return int(uint64(s.Uint32(step, index)) * uint64(n) >> 32)
}

// Uniform fills dst with uniform numbers in [lo, hi).
func (s Stream) Uniform(dst []float32, step uint64, lo, hi float64) {
	s.UniformFrom(dst, step, 0, lo, hi)
}

// UniformFrom is Uniform for the values from index first on.
func (s Stream) UniformFrom(dst []float32, step, first uint64, lo, hi float64) {
	for i := range dst {
		dst[i] = float32(lo + float64((hi-lo)*s.Float64(step, first+uint64(i))))
	}
}

// Normal fills dst from a normal distribution by Box–Muller, two values per block, so that value i
// depends on i alone and not on how many are drawn. No value is further than 8.6 standard
// deviations from the mean.
func (s Stream) Normal(dst []float32, step uint64, mean, std float64) {
	s.NormalFrom(dst, step, 0, mean, std)
}

// NormalFrom is Normal for the values from index first on; first must be even.
func (s Stream) NormalFrom(dst []float32, step, first uint64, mean, std float64) {
	for i := 0; i < len(dst); i += 2 {
		b := s.Block(step, (first+uint64(i))/2)
		radius := math.Sqrt(-2 * logarithm(1-unit(b[0], b[1])))
		sin, cos := sincos(unit(b[2], b[3]))
		dst[i] = float32(mean + float64(std*float64(radius*cos)))
		if i+1 < len(dst) {
			dst[i+1] = float32(mean + float64(std*float64(radius*sin)))
		}
	}
}

// Perm returns a random order of 0 … n−1 (Fisher–Yates).
func (s Stream) Perm(step uint64, n int) []int32 {
	p := make([]int32, n)
	for i := range p {
		p[i] = int32(i)
	}
	for i := n - 1; i > 0; i-- {
		j := s.Intn(step, uint64(i), i+1)
		p[i], p[j] = p[j], p[i]
	}
	return p
}
