// Package runner turns a study into trained runs: it plans them, trains them one
// after the other on a device, and records what comes of it.
package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"ablate/arch"
	"ablate/configs"
	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/engine"
	"ablate/runner/engine/cpu"
)

// A Run is a variant under one seed.
type Run struct {
	Variant configs.Variant
	Seed    uint64
	Cost    arch.Cost
}

// Work is the multiply-accumulates of training the run: forward, and twice as many for the two gradients.
func (r Run) Work(trainImages int) float64 {
	return 3 * float64(r.Cost.MACs) * float64(trainImages) * float64(r.Variant.Recipe.Train.Epochs)
}

// Plan lists a study's runs: all variants under the first seed, then under the
// next, so that an unfinished study is already a comparison.
func Plan(s *configs.Study) ([]Run, error) {
	var runs []Run
	for _, seed := range s.Seeds {
		for _, v := range s.Variants {
			cost, err := v.Recipe.Net.Cost()
			if err != nil {
				return nil, fmt.Errorf("variant %s: %w", v.Name, err)
			}
			runs = append(runs, Run{v, seed, cost})
		}
	}
	return runs, nil
}

// Options say where and how a study runs. None of it changes a result.
type Options struct {
	Study      *configs.Study
	Store      *experiments.Store
	Machine    *Machine
	Fresh      bool             // move runs that are there aside and begin anew
	Checkpoint configs.Interval // how often an unfinished run is saved
	Provenance experiments.CaptureOptions
	Progress   Progress
}

// Progress is told how a study goes. Calls come from one goroutine.
type Progress interface {
	Start(runs []Run)
	Skip(r Run) // was done before
	Begin(r Run, dir string)
	Step(r Run, epoch int, done float64) // share of the run that is trained
	Epoch(r Run, e Epoch)
	End(r Run, status experiments.Status, err error)
}

// An Epoch is what one epoch came to.
type Epoch struct {
	Number    int // from 1
	Rate      float64
	TrainLoss float64
	TrainTop1 float64 // error
	TestLoss  float64
	TestTop1  float64 // error
	TestTop5  float64
}

// ErrRecord is a run whose end cannot be recorded, on a full disk for one. What
// was saved before stays, and the same command goes on from there.
var ErrRecord = errors.New("cannot record the end")

// Outcome counts how a study's runs ended.
type Outcome struct {
	Done, Skipped, Diverged, Failed int
	Interrupted                     bool
	// Lost is what happened to a device that will not compute again in this process.
	// The run it had failed and goes on from its checkpoint when it is started again.
	Lost error
}

// Execute trains every run that is not done yet. A run that fails or diverges
// does not stop the others; only an interrupt, a record that cannot be written or a lost device does.
func Execute(ctx context.Context, runs []Run, o Options) (Outcome, error) {
	var out Outcome
	sets := datasets{}
	defer sets.close()
	if err := sets.fit(ctx, runs); err != nil {
		return out, err
	}
	for _, r := range runs {
		if err := o.Machine.check(r.Variant); err != nil {
			return out, err
		}
	}
	o.Progress.Start(runs)
	for _, r := range runs {
		if ctx.Err() != nil {
			out.Interrupted = true
			return out, nil
		}
		status, err := execute(ctx, r, sets, o)
		if errors.Is(err, experiments.ErrDone) {
			o.Progress.Skip(r)
			out.Skipped++
			continue
		}
		o.Progress.End(r, status, err)
		switch status {
		case experiments.Done:
			out.Done++
		case experiments.Diverged:
			out.Diverged++
		case experiments.Failed:
			out.Failed++
			if errors.Is(err, engine.ErrDeviceLost) {
				out.Lost = err
				return out, nil
			}
		case experiments.Interrupted:
			out.Interrupted = true
			return out, nil
		default: // it could not even begin: the record is refused or cannot be written
			return out, err
		}
	}
	return out, nil
}

// datasets are opened once and shared by the runs that see the same images.
type datasets map[string]*data.Dataset

func (d datasets) open(ctx context.Context, cfg recipe.Data) (*data.Dataset, error) {
	key := fmt.Sprint(cfg.Name, "\x00", cfg.Root, "\x00", cfg.Train, "\x00", cfg.Test, "\x00", cfg.ShortSide, "\x00", cfg.Size,
		"\x00", cfg.Validation, "\x00", cfg.ColourSpace)
	if ds, ok := d[key]; ok {
		return ds, nil
	}
	ds, err := data.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	d[key] = ds
	return ds, nil
}

