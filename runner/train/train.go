// Package train trains one net under one seed. Trainer.loop is the training loop. Each part that
// it calls has a file: step, evaluate, schedule, rates, checkpoint. compile turns a net into
// programs, and initial draws its initial weights.
package train

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ablate/configs"
	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/device"
	"ablate/runner/engine"
	"ablate/runner/graph"
)

// ErrDiverged reports a run whose loss became NaN or infinite.
var ErrDiverged = errors.New("the loss is not a finite number")

// A Trainer is one net on its devices under one seed, ready to train.
type Trainer struct {
	recipe   recipe.Recipe
	seed     uint64
	hardware string // the key under which speeds are compared
	pipeline *data.Pipeline
	model    *Model
	eval     *engine.Program
	evalNet  *graph.Graph
	rates    *rates
	position
	speed speed

	labels  [2][]float32 // one for the batch that is being trained, one for the next
	logits  []float32
	softmax []float64 // outputs for a batch, summed over its views
	loss    []float32
	targets []float32 // shares of classes, nil if labels are enough
}

// A position is a point in the training. Together with the weights and the optimiser's state, it
// determines the rest of a run.
type position struct {
	epoch   int    // epochs completed
	batch   int    // trained batches of the next epoch
	step    uint64 // steps trained in all
	running Score  // over the batches of the next epoch
	since   Score  // over the batches since the last measurement within an epoch
	logged  int    // points of the metric series
	patience
}

// patience holds what early stopping has seen: the lowest error on held-out images, and the number
// of epochs since then.
type patience struct {
	Best   experiments.Number `json:"best"`
	Waited int                `json:"waited"`
}

// observe records an epoch's error on held-out images.
func (p *patience) observe(epoch int, err float64) {
	p.Waited++
	if epoch == 1 || err < float64(p.Best) {
		p.Best, p.Waited = experiments.Number(err), 0
	}
}

// nextEpoch moves to the start of the next epoch.
func (p *position) nextEpoch() { p.epoch, p.batch, p.running, p.since = p.epoch+1, 0, Score{}, Score{} }

// Options say what happens while a run trains. None of them changes the result.
type Options struct {
	Checkpoint configs.Interval                  // how often the run is saved
	LogEvery   int                               // steps between measurements within an epoch; 0 for none
	OnStep     func(epoch int, progress float64) // progress is the trained share of the run; may be nil
	OnEpoch    func(Epoch)                       // may be nil
}

// An Epoch holds the results of one epoch.
type Epoch struct {
	Number     int // from 1
	Rate       float64
	Train      Score
	Test       Score
	Validation Score // empty unless the recipe holds out images
}

// New compiles a net for the devices and draws its initial weights from the seed.
func New(ctx context.Context, r recipe.Recipe, ds *data.Dataset, group *engine.Group, seed uint64) (*Trainer, error) {
	seed += uint64(r.Train.SeedOffset)
	pipeline, err := newPipeline(ctx, r, ds, seed)
	if err != nil {
		return nil, err
	}
	where := device.Place(group, r.Train)
	model, err := Compile(ctx, r, where, seed)
	if err != nil {
		return nil, err
	}
	t := &Trainer{recipe: r, seed: seed, hardware: group.Hardware(r.Train.Precision), pipeline: pipeline, model: model}
	if t.rates, err = newRates(r.Train, model.Graph.Params); err != nil {
		return nil, err
	}
	if t.evalNet, err = graph.Build(r.Net, where.ChunkOf(r.Train.Batch), false); err != nil {
		return nil, err
	}
	if t.eval, err = engine.Evaluate(t.evalNet, model.Params.Averaged()); err != nil {
		return nil, suggestBatch(err, r.Train.Batch)
	}
	pipeline.Raw = !pipeline.Distorts() && model.Program.TakesImages(model.Graph.Input)
	t.logits = make([]float32, r.Train.Batch*t.classes())
	t.softmax = make([]float64, len(t.logits))
	t.loss = make([]float32, 1)
	if r.SoftTargets() {
		t.targets = make([]float32, len(t.logits))
	}
	for i := range t.labels {
		t.labels[i] = make([]float32, r.Train.Batch)
	}
	return t, nil
}

