package engine

import (
	"math/rand/v2"
	"testing"
)

// Values alive at the same time never share memory, whatever their sizes and lives.
func TestPack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var spans []*span
		for range 1 + r.IntN(40) {
			first := r.IntN(30)
			spans = append(spans, &span{n: 1 + r.IntN(100), first: first, last: first + r.IntN(8)})
		}
		size := pack(spans)
		for i, a := range spans {
			if a.off%align != 0 || a.off < 0 || a.off+a.n > size {
				t.Fatalf("a span of %d lies at %d of %d", a.n, a.off, size)
			}
			for _, b := range spans[:i] {
				if a.first <= b.last && b.first <= a.last && a.off < b.off+b.n && b.off < a.off+a.n {
					t.Fatalf("%+v and %+v overlap", *a, *b)
				}
			}
		}
	}
}

// A chain of equal values needs two places, however long it is.
func TestPackReuses(t *testing.T) {
	var spans []*span
	for i := range 20 {
		spans = append(spans, &span{n: 64, first: i, last: i + 1})
	}
	if size := pack(spans); size != 2*64 {
		t.Errorf("%d values, want 128", size)
	}
}
