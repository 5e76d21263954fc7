package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"ablate/configs"
	"ablate/experiments"
	"ablate/recipe"
	"ablate/runner/data"
	"ablate/runner/device"
	"ablate/runner/engine"
	"ablate/runner/engine/cpu"
	"ablate/runner/external"
	"ablate/runner/machine"
	"ablate/runner/train"
)

// Options say where and how a study runs. None of them changes a result.
type Options struct {
	Study      *configs.Study
	Declares   experiments.Declaration // what the study compares, whichever of its jobs are run
	Store      *experiments.Store
	Devices    Devices
	Fresh      bool             // move existing runs aside and begin again
	FailFast   bool             // end with the first run that fails or diverges
	Checkpoint configs.Interval // how often an unfinished run is saved
	Device     string           // the device that the user's own programs train on
	Command    []string         // what the user typed, for the record
	Progress   Progress
	// Confirm receives the predicted duration of the study. If it returns an error, the study ends
	// before anything is written. It may be nil.
	Confirm func(predicted time.Duration) error
}

// Devices opens the devices of a list, as device.Pool.Get does. Runs that do not ask for devices
// have an empty list.
type Devices func(list string) (*engine.Group, error)

// open opens the devices that a variant trains on.
func (d Devices) open(v configs.Variant) (*engine.Group, error) {
	group, err := d(v.Device)
	if err != nil && v.Device != "" {
		return nil, fmt.Errorf("variant %s: %w", v.Name, err)
	}
	return group, err
}

// check opens a variant's devices and reports whether they can share its training.
func (d Devices) check(v configs.Variant) error {
	group, err := d.open(v)
	if err != nil {
		return err
	}
	if err := device.Place(group, v.Recipe.Train).Check(v.Recipe.Net, v.Recipe.Train.Batch); err != nil {
		return fmt.Errorf("variant %s: %w", v.Name, err)
	}
	return nil
}

// Progress receives reports on how a study proceeds. Calls come from one goroutine.
type Progress interface {
	Data(name string, done, total int) // images of a data set that have been read
	Start(jobs []Job, predicted time.Duration)
	Skip(j Job)             // it was done before
	Held(j Job, err error)  // another process trains it; it is tried again at the end
	Retry(j Job, err error) // its process or device was lost; it starts again from its checkpoint
	Begin(j Job, dir string)
	Step(j Job, epoch int, progress float64) // progress is the trained share of the run
	Epoch(j Job, e train.Epoch)
	Program(j Job, p external.Progress) // how far the user's own program has come
	End(j Job, status experiments.Status, err error)
}

// ErrRecord reports a run that cannot be recorded, on a full disk for example. Everything saved
// before remains, and the same command continues from there.
var ErrRecord = errors.New("cannot record the run")

// Outcome counts how a study's runs ended.
type Outcome struct {
	Done, Skipped, Diverged, Failed int
	Held                            int // by other processes until the end
	Interrupted                     bool
	// Lost describes the loss of a device that will not compute again in this process. Its run
	// failed, and continues from its checkpoint when it is started again.
	Lost error
}

// Execute trains every unfinished job. A run that fails or diverges does not stop the others
// unless FailFast is set; an interrupt, a record that cannot be written or a lost device does.
// Execute leaves a run that another process holds to that process, and tries it again after the
// others: several processes that execute one study divide its runs.
func Execute(ctx context.Context, jobs []Job, o Options) (Outcome, error) {
	var out Outcome
	sets := datasets{progress: o.Progress.Data}
	defer sets.close()
	predicted, err := prepare(ctx, jobs, &sets, o)
	if ctx.Err() != nil {
		return Outcome{Interrupted: true}, nil
	}
	if err != nil {
		return out, err
	}
	if o.Declares.Study != "" {
		if _, err := o.Store.Declare(o.Declares); err != nil {
			return out, fmt.Errorf("%w: %w", ErrRecord, err)
		}
	}
	o.Progress.Start(jobs, predicted)
	for left := jobs; len(left) > 0; {
		held, end, err := out.pass(ctx, left, &sets, o)
		if end || err != nil {
			return out, err
		}
		if len(held) == len(left) {
			out.Held = len(held)
			break
		}
		left = held
	}
	return out, nil
}

