package data

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"

	"ablate/ablations"
	"ablate/arch"
	"ablate/runner/random"
)

// A Pipeline prepares a data set's images for a net: mean, scale, crops, flips.
type Pipeline struct {
	ds    *Dataset
	cfg   ablations.Data
	batch int
	shape arch.Shape // of an image as the net sees it
	mean  []float32  // one value an input value

	order, crop, flip random.Stream
}

// NewPipeline computes the mean of the training images and checks that the recipe fits the data.
func NewPipeline(ds *Dataset, cfg ablations.Data, batch int, seed uint64) (*Pipeline, error) {
	p := &Pipeline{ds: ds, cfg: cfg, batch: batch, shape: ds.Shape,
		order: random.New(seed, "data/order"), crop: random.New(seed, "data/crop"), flip: random.New(seed, "data/flip")}
	if n := ds.Train.Len(); batch < 1 || batch > n {
		return nil, fmt.Errorf("train.batch is %d, data %s has %d training images", batch, ds.Name, n)
	}
	if cfg.Crop > 0 {
		p.shape.Height, p.shape.Width = cfg.Crop, cfg.Crop
	}
	if h, w := ds.Shape.Height+2*cfg.Pad, ds.Shape.Width+2*cfg.Pad; p.shape.Height > h || p.shape.Width > w {
		return nil, fmt.Errorf("data.crop is %d, images are %d×%d with their border", cfg.Crop, h, w)
	}
	if cfg.Pad > 0 && cfg.Crop == 0 {
		return nil, fmt.Errorf("data.pad is %d without data.crop; %d crops images of their own size",
			cfg.Pad, min(ds.Shape.Height, ds.Shape.Width))
	}
	var err error
	p.mean, err = ds.mean(cfg.Mean)
	return p, err
}

// mean is what is subtracted from every image: the training images' mean per value, per channel, or nothing.
func (ds *Dataset) mean(kind string) ([]float32, error) {
	if kind != "image" && kind != "channel" {
		return make([]float32, ds.Shape.Len()), nil
	}
	if ds.Mean == nil { // once for all runs on this data set
		var err error
		if ds.Mean, err = meanImage(ds.Train, ds.Shape.Len()); err != nil {
			return nil, err
		}
	}
	if kind == "image" {
		return ds.Mean, nil
	}
	channels := make([]float64, ds.Shape.Channels)
	for j, v := range ds.Mean {
		channels[j%len(channels)] += float64(v)
	}
	mean := make([]float32, len(ds.Mean))
	for j := range mean {
		mean[j] = float32(channels[j%len(channels)] / float64(ds.Shape.Height*ds.Shape.Width))
	}
	return mean, nil
}

func meanImage(s Split, size int) ([]float32, error) {
	sums := make([]float64, size)
	err := s.each(context.Background(), size, func(_ int, image []byte) {
		for j, v := range image {
			sums[j] += float64(v)
		}
	})
	if err != nil {
		return nil, err
	}
	mean := make([]float32, size)
	for j, v := range sums {
		mean[j] = float32(v / float64(s.Len()))
	}
	return mean, nil
}

// Shape is an image as the net sees it.
func (p *Pipeline) Shape() arch.Shape { return p.shape }

// Batches is the number of whole batches in a training epoch. What is left over
// is not seen in that epoch; every epoch has another order.
func (p *Pipeline) Batches() int { return p.ds.Train.Len() / p.batch }

// A Batch is images ready for the net.
type Batch struct {
	X       []float32 // [batch, height, width, channels]
	Y       []float32 // class numbers
	N       int       // images; whatever comes after them is zero
	First   int       // place of the first image in its split, or in the epoch's order
	Indices []int32   // of the images in their split
}

// A Reader hands out batches that goroutines prepare ahead. They end with the
// last batch, with the context, with an image that cannot be read, or with Close.
type Reader struct {
	ready, free chan *Batch
	last        *Batch
	end         error // what Next gives after the last batch
	cancel      context.CancelFunc
	ctx         context.Context
	done        sync.WaitGroup
}

// ahead is how many batches exist at a time: one in use, the others ready or being filled.
const ahead = 3

// A filler prepares a batch's images [from, to) with a buffer that one stored image fits in.
type filler func(b *Batch, from, to int, buf []byte) error

// read prepares so many batches: begin says what batch i will hold, and several
// goroutines fill it.
func (p *Pipeline) read(ctx context.Context, s Split, batches int, begin func(b *Batch, i int), fill filler) *Reader {
	r := &Reader{ready: make(chan *Batch, ahead), free: make(chan *Batch, ahead), end: io.EOF}
	r.ctx, r.cancel = context.WithCancel(ctx)
	for range ahead {
		r.free <- &Batch{X: make([]float32, p.batch*p.shape.Len()), Y: make([]float32, p.batch), Indices: make([]int32, p.batch)}
	}
	type part struct {
		b        *Batch
		from, to int
	}
	workers := min(runtime.GOMAXPROCS(0), p.batch)
	parts, filled := make(chan part, workers), make(chan error, p.batch)
	for range workers {
		r.done.Go(func() {
			buf := s.buffer(p.ds.Shape.Len())
			for part := range parts {
				filled <- fill(part.b, part.from, part.to, buf)
			}
		})
	}
	size := max(1, p.batch/(4*workers)) // of a part: small, so that no worker waits long for another
	r.done.Go(func() {
		defer close(r.ready)
		defer close(parts)
		for i := range batches {
			select {
			case b := <-r.free:
				begin(b, i)
				sent := 0
				for from := 0; from < b.N; from += size {
					parts <- part{b, from, min(b.N, from+size)}
					sent++
				}
				for range sent {
					if err := <-filled; err != nil && r.end == io.EOF {
						r.end = err
					}
				}
				if r.end != io.EOF {
					return
				}
				r.ready <- b
			case <-r.ctx.Done():
				return
			}
		}
	})
	return r
}

