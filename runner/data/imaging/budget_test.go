package imaging

import (
	"bytes"
	"image"
	"image/png"
	"sync"
	"sync/atomic"
	"testing"
)

// Concurrent decoders never hold more pixels than the budget: eight files of 1 MB used to take 4.4
// GB.
func TestBudget(t *testing.T) {
	t.Parallel()
	b := newBudget(10)
	var held, most atomic.Int64
	var all sync.WaitGroup
	for i := range 50 {
		pixels := 1 + i%10
		all.Go(func() {
			b.acquire(pixels)
			now := held.Add(int64(pixels))
			for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
			}
			held.Add(int64(-pixels))
			b.release(pixels)
		})
	}
	all.Wait()
	if most.Load() > 10 || b.free != 10 {
		t.Errorf("%d of 10 pixels were held, %d are free at the end", most.Load(), b.free)
	}
}

// A reader holds its pixels until it has resized them, whether the file is complete or not.
func TestReadersUseTheBudget(t *testing.T) {
	before := decoding
	defer func() { decoding = before }()
	decoding = newBudget(40 * 30)
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewGray(image.Rect(0, 0, 40, 30))); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			fit := Fit{Size: 8}
			r := NewReader(fit)
			if err := r.Read(file.Bytes(), make([]byte, fit.Len())); err != nil || r.Source != image.Pt(40, 30) {
				t.Errorf("%v, %v", err, r.Source)
			}
			if r.Read(file.Bytes()[:file.Len()/2], make([]byte, fit.Len())) == nil {
				t.Error("half a file was read")
			}
		})
	}
	all.Wait()
	if decoding.free != 40*30 {
		t.Errorf("%d pixels are free at the end", decoding.free)
	}
}
