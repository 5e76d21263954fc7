package engine

import (
	"sort"

	"ablate/runner/graph"
)

// align is the granularity of offsets in float32 values: 64 bytes, a cache line and a 512-bit vector.
const align = 16

func aligned(n int) int { return (n + align - 1) / align * align }

// A span is the place of a value in the arena: n float32 values that must hold from step first to step
// last.
type span struct {
	n, first, last int
	off            int // set by pack
}

// pack chooses the offset of every span so that spans alive at the same time do not overlap, and
// returns the size of the arena. The largest spans come first, each at the lowest offset that is free
// during its life. This is the usual heuristic, near the lower bound for chains such as nets.
func pack(spans []*span) int {
	order := make([]*span, len(spans))
	copy(order, spans)
	sort.SliceStable(order, func(i, j int) bool { return order[i].n > order[j].n })
	size := 0
	var placed []*span // sorted by offset
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

// reads returns all buffers that an instruction reads.
func (l *instruction) reads() []*buffer {
	if l.Mask == nil {
		return l.in
	}
	return append(l.in[:len(l.in):len(l.in)], l.Mask)
}

// inPlace lets an elementwise op overwrite an input that no later instruction reads.
func (s *schedule) inPlace() {
	last := map[*buffer]int{}
	for i, l := range s.instructions {
		for _, v := range l.reads() {
			last[v.memory()] = i
		}
	}
	for i := range s.instructions {
		l := &s.instructions[i]
		var from []*buffer
		switch l.ops[0].(type) {
		case *graph.Activation, *graph.Dropout:
			from = l.in[:1]
		case *graph.ActivationGrad, *graph.LRNGrad:
			from = l.in[1:2] // dy or, with a pooling layer's gradient, y
		case *graph.Add:
			if len(l.in) == 2 { // of more inputs, the third is read after the first sum is written
				from = l.in
			}
		}
		for _, v := range from {
			if last[v] == i && !s.kept[v] && !v.external && v.storage == nil && v.base == nil {
				l.alias = v
				break
			}
		}
	}
}

// A memoryPlan holds the place of every buffer.
type memoryPlan struct {
	owner map[*buffer]*buffer   // the buffer whose memory a buffer uses
	spans map[*buffer]([]*span) // of an owner, one per device
	order []*buffer             // owners as they first appear
}

// plan finds the life of every buffer that is not a parameter: from the instruction that computes it
// to the last one that reads it. Inputs, constants and kept values live throughout.
func (s *schedule) plan() *memoryPlan {
	p := &memoryPlan{map[*buffer]*buffer{}, map[*buffer][]*span{}, nil}
	end := len(s.instructions)
	touch := func(v *buffer, i int) {
		v = v.memory()
		if v.storage != nil {
			return
		}
		if _, ok := p.owner[v]; !ok {
			p.owner[v] = v
		}
		owner := p.owner[v]
		spans, ok := p.spans[owner]
		if !ok {
			for _, shape := range owner.shapes {
				spans = append(spans, &span{n: Tensor{Shape: shape, Type: owner.kind}.room(), first: i})
			}
			p.spans[owner] = spans
			p.order = append(p.order, owner)
		}
		for _, span := range spans {
			span.last = max(span.last, i)
			if v.external {
				span.first, span.last = 0, end
			}
		}
	}
	for i, l := range s.instructions {
		for _, v := range l.reads() {
			touch(v, i)
		}
		if l.out == nil {
			continue
		}
		if l.alias != nil {
			p.owner[l.out] = p.owner[l.alias]
		}
		touch(l.out, i)
	}
	for _, binding := range s.bindings {
		for _, v := range binding.buffers {
			touch(v, end)
		}
	}
	return p
}
