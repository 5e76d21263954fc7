package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/engine"
	"ablate/runner/graph"
)

// ErrDiverged is the end of a run whose loss became NaN or infinite.
var ErrDiverged = errors.New("the loss is not a finite number")

// warmUp is how many steps of an attempt are left out of its speed.
const warmUp = 5

// A trainer is one net on its devices under one seed, ready to train.
type trainer struct {
	recipe   recipe.Recipe
	seed     uint64
	pipeline *data.Pipeline
	params   *engine.Params
	graph    *graph.Graph // for training
	train    *engine.Program
	eval     *engine.Program
	evalNet  *graph.Graph
	rates    *rates

	// Where training stands. With the weights and velocities this is all that the
	// rest of a run depends on: see checkpoint.
	epochs int    // completed
	batch  int    // trained of the next one
	step   uint64 // trained in all
	sum    score  // of the next epoch so far
	logged int    // points of the metric series

	labels   [2][]float32 // of the batch that is trained and of the next
	logits   []float32
	mean     []float64 // softmax outputs over the views of a batch
	loss     []float32
	measured time.Duration // of steps after the warm-up
	waited   time.Duration // of measured, for images
	images   int           // in those
	steps    int           // of this attempt
}

// newTrainer builds a net's graphs, compiles them for the devices and sets the weights for the seed.
func newTrainer(r recipe.Recipe, ds *data.Dataset, dev *Devices, seed uint64) (*trainer, error) {
	t := &trainer{recipe: r, seed: seed}
	var err error
	if t.pipeline, err = feed(r, ds, seed); err != nil {
		return nil, err
	}
	where := dev.placement(r.Train)
	if err := where.Check(r.Net, r.Train.Batch); err != nil {
		return nil, err
	}
	if t.graph, err = graph.Build(r.Net, where.ChunkOf(r.Train.Batch), true); err != nil {
		return nil, err
	}
	if t.rates, err = newRates(r.Train, t.graph.Params); err != nil {
		return nil, err
	}
	if t.evalNet, err = graph.Build(r.Net, where.ChunkOf(r.Train.Batch), false); err != nil {
		return nil, err
	}
	if t.params, err = engine.NewParams(where, t.graph.Params); err != nil {
		return nil, err
	}
	if err = initialise(t.params, t.graph.Params, seed); err != nil {
		return nil, err
	}
	if t.train, err = engine.Train(t.graph, t.params); err != nil {
		return nil, smaller(err, r.Train.Batch)
	}
	if t.eval, err = engine.Evaluate(t.evalNet, t.params); err != nil {
		return nil, smaller(err, r.Train.Batch)
	}
	t.pipeline.Raw = t.train.TakesImages(t.graph.Input)
	t.logits = make([]float32, r.Train.Batch*t.classes())
	t.mean = make([]float64, len(t.logits))
	t.loss = make([]float32, 1)
	for i := range t.labels {
		t.labels[i] = make([]float32, r.Train.Batch)
	}
	return t, nil
}

// smaller says which batch would fit, where a program's activations, which grow
// with the batch, did not.
func smaller(err error, batch int) error {
	var memory *engine.MemoryError
	if !errors.As(err, &memory) {
		return err
	}
	fits := int(int64(batch) * memory.Free / memory.Need)
	if fits >= 16 {
		fits -= fits % 8
	}
	if fits < 1 {
		return fmt.Errorf("%w; not even one image fits beside the weights", err)
	}
	return fmt.Errorf("%w; a batch of %d would fit, try --set train.batch=%d", err, fits, fits)
}

// feed makes the pipeline from a data set into a recipe's net and refuses what does not fit.
func feed(r recipe.Recipe, ds *data.Dataset, seed uint64) (*data.Pipeline, error) {
	p, err := data.NewPipeline(ds, r.Data, r.Train.Batch, seed)
	if err != nil {
		return nil, err
	}
	if got := p.Shape(); got != r.Net.Input {
		return nil, fmt.Errorf("net %s takes %v images, data %s gives %v: set net.input or data.crop", r.Net.Name, r.Net.Input, r.Data.Name, got)
	}
	placed, err := r.Net.Infer()
	if err != nil {
		return nil, err
	}
	if outputs := placed[len(placed)-1].In.Channels; outputs < len(ds.Classes) {
		return nil, fmt.Errorf("net %s has %d outputs for the %d classes of %s", r.Net.Name, outputs, len(ds.Classes), ds.Name)
	}
	return p, nil
}

func (t *trainer) classes() int { return t.graph.Logits.Shape()[3] }

