package imaging

import (
	"runtime"
	"sync"
)

// decoding is the budget that all readers of the process share.
var decoding = newBudget(MaxPixels)

// A budget is the number of pixels that readers may hold while they decode. It keeps the memory of
// several decoders within that of one large image.
type budget struct {
	mutex sync.Mutex
	freed sync.Cond
	free  int
}

func newBudget(pixels int) *budget {
	b := &budget{free: pixels}
	b.freed.L = &b.mutex
	return b
}

// acquire waits until the given number of pixels is free. A reader holds one image at a time, so
// readers cannot wait for each other in a circle.
func (b *budget) acquire(pixels int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for b.free < pixels {
		b.freed.Wait()
	}
	b.free -= pixels
}

// large is the size, in pixels, from which an image's memory is collected before the next image is
// decoded: otherwise the collector would let twice as much pile up.
const large = MaxPixels / 8

func (b *budget) release(pixels int) {
	if pixels >= large {
		runtime.GC()
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.free += pixels
	b.freed.Broadcast()
}