// Check reports whether a recipe's net and batch fit a data set.
func Check(ctx context.Context, r recipe.Recipe, ds *data.Dataset) error {
	_, err := newPipeline(ctx, r, ds, 0)
	return err
}

// newPipeline prepares a data set for a recipe's net and refuses one that does not fit.
func newPipeline(ctx context.Context, r recipe.Recipe, ds *data.Dataset, seed uint64) (*data.Pipeline, error) {
	p, err := data.NewPipeline(ctx, ds, r.Data, r.Train.Batch, seed)
	if err != nil {
		return nil, err
	}
	if got := p.Shape(); got != r.Net.Input {
		return nil, fmt.Errorf("net %s takes %v images, data %s has %v: set net.input or data.crop",
			r.Net.Name, r.Net.Input, r.Data.Name, got)
	}
	placed, err := r.Net.Infer()
	if err != nil {
		return nil, err
	}
	if outputs := placed[len(placed)-1].In.Channels; outputs < len(ds.Classes) {
		return nil, fmt.Errorf("net %s has %d outputs for the %d classes of %s",
			r.Net.Name, outputs, len(ds.Classes), ds.Name)
	}
	return p, nil
}

// Pipeline returns the pipeline that prepares the trainer's images.
func (t *Trainer) Pipeline() *data.Pipeline { return t.pipeline }

func (t *Trainer) classes() int { return t.model.Graph.Logits.Shape()[3] }

// Run trains from the newest checkpoint, or from the initial weights, to the end of the last
// epoch. It records every epoch, the weights and the predictions. When the context ends, it saves
// a checkpoint.
func (t *Trainer) Run(ctx context.Context, rec *experiments.Recorder, o Options) (*experiments.Result, error) {
	if err := t.resume(rec); err != nil {
		return nil, err
	}
	checkpoints := newCheckpointer(rec, t, o.Checkpoint)
	result, err := t.loop(ctx, rec, checkpoints, o)
	if err == nil {
		err = t.saveFilters(rec)
	}
	if err == nil {
		err = t.saveTimes(rec) // last, since it continues to train
	}
	if err != nil && ctx.Err() != nil {
		if failed := checkpoints.save(); failed != nil {
			return nil, fmt.Errorf("%w (and the checkpoint cannot be saved: %w)", err, failed)
		}
	}
	return result, err
}

// loop is the training loop.
func (t *Trainer) loop(ctx context.Context, rec *experiments.Recorder, checkpoints *checkpointer,
	o Options) (*experiments.Result, error) {
	started := time.Now()
	epochs := t.recipe.Train.Epochs
	var last Epoch
	var predictions []experiments.Prediction
	if epochs == 0 {
		e := Epoch{}
		var err error
		if e.Validation, err = t.validate(ctx); err != nil {
			return nil, err
		}
		if e.Test, predictions, err = t.test(ctx, true); err != nil {
			return nil, err
		}
		if err := t.log(rec, e, time.Since(started)); err != nil {
			return nil, err
		}
		return t.save(rec, e, predictions)
	}
	for stopped := false; t.epoch < epochs && !stopped; {
		e := Epoch{Number: t.epoch + 1, Rate: t.rates.weights.rate(float64(t.epoch))}
		for err := range t.steps(ctx) {
			if err != nil {
				return nil, err
			}
			if o.OnStep != nil {
				o.OnStep(e.Number, float64(t.step)/float64(t.pipeline.Batches()*epochs))
			}
			if o.LogEvery > 0 && t.step%uint64(o.LogEvery) == 0 {
				if err := t.logSteps(rec, e.Number, time.Since(started)); err != nil {
					return nil, err
				}
			}
			if err := checkpoints.afterStep(); err != nil {
				return nil, err
			}
		}
		e.Train = t.running
		var err error
		if e.Validation, err = t.validate(ctx); err != nil {
			return nil, err
		}
		seen := t.patience // stored after the epoch is logged: an interrupt before that repeats the end of the epoch
		if limit := t.recipe.Train.EarlyStopping; limit > 0 {
			seen.observe(e.Number, e.Validation.Top1Error())
			stopped = seen.Waited >= limit
		}
		if e.Test, predictions, err = t.test(ctx, stopped || e.Number == epochs); err != nil {
			return nil, err
		}
		if err := t.log(rec, e, time.Since(started)); err != nil {
			return nil, err
		}
		t.rates.weights.observe(e.held().Top1Error())
		t.patience = seen
		if o.OnEpoch != nil {
			o.OnEpoch(e)
		}
		last = e
		if t.nextEpoch(); t.epoch < epochs && !stopped {
			if err := checkpoints.afterEpoch(); err != nil {
				return nil, err
			}
		}
	}
	return t.save(rec, last, predictions)
}

