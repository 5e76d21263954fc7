package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"time"

	"ablate/runner/data"
	"ablate/runner/engine"
	"ablate/runner/graph"
)

// steps trains the rest of the current epoch and yields after each step. If an error ends the
// epoch, steps yields the error.
func (t *Trainer) steps(ctx context.Context) iter.Seq[error] {
	return func(yield func(error) bool) {
		batches := t.pipeline.Train(ctx, t.epoch, t.batch)
		defer batches.Close()
		for batch := t.load(batches); !errors.Is(batch.err, io.EOF); {
			next, err := t.advance(batch, batches)
			if !yield(err) || err != nil {
				return
			}
			batch = next
		}
	}
}

// A loaded batch is in the program's inputs.
type loaded struct {
	first, n int // place of its first image in the epoch's order, and number of images
	labels   []float32
	waited   time.Duration // for its images
	err      error         // why there is no batch; io.EOF after the last
}

// advance trains one step on a loaded batch. It loads the next batch before it waits for the step,
// so that a GPU receives the batch while it computes.
func (t *Trainer) advance(batch loaded, batches *data.Reader) (next loaded, err error) {
	if batch.err != nil {
		return next, batch.err
	}
	started := time.Now()
	if err := t.launch(); err != nil {
		return next, err
	}
	next = t.load(batches)
	if err := t.sync(); err != nil {
		return next, err
	}
	if loss := float64(t.loss[0]); math.IsNaN(loss) || math.IsInf(loss, 0) {
		return next, fmt.Errorf("epoch %d, step %d: loss %v: %w", t.epoch+1, t.step, loss, ErrDiverged)
	}
	for i := range batch.n {
		p := predict(batch.first+i, int(batch.labels[i]), t.row(i))
		t.running.Add(p)
		t.since.Add(p)
	}
	t.step++
	t.batch++
	t.speed.add(batch.n, time.Since(started), next.waited)
	return next, nil
}

// load waits for the next batch and puts it into the training program's inputs.
func (t *Trainer) load(batches *data.Reader) loaded {
	started := time.Now()
	batch, err := batches.Next()
	l := loaded{waited: time.Since(started), err: err}
	if err != nil {
		return l
	}
	t.labels[0], t.labels[1] = t.labels[1], t.labels[0]
	copy(t.labels[0], batch.Y)
	l.first, l.n, l.labels, l.err = batch.First, batch.N, t.labels[0], t.feed(batch)
	return l
}

// feed puts a batch into the training program's inputs.
func (t *Trainer) feed(b *data.Batch) error {
	m := t.model
	if err := write(m.Program, m.Graph, b); err != nil {
		return err
	}
	if t.targets == nil {
		return m.Program.Write(m.Graph.Labels, b.Y)
	}
	t.soften(b, t.classes())
	return m.Program.Write(m.Graph.Labels, t.targets)
}

// soften turns the batch's labels into shares of n classes.
func (t *Trainer) soften(b *data.Batch, n int) {
	smoothing := t.recipe.Train.LabelSmoothing
	even := float32(smoothing / float64(n))
	for i := range b.N {
		row := t.targets[i*n : (i+1)*n]
		for c := range row {
			row[c] = even
		}
		own := float32(1 - smoothing)
		if b.Other != nil {
			row[int(b.Other[i])] += float32((1 - b.Share) * own)
			own *= b.Share
		}
		row[int(b.Y[i])] += own
	}
}

// write puts a batch's images into a program's input. If the device makes the input itself, it
// writes the images as they are stored.
func write(p *engine.Program, g *graph.Graph, b *data.Batch) error {
	if b.X == nil {
		return p.WriteImages(g.Input, b.Images)
	}
	return p.Write(g.Input, b.X)
}

// launch begins a step on the loaded batch: loss, gradients and update.
func (t *Trainer) launch() error {
	r, done := t.recipe.Train, t.done()
	rate, factors := t.rates.at(done)
	t.model.Program.Context = engine.Context{
		Seed: t.seed, Step: t.step, Rate: rate, Momentum: r.Momentum, Decay: r.WeightDecay, Factors: factors,
		DropoutUntil: r.DropoutUntil > 0 && int(done) >= r.DropoutUntil,
	}
	return t.model.Program.RunAll()
}

// sync waits for the step and reads its loss and logits.
func (t *Trainer) sync() error {
	m := t.model
	if err := m.Program.Read(m.Graph.Loss, t.loss); err != nil {
		return err
	}
	return m.Program.Read(m.Graph.Logits, t.logits)
}

// done returns the number of trained epochs, including the trained part of the current one.
func (t *Trainer) done() float64 {
	return float64(t.epoch) + float64(t.batch)/float64(t.pipeline.Batches())
}

// row returns the logits of image i of the batch.
func (t *Trainer) row(i int) []float32 {
	n := t.classes()
	return t.logits[i*n : (i+1)*n]
}

// Digests trains from the initial weights and yields the SHA-256 of the weights
// after each step, for as long as the caller asks for more.
func (t *Trainer) Digests(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for {
			for err := range t.steps(ctx) {
				var digest string
				if err == nil {
					digest, err = t.digest()
				}
				if !yield(digest, err) || err != nil {
					return
				}
			}
			t.nextEpoch()
		}
	}
}
