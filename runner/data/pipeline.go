package data

import (
	"context"
	"fmt"
	"io"
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
	p.mean = meanImage(ds.Train, ds.Shape, cfg.Mean)
	return p, nil
}

// meanImage is what is subtracted from every image: the training images' mean per value, per channel, or nothing.
func meanImage(s Split, shape arch.Shape, kind string) []float32 {
	n := shape.Len()
	sums := make([]float64, n)
	for i := 0; i < len(s.Images); i += n {
		for j, v := range s.Images[i : i+n] {
			sums[j] += float64(v)
		}
	}
	mean := make([]float32, n)
	switch kind {
	case "image":
		for j := range mean {
			mean[j] = float32(sums[j] / float64(s.Len()))
		}
	case "channel":
		channels := make([]float64, shape.Channels)
		for j, v := range sums {
			channels[j%shape.Channels] += v
		}
		for j := range mean {
			mean[j] = float32(channels[j%shape.Channels] / float64(s.Len()*shape.Height*shape.Width))
		}
	}
	return mean
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

// A Reader hands out batches that a goroutine prepares ahead. The goroutine ends
// with the last batch, with the context, or with Close.
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

func (p *Pipeline) read(ctx context.Context, batches int, fill func(b *Batch, i int)) *Reader {
	r := &Reader{ready: make(chan *Batch, ahead), free: make(chan *Batch, ahead), end: io.EOF}
	r.ctx, r.cancel = context.WithCancel(ctx)
	for range ahead {
		r.free <- &Batch{X: make([]float32, p.batch*p.shape.Len()), Y: make([]float32, p.batch), Indices: make([]int32, p.batch)}
	}
	r.done.Go(func() {
		defer close(r.ready)
		for i := range batches {
			select {
			case b := <-r.free:
				fill(b, i)
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
		r := p.read(ctx, 0, nil)
		r.end = fmt.Errorf("batch %d of an epoch of %d", from, p.Batches())
		return r
	}
	order := p.order.Perm(uint64(epoch), p.ds.Train.Len())
	return p.read(ctx, p.Batches()-from, func(b *Batch, i int) {
		b.First, b.N = (from+i)*p.batch, p.batch
		for j := range p.batch {
			index := order[b.First+j]
			step, at := uint64(epoch), uint64(index)
			y := p.offset(p.crop.Intn(step, 2*at, p.room(p.ds.Shape.Height, p.shape.Height)))
			x := p.offset(p.crop.Intn(step, 2*at+1, p.room(p.ds.Shape.Width, p.shape.Width)))
			flip := p.cfg.Flip && p.flip.Uint32(step, at)&1 == 1
			p.prepare(b, j, p.ds.Train, index, y, x, flip)
		}
	})
}

// Test reads the test images in order, each cut to its centre. The last batch may hold fewer.
func (p *Pipeline) Test(ctx context.Context) *Reader {
	n := p.ds.Test.Len()
	y, x := (p.ds.Shape.Height-p.shape.Height)/2, (p.ds.Shape.Width-p.shape.Width)/2
	return p.read(ctx, (n+p.batch-1)/p.batch, func(b *Batch, i int) {
		b.First = i * p.batch
		b.N = min(p.batch, n-b.First)
		for j := range b.N {
			p.prepare(b, j, p.ds.Test, int32(b.First+j), y, x, false)
		}
		clear(b.X[b.N*p.shape.Len():])
		clear(b.Y[b.N:])
		clear(b.Indices[b.N:])
	})
}

// room is the number of places a crop can have along one side of the image and its border.
func (p *Pipeline) room(size, crop int) int { return size + 2*p.cfg.Pad - crop + 1 }

// offset turns a place in the bordered image into one in the image.
func (p *Pipeline) offset(place int) int { return place - p.cfg.Pad }

// prepare writes image index of a split as the batch's image j, cut at (top,
// left). What lies outside the image is zero, the mean's colour.
func (p *Pipeline) prepare(b *Batch, j int, s Split, index int32, top, left int, flip bool) {
	in, out := p.ds.Shape, p.shape
	image := s.Images[int(index)*in.Len():][:in.Len()]
	to := b.X[j*out.Len():][:out.Len()]
	scale := float32(p.cfg.Scale)
	for y := range out.Height {
		for x := range out.Width {
			from := x
			if flip {
				from = out.Width - 1 - x
			}
			pixel := to[(y*out.Width+x)*out.Channels:][:out.Channels]
			sy, sx := top+y, left+from
			if sy < 0 || sy >= in.Height || sx < 0 || sx >= in.Width {
				clear(pixel)
				continue
			}
			at := (sy*in.Width + sx) * in.Channels
			for c := range pixel {
				pixel[c] = (float32(image[at+c]) - p.mean[at+c]) * scale
			}
		}
	}
	b.Indices[j] = index
	b.Y[j] = float32(s.Labels[index])
}