// prepare opens data and devices, checks that every job fits them, and predicts how long all jobs
// take. It writes nothing yet.
func prepare(ctx context.Context, jobs []Job, sets *datasets, o Options) (time.Duration, error) {
	ours, programs := split(jobs)
	if err := sets.check(ctx, ours); err != nil {
		return 0, err
	}
	for _, j := range ours {
		if err := checkInit(j, o); err != nil {
			return 0, err
		}
		if err := o.Devices.check(j.Variant); err != nil {
			return 0, err
		}
	}
	if err := checkPrograms(programs); err != nil {
		return 0, err
	}
	predicted, err := estimate(ctx, ours, sets, o)
	if err == nil && o.Confirm != nil {
		err = o.Confirm(predicted)
	}
	if err == nil {
		err = setUp(ctx, programs, o)
	}
	return predicted, err
}

// pass executes jobs one after the other. It returns the jobs that other processes hold, and
// whether the study has ended.
func (out *Outcome) pass(ctx context.Context, jobs []Job, sets *datasets, o Options) (held []Job, end bool, err error) {
	for _, j := range jobs {
		if ctx.Err() != nil {
			out.Interrupted = true
			return held, true, nil
		}
		status, err := execute(ctx, j, sets, o)
		switch {
		case errors.Is(err, experiments.ErrDone):
			o.Progress.Skip(j)
			out.Skipped++
			continue
		case status == "" && errors.Is(err, experiments.ErrBusy):
			o.Progress.Held(j, err)
			held = append(held, j)
			continue
		}
		o.Progress.End(j, status, err)
		switch status {
		case experiments.Done:
			out.Done++
		case experiments.Diverged:
			out.Diverged++
			end = o.FailFast
		case experiments.Failed:
			out.Failed++
			end = o.FailFast
			if errors.Is(err, engine.ErrDeviceLost) {
				out.Lost, end = err, true
			}
		case experiments.Interrupted:
			out.Interrupted, end = true, true
		default: // it could not begin: the record is refused or cannot be written
			return held, true, err
		}
		if end {
			return held, true, nil
		}
	}
	return held, false, nil
}

// execute trains and records one run. An empty status means that nothing was begun.
func execute(ctx context.Context, j Job, sets *datasets, o Options) (experiments.Status, error) {
	if j.Variant.Recipe.IsProgram() {
		return executeProgram(ctx, j, o)
	}
	ds, err := sets.open(ctx, j.Variant.Recipe.Data)
	if err != nil {
		return "", err
	}
	group, err := o.Devices.open(j.Variant)
	if err != nil {
		return "", err
	}
	rec, err := record(j, ds, group, o)
	if err != nil {
		return "", err
	}
	return attempt(ctx, j, rec, o, func(recorder *experiments.Recorder) (*experiments.Result, error) {
		return trainRun(ctx, j, ds, group, recorder, o)
	})
}

