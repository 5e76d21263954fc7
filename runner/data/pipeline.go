package data

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/augment"
	"ablate/runner/random"
)

// A Pipeline prepares a data set's images for a net: mean, scale, crops, flips, colours and wrong
// labels.
type Pipeline struct {
	// Raw makes readers return images as bytes, each with its transform, for devices that make the
	// net's input themselves. It affects the readers that begin after it is set.
	Raw bool

	ds    *Dataset
	train Split // with the wrong labels that the recipe asks for
	cfg   recipe.Data
	batch int
	shape arch.Shape // an image as the net sees it
	mean  []float32  // one for each value of a stored image
	// meanAt is where the mean is cut for all images; nil if it is cut at the same place as the
	// image.
	meanAt *[2]int
	axes   colourAxes

	order, crop, flip, colour random.Stream
	distort                   distortions
}

// NewPipeline computes the mean and colours of the training images and checks that the recipe fits the data.
func NewPipeline(ctx context.Context, ds *Dataset, cfg recipe.Data, batch int, seed uint64) (*Pipeline, error) {
	if cfg.Split == recipe.ResampledSplit {
		ds = ds.resampled(seed)
	}
	p := &Pipeline{ds: ds, train: ds.Train, cfg: cfg, batch: batch, shape: ds.Shape,
		order: random.New(seed, "data/order"), crop: random.New(seed, "data/crop"),
		flip: random.New(seed, "data/flip"), colour: random.New(seed, "data/pca-colour"), distort: newDistortions(seed)}
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
	if cfg.Mean == "image_centre" {
		if p.shape.Height > ds.Shape.Height || p.shape.Width > ds.Shape.Width {
			return nil, fmt.Errorf("data.mean is image_centre, but crops of %d are larger than the images", cfg.Crop)
		}
		p.meanAt = &[2]int{(ds.Shape.Height - p.shape.Height) / 2, (ds.Shape.Width - p.shape.Width) / 2}
	}
	if cfg.ColourJitter != (recipe.ColourJitter{}) && ds.Shape.Channels != 3 {
		return nil, fmt.Errorf("data.colour_jitter is for images of 3 channels, those of %s have %d", ds.Name,
			ds.Shape.Channels)
	}
	if cfg.LabelNoise > 0 {
		if len(ds.Classes) < 2 {
			return nil, fmt.Errorf("data.label_noise needs another class, %s has %d", ds.Name, len(ds.Classes))
		}
		stream := random.New(seed, "data/label-noise")
		p.train.Labels = wrongLabels(ds.Train.Labels, len(ds.Classes), cfg.LabelNoise, stream)
	}
	var err error
	if p.mean, err = ds.mean(ctx, cfg.Mean); err != nil {
		return nil, err
	}
	if cfg.PCAColour.Std > 0 {
		p.axes, err = ds.colourAxes(ctx, cfg.PCAColour)
	}
	return p, err
}

