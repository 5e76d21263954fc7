package imaging

import (
	"runtime"
	"sync"
)

// decoding is what all readers of the process share.
var decoding = newBudget(MaxPixels)

// A budget is a number of pixels that readers hold while they decode. It keeps
// the memory of several decoders within what one large image takes.
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

// acquire waits until that many pixels are free. A reader holds one image at a
// time, so it is never waited for in a circle.
func (b *budget) acquire(pixels int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for b.free < pixels {
		b.freed.Wait()
	}
	b.free -= pixels
}

// large is an image whose memory is collected before the next is decoded: the
// collector would otherwise let twice as much pile up.
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
