package cpu

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// A task is work cut into tiles that do not depend on which worker runs them. Tile i writes only
// values that no other tile of the task reads or writes.
type task interface {
	tile(worker, i int)
}

// workers is a persistent pool of goroutines, one for each core of the device. The caller works too,
// so a pool of one starts no goroutine. Running a task allocates nothing.
type workers struct {
	n    int
	wake chan struct{}
	done sync.WaitGroup

	task  task
	tiles int64
	next  atomic.Int64
	fault atomic.Pointer[fault]
}

// A fault is a panic in a tile, kept so that it becomes the run's error.
type fault struct {
	reason any
	stack  []byte
}

func newWorkers(n int) *workers {
	w := &workers{n: n, wake: make(chan struct{})}
	for i := 1; i < n; i++ {
		go func() {
			for range w.wake {
				w.work(i)
				w.done.Done()
			}
		}()
	}
	return w
}

// run runs all tiles of a task and returns when the last is done. A panic in a tile becomes the error.
func (w *workers) run(t task, tiles int) error {
	w.task, w.tiles = t, int64(tiles)
	w.next.Store(0)
	helpers := min(w.n, tiles) - 1
	w.done.Add(max(helpers, 0))
	for range helpers {
		w.wake <- struct{}{}
	}
	w.work(0)
	w.done.Wait()
	w.task = nil
	if f := w.fault.Swap(nil); f != nil {
		return fmt.Errorf("panic in a kernel: %v\n%s", f.reason, f.stack)
	}
	return nil
}

// work takes tiles until none is left. Worker numbers only select scratch memory, and never affect
// results.
func (w *workers) work(worker int) {
	defer func() {
		if r := recover(); r != nil {
			w.fault.CompareAndSwap(nil, &fault{r, debug.Stack()})
			w.next.Store(w.tiles) // the others stop at their next tile
		}
	}()
	for {
		i := w.next.Add(1) - 1
		if i >= w.tiles {
			return
		}
		w.task.tile(worker, int(i))
	}
}

func (w *workers) close() { close(w.wake) }
