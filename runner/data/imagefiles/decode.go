package imagefiles

import (
	"context"
	"image"
	"sync"

	"ablate/runner/data/imaging"
)

// A Decoded is the result for one file.
type Decoded struct {
	Index  int         // in the list
	Pixels []byte      // valid during the call; nil if Err is set
	Source image.Point // size of the image in the file
	Bytes  int64       // read from the file
	Err    error       // wraps imaging.ErrBad or ErrUnreadable
}

// Decode reads files with the given number of workers. It passes each result to use, in the order
// of the list and from one goroutine at a time. It ends with the first error that use returns, or
// with the context. It holds a few results per worker in memory.
func Decode(ctx context.Context, files []File, fit imaging.Fit, workers int, use func(Decoded) error) error {
	ctx, cancel := context.WithCancel(ctx)
	type slot struct {
		d    Decoded
		buf  []byte
		done chan struct{}
	}
	const perWorker = 4
	free := make(chan *slot, perWorker*workers)
	ordered := make(chan *slot, perWorker*workers) // in the order of the list, filled or being filled
	work := make(chan *slot)
	for range cap(free) {
		free <- &slot{buf: make([]byte, fit.Len()), done: make(chan struct{}, 1)}
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel() // before the wait
	running.Go(func() {
		defer close(work)
		defer close(ordered)
		for i := range files {
			select {
			case s := <-free:
				s.d = Decoded{Index: i}
				ordered <- s // never blocks: there are as many places as slots
				select {
				case work <- s:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	for range workers {
		running.Go(func() {
			r := imaging.NewReader(fit)
			for s := range work {
				text, err := files[s.d.Index].Read()
				if err == nil {
					err = r.Read(text, s.buf)
				}
				if s.d.Bytes, s.d.Err = int64(len(text)), err; err == nil {
					s.d.Pixels, s.d.Source = s.buf, r.Source
				}
				s.done <- struct{}{}
			}
		})
	}
	for s := range ordered {
		select {
		case <-s.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := use(s.d); err != nil {
			return err
		}
		free <- s
	}
	return ctx.Err()
}