// attempt records the result of train. An empty status means that nothing was begun.
func attempt(ctx context.Context, j Job, rec experiments.Record, o Options,
	work func(*experiments.Recorder) (*experiments.Result, error)) (experiments.Status, error) {
	recorder, err := o.Store.Start(rec, experiments.StartOptions{Fresh: o.Fresh, Identify: identify})
	if errors.Is(err, experiments.ErrDamaged) { // the other runs are not affected
		return experiments.Failed, err
	}
	if err != nil {
		return "", err
	}
	defer recorder.Close()
	o.Progress.Begin(j, recorder.Dir())
	meter := machine.Start(recorder.Dir(), recorder.Attempt(), cudaNumbers(rec.Attempts[0].Device),
		j.Variant.Recipe.IsProgram())
	result, err := work(recorder)
	recorder.Used(meter.Stop())
	status := experiments.Done
	var unwritten *experiments.WriteError
	unrecorded := errors.As(err, &unwritten) || errors.Is(err, experiments.ErrLost)
	switch {
	case err == nil:
	case unrecorded: // the next run's record would be lost too
		status = experiments.Failed
	case errors.Is(err, train.ErrDiverged), errors.Is(err, external.ErrDiverged):
		status = experiments.Diverged
	case ctx.Err() != nil:
		status, err = experiments.Interrupted, errors.New("stopped by the user")
	default:
		status = experiments.Failed
	}
	ferr := recorder.Finish(status, result, err)
	switch {
	case unrecorded:
		ferr = err // the first of the two explains better what is wrong
	case ferr != nil && err != nil:
		ferr = fmt.Errorf("%w, after: %w", ferr, err)
	}
	if ferr != nil {
		return "", fmt.Errorf("%w %s seed %d (%s): %w", ErrRecord, j.Variant.Name, j.Seed, status, ferr)
	}
	return status, err
}

// cudaNumbers returns the numbers of the GPUs in a list of devices: 0 and 1 for cuda:0,cuda:1.
func cudaNumbers(devices string) []int {
	var numbers []int
	for name := range strings.SplitSeq(devices, ",") {
		if n, ok := strings.CutPrefix(strings.TrimSpace(name), "cuda:"); ok {
			if i, err := strconv.Atoi(n); err == nil {
				numbers = append(numbers, i)
			}
		}
	}
	return numbers
}

func trainRun(ctx context.Context, j Job, ds *data.Dataset, group *engine.Group, rec *experiments.Recorder,
	o Options) (*experiments.Result, error) {
	t, err := train.New(ctx, j.Variant.Recipe, ds, group, j.Seed)
	if err != nil {
		return nil, err
	}
	return t.Run(ctx, rec, train.Options{
		Checkpoint: o.Checkpoint,
		LogEvery:   o.Study.LogEvery,
		OnStep:     func(epoch int, progress float64) { o.Progress.Step(j, epoch, progress) },
		OnEpoch:    func(e train.Epoch) { o.Progress.Epoch(j, e) },
	})
}

// identify returns the identity that a stored recipe has today.
func identify(stored json.RawMessage) (string, error) {
	r, err := recipe.Decode(stored)
	if err != nil {
		return "", err
	}
	return r.Identity()
}

// record returns what is known about a run before it begins.
func record(j Job, ds *data.Dataset, group *engine.Group, o Options) (experiments.Record, error) {
	v := j.Variant
	text, err := json.Marshal(v.Recipe)
	if err != nil {
		return experiments.Record{}, fmt.Errorf("store the recipe of %s: %w", v.Name, err)
	}
	identity, err := v.Recipe.Identity()
	if err != nil {
		return experiments.Record{}, err
	}
	digests := maps.Clone(ds.Digests)
	if from := v.Recipe.Train.Init.From; from != "" {
		// A finished run no longer needs them.
		if digest, err := experiments.FileDigest(train.WeightsFile(from)); err == nil {
			digests["initial weights"] = digest
		}
	}
	for _, l := range ds.Skipped {
		digests["left out: "+l.Name] = l.Reason
	}
	return experiments.Record{
		Study: o.Study.Name, Variant: v.Name, Seed: j.Seed,
		Identity: identity, Recipe: text, Ablations: v.Ablations, Edited: v.Edited, Changes: v.Changes,
		Params: j.Cost.Params, MACs: j.Cost.MACs,
		Attempts: []experiments.Attempt{{
			Device: group.Name(), Hardware: group.Hardware(v.Recipe.Train.Precision), Threads: group.Threads(),
		}},
		Provenance: provenance(o.Command, group, digests),
	}, nil
}

// provenance describes where this process's results on a group of devices come from.
func provenance(command []string, group *engine.Group, digests map[string]string) *experiments.Provenance {
	return experiments.Capture(experiments.CaptureOptions{
		Command: command, Threads: group.Threads(), CPU: cpu.Model(), Features: cpu.Features(), Data: digests,
	})
}