// epoch trains what is left of the current epoch and gives its mean loss and
// training error. after is called after every step with the batch's images. The
// next batch is given to the program before a step's outputs are read: a GPU
// takes it in while it computes.
func (t *trainer) epoch(ctx context.Context, after func(images int) error) (score, error) {
	reader := t.pipeline.Train(ctx, t.epochs, t.batch)
	defer reader.Close()
	batch, _, err := t.fetch(reader)
	for err == nil {
		started := time.Now()
		if err := t.begin(t.done()); err != nil {
			return t.sum, err
		}
		next, waited, ended := t.fetch(reader) // an error must wait until the step that was begun has ended
		if err := t.end(); err != nil {
			return t.sum, err
		}
		loss := float64(t.loss[0])
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return t.sum, fmt.Errorf("epoch %d, step %d: loss %v: %w", t.epochs+1, t.step, loss, ErrDiverged)
		}
		t.count(&t.sum, batch)
		t.step++
		t.batch++
		if t.steps++; t.steps > warmUp {
			t.measured += time.Since(started)
			t.waited += waited
			t.images += batch.n
		}
		if err := after(batch.n); err != nil {
			return t.sum, err
		}
		batch, err = next, ended
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return t.sum, err
}

// shown is what is kept of a batch that a program was given.
type shown struct {
	first, n int
	labels   []float32
}

// fetch waits for the next batch and gives it to the training program.
func (t *trainer) fetch(reader *data.Reader) (s shown, waited time.Duration, err error) {
	started := time.Now()
	batch, err := reader.Next()
	waited = time.Since(started)
	if err != nil {
		return s, waited, err
	}
	t.labels[0], t.labels[1] = t.labels[1], t.labels[0]
	copy(t.labels[0], batch.Y)
	return shown{batch.First, batch.N, t.labels[0]}, waited, t.give(batch)
}

// next goes on to the next epoch.
func (t *trainer) next() {
	t.epochs++
	t.batch, t.sum = 0, score{}
}

// done is how many epochs are trained, the current one's part included.
func (t *trainer) done() float64 {
	return float64(t.epochs) + float64(t.batch)/float64(t.pipeline.Batches())
}

// learn runs one step on a batch, with the rates that hold when done epochs are trained.
func (t *trainer) learn(b *data.Batch, done float64) error {
	if err := t.give(b); err != nil {
		return err
	}
	if err := t.begin(done); err != nil {
		return err
	}
	return t.end()
}

// give makes a batch the training program's inputs.
func (t *trainer) give(b *data.Batch) error {
	if err := write(t.train, t.graph, b); err != nil {
		return err
	}
	return t.train.Write(t.graph.Labels, b.Y)
}

// begin runs a step on the inputs: loss, gradients, update.
func (t *trainer) begin(done float64) error {
	r := t.recipe.Train
	rate, factors := t.rates.at(done)
	t.train.Context = engine.Context{Seed: t.seed, Step: t.step, Rate: rate, Momentum: r.Momentum, Decay: r.WeightDecay,
		Factors: factors, DropoutUntil: r.DropoutUntil > 0 && int(done) >= r.DropoutUntil}
	return t.train.RunAll()
}

// end reads a step's outputs.
func (t *trainer) end() error {
	if err := t.train.Read(t.graph.Loss, t.loss); err != nil {
		return err
	}
	return t.train.Read(t.graph.Logits, t.logits)
}

// write gives a program its images, finished or, where its device finishes them, as they are stored.
func write(p *engine.Program, g *graph.Graph, b *data.Batch) error {
	if b.X == nil {
		return p.WriteImages(g.Input, b.Images)
	}
	return p.Write(g.Input, b.X)
}

func (t *trainer) count(s *score, b shown) {
	n := t.classes()
	for i := range b.n {
		s.add(predict(b.first+i, int(b.labels[i]), t.logits[i*n:(i+1)*n]))
	}
}

// imagesPerSecond is the training speed without the warm-up, 0 if nothing is left then.
func (t *trainer) imagesPerSecond() float64 {
	if t.images == 0 {
		return 0
	}
	return float64(t.images) / t.measured.Seconds()
}

// weights are the trained parameters, as a checkpoint holds them.
func (t *trainer) weights() ([]experiments.Tensor, error) {
	var tensors []experiments.Tensor
	for _, name := range t.params.Names() {
		values, err := t.params.Weights(name)
		if err != nil {
			return nil, err
		}
		tensors = append(tensors, experiments.Tensor{Name: name, Shape: t.params.Shape(name), Data: values})
	}
	return tensors, nil
}
