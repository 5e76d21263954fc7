package engine

import "sort"

// align is the granularity of offsets in float32 values: 64 bytes, a cache line and a 512-bit vector.
const align = 16

func aligned(n int) int { return (n + align - 1) / align * align }

// A span is a value's place in the arena: n float32 values that must hold from step first to step last.
type span struct {
	n, first, last int
	off            int // found by pack
}

// pack gives every span an offset such that spans alive at the same time do not
// overlap, and returns the arena's size. Largest first, each at the lowest
// offset that is free during its life: the usual heuristic, near the lower
// bound for chains such as nets.
func pack(spans []*span) int {
	order := make([]*span, len(spans))
	copy(order, spans)
	sort.SliceStable(order, func(i, j int) bool { return order[i].n > order[j].n })
	size := 0
	var placed []*span // by offset
	for _, s := range order {
		off := 0
		for _, p := range placed {
			if p.last < s.first || s.last < p.first {
				continue
			}
			if off+aligned(s.n) <= p.off {
				break
			}
			off = max(off, p.off+aligned(p.n))
		}
		s.off = off
		size = max(size, off+aligned(s.n))
		i := sort.Search(len(placed), func(i int) bool { return placed[i].off > off })
		placed = append(placed, nil)
		copy(placed[i+1:], placed[i:])
		placed[i] = s
	}
	return size
}