// Next gives the next batch, which belongs to the caller until the call after
// it; io.EOF at the end, the context's error if it was cancelled.
func (r *Reader) Next() (*Batch, error) {
	if r.last != nil {
		r.free <- r.last
		r.last = nil
	}
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case b, ok := <-r.ready:
		if !ok {
			if err := r.ctx.Err(); err != nil {
				return nil, err
			}
			return nil, r.end
		}
		r.last = b
		return b, nil
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
}

// Close stops the goroutine and waits for it.
func (r *Reader) Close() {
	r.cancel()
	r.done.Wait()
}

// Train reads an epoch's batches from number from on (0 is the first). The order
// depends on seed and epoch, an image's crop and flip on seed, epoch and the image.
func (p *Pipeline) Train(ctx context.Context, epoch, from int) *Reader {
	if from < 0 || from > p.Batches() {
		r := p.read(ctx, p.ds.Train, 0, nil, nil)
		r.end = fmt.Errorf("batch %d of an epoch of %d", from, p.Batches())
		return r
	}
	order := p.order.Perm(uint64(epoch), p.ds.Train.Len())
	begin := func(b *Batch, i int) { b.First, b.N = (from+i)*p.batch, p.batch }
	return p.read(ctx, p.ds.Train, p.Batches()-from, begin, func(b *Batch, from, to int, buf []byte) error {
		for j := from; j < to; j++ {
			index := order[b.First+j]
			step, at := uint64(epoch), uint64(index)
			y := p.offset(p.crop.Intn(step, 2*at, p.room(p.ds.Shape.Height, p.shape.Height)))
			x := p.offset(p.crop.Intn(step, 2*at+1, p.room(p.ds.Shape.Width, p.shape.Width)))
			flip := p.cfg.Flip && p.flip.Uint32(step, at)&1 == 1
			if err := p.prepare(b, j, p.ds.Train, index, y, x, flip, buf); err != nil {
				return err
			}
		}
		return nil
	})
}

// Test reads the test images in order, each cut to its centre. The last batch may hold fewer.
func (p *Pipeline) Test(ctx context.Context) *Reader {
	n := p.ds.Test.Len()
	y, x := (p.ds.Shape.Height-p.shape.Height)/2, (p.ds.Shape.Width-p.shape.Width)/2
	begin := func(b *Batch, i int) {
		b.First = i * p.batch
		b.N = min(p.batch, n-b.First)
		clear(b.X[b.N*p.shape.Len():])
		clear(b.Y[b.N:])
		clear(b.Indices[b.N:])
	}
	return p.read(ctx, p.ds.Test, (n+p.batch-1)/p.batch, begin, func(b *Batch, from, to int, buf []byte) error {
		for j := from; j < to; j++ {
			if err := p.prepare(b, j, p.ds.Test, int32(b.First+j), y, x, false, buf); err != nil {
				return err
			}
		}
		return nil
	})
}

// room is the number of places a crop can have along one side of the image and its border.
func (p *Pipeline) room(size, crop int) int { return size + 2*p.cfg.Pad - crop + 1 }

// offset turns a place in the bordered image into one in the image.
func (p *Pipeline) offset(place int) int { return place - p.cfg.Pad }

// prepare writes image index of a split as the batch's image j, cut at (top,
// left). What lies outside the image is zero, the mean's colour.
func (p *Pipeline) prepare(b *Batch, j int, s Split, index int32, top, left int, flip bool, buf []byte) error {
	in, out := p.ds.Shape, p.shape
	image, err := s.Image(int(index), in.Len(), buf)
	if err != nil {
		return fmt.Errorf("data %s: %w", p.ds.Name, err)
	}
	to := b.X[j*out.Len():][:out.Len()]
	for y := range out.Height {
		row := to[y*out.Width*out.Channels:][:out.Width*out.Channels]
		sy := top + y
		if sy < 0 || sy >= in.Height {
			clear(row)
			continue
		}
		first, end := max(0, -left), min(out.Width, in.Width-left) // columns that lie in the image
		clear(row[:first*in.Channels])
		clear(row[end*in.Channels:])
		at, n := (sy*in.Width+left+first)*in.Channels, (end-first)*in.Channels
		subtract(row[first*in.Channels:][:n], image[at:][:n], p.mean[at:][:n], float32(p.cfg.Scale))
		if flip {
			mirror(row, in.Channels)
		}
	}
	b.Indices[j] = index
	b.Y[j] = float32(s.Labels[index])
	return nil
}

// subtract writes (x - mean) · scale.
func subtract(to []float32, x []byte, mean []float32, scale float32) {
	mean = mean[:len(to)]
	x = x[:len(to)]
	for i := range to {
		to[i] = (float32(x[i]) - mean[i]) * scale
	}
}

// mirror turns a row of pixels around.
func mirror(row []float32, channels int) {
	for a, b := 0, len(row)-channels; a < b; a, b = a+channels, b-channels {
		for c := range channels {
			row[a+c], row[b+c] = row[b+c], row[a+c]
		}
	}
}