// close gives back what the data sets hold open. Nothing of them is written, so nothing can be lost.
func (d datasets) close() {
	for _, ds := range d {
		ds.Close()
	}
}

// fit opens the data of every run and checks that net and batch fit it, before
// anything is written. Seeds make no difference here.
func (d datasets) fit(ctx context.Context, runs []Run) error {
	seen := map[string]bool{}
	for _, r := range runs {
		if seen[r.Variant.Name] {
			continue
		}
		seen[r.Variant.Name] = true
		ds, err := d.open(ctx, r.Variant.Recipe.Data)
		if err != nil {
			return err
		}
		if _, err := feed(r.Variant.Recipe, ds, r.Seed); err != nil {
			return fmt.Errorf("variant %s: %w", r.Variant.Name, err)
		}
	}
	return nil
}

// execute trains and records one run. An empty status means that nothing was begun.
func execute(ctx context.Context, r Run, sets datasets, o Options) (experiments.Status, error) {
	ds, err := sets.open(ctx, r.Variant.Recipe.Data)
	if err != nil {
		return "", err
	}
	dev, err := o.Machine.Devices(r.Variant)
	if err != nil {
		return "", err
	}
	rec, err := record(r, ds, dev, o)
	if err != nil {
		return "", err
	}
	run, err := o.Store.Start(rec, experiments.StartOptions{Fresh: o.Fresh, Identify: identify})
	if err != nil {
		return "", err
	}
	defer run.Close()
	o.Progress.Begin(r, run.Dir())
	result, err := train(ctx, r, ds, dev, run, o)
	status := experiments.Done
	switch {
	case err == nil:
	case errors.Is(err, ErrDiverged):
		status = experiments.Diverged
	case ctx.Err() != nil:
		status, err = experiments.Interrupted, errors.New("stopped by the user")
	default:
		status = experiments.Failed
	}
	if ferr := run.Finish(status, result, err); ferr != nil {
		if err != nil {
			ferr = fmt.Errorf("%w, after: %w", ferr, err)
		}
		return "", fmt.Errorf("%w of %s seed %d (%s): %w", ErrRecord, r.Variant.Name, r.Seed, status, ferr)
	}
	return status, err
}

// identify returns the identity that a stored recipe has today.
func identify(stored json.RawMessage) (string, error) {
	r, err := recipe.Decode(stored)
	if err != nil {
		return "", err
	}
	return r.Identity()
}

// record is what is known of a run before it begins.
func record(r Run, ds *data.Dataset, dev *Devices, o Options) (experiments.Record, error) {
	recipe, err := json.Marshal(r.Variant.Recipe)
	if err != nil {
		return experiments.Record{}, fmt.Errorf("store the recipe of %s: %w", r.Variant.Name, err)
	}
	identity, err := r.Variant.Recipe.Identity()
	if err != nil {
		return experiments.Record{}, err
	}
	opts := o.Provenance
	opts.Threads, opts.Data = dev.Threads(), maps.Clone(ds.Digests)
	for _, l := range ds.LeftOut {
		opts.Data["left out: "+l.Name] = l.Reason
	}
	opts.CPU, opts.Features = cpu.Model(), cpu.Features()
	return experiments.Record{
		Study: o.Study.Name, Variant: r.Variant.Name, Seed: r.Seed,
		Identity: identity, Recipe: recipe, Ablations: r.Variant.Ablations, Edited: r.Variant.Edited, Changes: r.Variant.Changes,
		Params: r.Cost.Params, MACs: r.Cost.MACs,
		Attempts:   []experiments.Attempt{{Device: dev.Name(), Hardware: dev.HardwareAt(r.Variant.Recipe.Train.Precision), Threads: dev.Threads()}},
		Provenance: experiments.Capture(opts),
	}, nil
}