// held returns the score on images that are not trained on: the held-out images if the recipe has
// some, otherwise the test images.
func (e Epoch) held() Score {
	if e.Validation.Images > 0 {
		return e.Validation
	}
	return e.Test
}

// A metric is a named figure.
type metric struct {
	name  string
	value float64
}

// logSteps records the results of the images since the last measurement, and begins the next
// measurement.
func (t *Trainer) logSteps(rec *experiments.Recorder, epoch int, since time.Duration) error {
	s := t.since
	t.since = Score{}
	return t.record(rec, epoch, since, metric{"step_loss", s.Loss()}, metric{"step_top1_error", s.Top1Error()})
}

// log records an epoch's metrics.
func (t *Trainer) log(rec *experiments.Recorder, e Epoch, since time.Duration) error {
	var metrics []metric
	if e.Validation.Images > 0 {
		metrics = append(metrics, metric{"validation_loss", e.Validation.Loss()},
			metric{"validation_top1_error", e.Validation.Top1Error()})
	}
	if e.Number > 0 {
		metrics = append(metrics, metric{"lr", e.Rate},
			metric{"train_loss", e.Train.Loss()}, metric{"train_top1_error", e.Train.Top1Error()})
	}
	metrics = append(metrics, metric{"test_loss", e.Test.Loss()}, metric{"test_top1_error", e.Test.Top1Error()},
		metric{"test_top5_error", e.Test.Top5Error()})
	return t.record(rec, e.Number, since, metrics...)
}

// record logs metrics of an epoch as points of the series.
func (t *Trainer) record(rec *experiments.Recorder, epoch int, since time.Duration, metrics ...metric) error {
	for _, m := range metrics {
		err := rec.Log(experiments.Metric{Epoch: epoch, Step: int64(t.step), Name: m.name,
			Value: experiments.Number(m.value), Seconds: since.Seconds()})
		if err != nil {
			return err
		}
	}
	t.logged += len(metrics)
	return nil
}

// save records the results of a finished run.
func (t *Trainer) save(rec *experiments.Recorder, last Epoch,
	predictions []experiments.Prediction) (*experiments.Result, error) {
	weights, err := t.Weights()
	if err != nil {
		return nil, err
	}
	digest, err := rec.SaveWeights(weights)
	if err != nil {
		return nil, err
	}
	if err := rec.SavePredictions(predictions); err != nil {
		return nil, err
	}
	return &experiments.Result{
		Epochs:          t.epoch,
		TrainLoss:       experiments.Number(last.Train.Loss()),
		TestLoss:        experiments.Number(last.Test.Loss()),
		Top1Error:       experiments.Number(last.Test.Top1Error()),
		Top5Error:       experiments.Number(last.Test.Top5Error()),
		TestExamples:    len(predictions),
		ImagesPerSecond: experiments.Number(t.speed.imagesPerSecond()),
		BytesMoved:      t.model.Program.Moved(),
		WeightsSHA256:   digest,
	}, nil
}