// mean returns what is subtracted from every image: the training images' mean per value or per
// channel, or nothing.
func (ds *Dataset) mean(ctx context.Context, kind string) ([]float32, error) {
	if kind == "none" {
		return make([]float32, ds.Shape.Len()), nil
	}
	if ds.Mean == nil { // once for all runs on this data set
		var err error
		if ds.Mean, err = meanImage(ctx, ds.Train, ds.Shape.Len()); err != nil {
			return nil, err
		}
	}
	if kind != "channel" {
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

func meanImage(ctx context.Context, s Split, size int) ([]float32, error) {
	sums := make([]float64, size)
	err := s.each(ctx, size, func(_ int, image []byte) {
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

// Distorts reports whether only the host can make the inputs of training images.
func (p *Pipeline) Distorts() bool { return distorts(p.cfg) }

// Shape returns the shape of an image as the net sees it.
func (p *Pipeline) Shape() arch.Shape { return p.shape }

// Batches returns the number of whole batches in a training epoch. An epoch does not show the
// images that are left over; every epoch has another order.
func (p *Pipeline) Batches() int { return p.train.Len() / p.batch }

// A Batch holds images that are ready for the net or, if Raw, for a device that makes the input
// itself.
type Batch struct {
	X       []float32      // [batch, height, width, channels]; nil if Raw
	Images  augment.Images // set only if Raw
	Y       []float32      // class numbers
	Other   []float32      // class numbers of the images that are mixed into these; nil if none are
	Share   float32        // of an image's own class, if images are mixed
	N       int            // images; the rest of the batch is zero, or shown as zero
	First   int            // place of the first image in its split, or in the epoch's order
	Indices []int32        // places of the images in their split
	View    int            // in evaluation: which of the Views of these images this is
	Views   int
}

// A Reader returns batches that goroutines prepare in advance. It ends after the last batch, with
// the context, with an image that cannot be read, or with Close.
type Reader struct {
	ready, free chan *Batch
	last        *Batch
	end         error // what Next returns after the last batch
	cancel      context.CancelFunc
	ctx         context.Context
	done        sync.WaitGroup
}

// ahead is the number of batches that exist at a time: one in use, the others ready or being
// filled.
const ahead = 3

// A filler prepares a batch's images [from, to). buf has room for one stored image.
type filler func(b *Batch, from, to int, buf []byte) error

// read prepares a number of batches: begin says what batch i will hold, several goroutines fill
// it, and end, if it is not nil, works on the whole batch.
func (p *Pipeline) read(ctx context.Context, s Split, batches int, begin func(b *Batch, i int), fill filler,
	end func(b *Batch, i int)) *Reader {
	r := &Reader{ready: make(chan *Batch, ahead), free: make(chan *Batch, ahead), end: io.EOF}
	r.ctx, r.cancel = context.WithCancel(ctx)
	for range ahead {
		r.free <- p.newBatch()
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
	size := max(1, p.batch/(4*workers)) // parts are small, so that no worker waits long for another
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
				if end != nil {
					end(b, i)
				}
				r.ready <- b
			case <-r.ctx.Done():
				return
			}
		}
	})
	return r
}

// newBatch allocates a batch, with images as the net takes them or as bytes.
func (p *Pipeline) newBatch() *Batch {
	b := &Batch{Y: make([]float32, p.batch), Indices: make([]int32, p.batch)}
	if p.Raw {
		b.Images = augment.Images{
			Shape: p.ds.Shape, Pixels: make([]byte, p.batch*p.ds.Shape.Len()),
			Transforms: make([]augment.Transform, p.batch), Mean: p.mean, MeanAt: p.meanAt,
		}
	} else {
		b.X = make([]float32, p.batch*p.shape.Len())
	}
	if p.cfg.Mixes() {
		b.Other = make([]float32, p.batch)
	}
	return b
}

// Next returns the next batch, which belongs to the caller until the next call. The error is
// io.EOF at the end, and the context's error if the context was cancelled.
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

// Train reads an epoch's batches, starting with batch number from (the first is 0). The order
// depends on seed and epoch. An image's crop, flip and colours depend on seed, epoch and the image
// or, if a chunk shares crop and flip, on its place in the order.
func (p *Pipeline) Train(ctx context.Context, epoch, from int) *Reader {
	if from < 0 || from > p.Batches() {
		r := p.read(ctx, p.train, 0, nil, nil, nil)
		r.end = fmt.Errorf("batch %d of an epoch of %d", from, p.Batches())
		return r
	}
	order, shown := p.order.Perm(uint64(epoch), p.train.Len()), p.in(epoch)
	begin := func(b *Batch, i int) { b.First, b.N = (from+i)*p.batch, p.batch }
	fill := func(b *Batch, from, to int, buf []byte) error {
		for j := from; j < to; j++ {
			index := order[b.First+j]
			view := shown.augmented(epoch, b.First+j, index)
			var err error
			if distorts(shown.cfg) {
				err = shown.distorted(b, j, epoch, index, view, buf)
			} else {
				err = shown.prepare(b, j, p.train, index, view, buf)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	var end func(*Batch, int)
	switch {
	case shown.cfg.Mixes():
		end = func(b *Batch, i int) { shown.mixed(b, epoch, from+i) }
	case p.cfg.Mixes(): // mixing has ended
		end = func(b *Batch, _ int) {
			b.Share = 1
			copy(b.Other, b.Y)
		}
	}
	return p.read(ctx, p.train, p.Batches()-from, begin, fill, end)
}

// Test reads the test images in order. Each batch comes once for every view, one view after the
// other. The last batch may hold fewer images.
func (p *Pipeline) Test(ctx context.Context, crops recipe.TestCrops) *Reader {
	if crops == recipe.TenCrop {
		return p.inOrder(ctx, p.ds.Test, p.ten())
	}
	return p.inOrder(ctx, p.ds.Test, []augment.Transform{p.centre()})
}

// Validation reads the held-out training images in order. Each is cut to its centre.
func (p *Pipeline) Validation(ctx context.Context) *Reader {
	return p.inOrder(ctx, p.ds.Validation, []augment.Transform{p.centre()})
}

func (p *Pipeline) inOrder(ctx context.Context, s Split, views []augment.Transform) *Reader {
	n := s.Len()
	begin := func(b *Batch, i int) {
		b.First, b.View, b.Views = i/len(views)*p.batch, i%len(views), len(views)
		b.N = min(p.batch, n-b.First)
		p.blank(b)
	}
	return p.read(ctx, s, len(views)*((n+p.batch-1)/p.batch), begin, func(b *Batch, from, to int, buf []byte) error {
		for j := from; j < to; j++ {
			if err := p.prepare(b, j, s, int32(b.First+j), views[b.View], buf); err != nil {
				return err
			}
		}
		return nil
	}, nil)
}

// blank sets everything after a batch's images to zero.
func (p *Pipeline) blank(b *Batch) {
	if b.X == nil {
		for j := b.N; j < p.batch; j++ {
			b.Images.Transforms[j] = p.outside()
		}
	} else {
		clear(b.X[b.N*p.shape.Len():])
	}
	clear(b.Y[b.N:])
	clear(b.Indices[b.N:])
}

// prepare writes image index of a split into the batch as its image j. It writes the view of the
// image or, if Raw, the bytes with the view.
func (p *Pipeline) prepare(b *Batch, j int, s Split, index int32, v augment.Transform, buf []byte) error {
	size := p.ds.Shape.Len()
	if b.X == nil {
		buf = b.Images.Pixels[j*size:][:size]
	}
	image, err := s.Image(int(index), size, buf)
	if err != nil {
		return fmt.Errorf("data %s: %w", p.ds.Name, err)
	}
	if b.X == nil {
		copy(buf, image) // image may be buf already
		b.Images.Transforms[j] = v
	} else {
		p.show(b.X[j*p.shape.Len():][:p.shape.Len()], image, v)
	}
	b.Indices[j] = index
	b.Y[j] = float32(s.Labels[index])
	return nil
}

// show writes a view of an image. Pixels outside the image become zero, the colour of the mean.
func (p *Pipeline) show(to []float32, image []byte, v augment.Transform) {
	in, out := p.ds.Shape, p.shape
	top, left := int(v.Top), int(v.Left)
	meanTop, meanLeft := top, left
	if p.meanAt != nil {
		meanTop, meanLeft = p.meanAt[0], p.meanAt[1]
	}
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
		n := (end - first) * in.Channels
		pixels := image[(sy*in.Width+left+first)*in.Channels:][:n]
		mean := p.mean[((meanTop+y)*in.Width+meanLeft+first)*in.Channels:][:n]
		if v.Shifted {
			subtractShifted(row[first*in.Channels:][:n], pixels, mean, v.Shift, v.Scale)
		} else {
			subtract(row[first*in.Channels:][:n], pixels, mean, v.Scale)
		}
		if v.Flip {
			mirror(row, in.Channels)
		}
	}
}

// subtract writes (x - mean) · scale.
func subtract(to []float32, x []byte, mean []float32, scale float32) {
	mean = mean[:len(to)]
	x = x[:len(to)]
	for i := range to {
		to[i] = (float32(x[i]) - mean[i]) * scale
	}
}

// subtractShifted writes (x - mean + shift) · scale of RGB pixels.
func subtractShifted(to []float32, x []byte, mean []float32, shift [3]float32, scale float32) {
	mean = mean[:len(to)]
	x = x[:len(to)]
	for i := 0; i+2 < len(to); i += 3 {
		to[i] = (float32(x[i]) - mean[i] + shift[0]) * scale
		to[i+1] = (float32(x[i+1]) - mean[i+1] + shift[1]) * scale
		to[i+2] = (float32(x[i+2]) - mean[i+2] + shift[2]) * scale
	}
}

// mirror reverses the order of a row of pixels.
func mirror(row []float32, channels int) {
	for a, b := 0, len(row)-channels; a < b; a, b = a+channels, b-channels {
		for c := range channels {
			row[a+c], row[b+c] = row[b+c], row[a+c]
		}
	}
}