// train trains a run to its end, from where an earlier attempt left it, and
// records every epoch, the weights and the predictions.
func train(ctx context.Context, r Run, ds *data.Dataset, dev *Devices, run *experiments.Recorder, o Options) (*experiments.Result, error) {
	t, err := newTrainer(r.Variant.Recipe, ds, dev, r.Seed)
	if err != nil {
		return nil, err
	}
	if err := t.resume(run); err != nil {
		return nil, err
	}
	saver := newSaver(run, t, o.Checkpoint)
	result, err := t.finish(ctx, r, run, saver, o.Progress)
	if err == nil {
		err = t.saveFilters(run)
	}
	if err == nil {
		err = t.saveTimes(run, dev.HardwareAt(t.recipe.Train.Precision)) // last: it trains on
	}
	if ctx.Err() != nil && err != nil {
		if serr := saver.save(); serr != nil {
			return nil, fmt.Errorf("%w (and where it stopped cannot be saved: %w)", err, serr)
		}
	}
	return result, err
}

// finish trains the epochs that are left.
func (t *trainer) finish(ctx context.Context, r Run, run *experiments.Recorder, saver *saver, p Progress) (*experiments.Result, error) {
	epochs := t.recipe.Train.Epochs
	all := float64(t.pipeline.Batches() * epochs)
	started := time.Now()
	var predictions []experiments.Prediction
	var last Epoch
	for t.epochs < epochs {
		rate := t.rates.weights.rate(float64(t.epochs))
		s, err := t.epoch(ctx, func(int) error {
			p.Step(r, t.epochs+1, float64(t.step)/all)
			return saver.step()
		})
		if err != nil {
			return nil, err
		}
		keep, views := func(p experiments.Prediction) { predictions = append(predictions, p) }, t.recipe.Data.TestCrops
		if t.epochs < epochs-1 {
			keep, views = nil, recipe.CentreCrop
		}
		test, err := t.test(ctx, views, keep)
		if err != nil {
			return nil, err
		}
		if err := t.observe(ctx, run, test, time.Since(started)); err != nil {
			return nil, err
		}
		last = Epoch{t.epochs + 1, rate, s.meanLoss(), s.top1Error(), test.meanLoss(), test.top1Error(), test.top5Error()}
		if err := t.logEpoch(run, last, time.Since(started)); err != nil {
			return nil, err
		}
		p.Epoch(r, last)
		t.next()
		if t.epochs < epochs {
			if err := saver.epoch(); err != nil {
				return nil, err
			}
		}
	}
	weights, err := t.weights()
	if err != nil {
		return nil, err
	}
	digest, err := run.SaveWeights(weights)
	if err != nil {
		return nil, err
	}
	if err := run.SavePredictions(predictions); err != nil {
		return nil, err
	}
	return &experiments.Result{
		Epochs: epochs, TrainLoss: experiments.Number(last.TrainLoss), TestLoss: experiments.Number(last.TestLoss),
		Top1Error: experiments.Number(last.TestTop1), Top5Error: experiments.Number(last.TestTop5),
		TestExamples: len(predictions), ImagesPerSecond: experiments.Number(t.imagesPerSecond()), BytesMoved: t.train.Moved(), WeightsSHA256: digest,
	}, nil
}

func (t *trainer) logEpoch(run *experiments.Recorder, e Epoch, since time.Duration) error {
	for _, m := range []struct {
		name  string
		value float64
	}{
		{"lr", e.Rate}, {"train_loss", e.TrainLoss}, {"train_top1_error", e.TrainTop1},
		{"test_loss", e.TestLoss}, {"test_top1_error", e.TestTop1}, {"test_top5_error", e.TestTop5},
	} {
		if err := t.log(run, m.name, m.value, since); err != nil {
			return err
		}
	}
	return nil
}

// log records a metric of the epoch that is just trained.
func (t *trainer) log(run *experiments.Recorder, name string, value float64, since time.Duration) error {
	err := run.Log(experiments.Metric{Epoch: t.epochs + 1, Step: int64(t.step), Name: name, Value: experiments.Number(value), Seconds: since.Seconds()})
	if err == nil {
		t.logged++
	}
	return err
}

// observe tells the schedule an epoch's error: on the held-out images where the
// recipe has some, on the test images otherwise.
func (t *trainer) observe(ctx context.Context, run *experiments.Recorder, test score, since time.Duration) error {
	if t.recipe.Data.Validation == 0 {
		t.rates.weights.observe(test.top1Error())
		return nil
	}
	held, err := t.validate(ctx)
	if err != nil {
		return err
	}
	t.rates.weights.observe(held.top1Error())
	return errors.Join(t.log(run, "validation_loss", held.meanLoss(), since), t.log(run, "validation_top1_error", held.top1Error(), since))
}
