package runner

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"time"

	"ablate/experiments"
	"ablate/runner/engine"
	"ablate/runner/external"
	"ablate/runner/train"
)

// A pool and the processes of its slots are the same program, so they communicate by encoding/gob.
// The pool sends a setup, then orders; the slot answers. When the pool's stream ends, for example
// because the pool has died, the slot stops its run as Ctrl-C would.

// A setup is the first message to a slot's process.
type setup struct {
	Plan    *Frozen
	Command []string // what the user typed, for the record
}

// An order is a task for a slot.
type order struct {
	Task  int
	Fresh bool
}

// An answer is a slot's report about its task, or about itself.
type answer struct {
	Said   said
	Dir    string  // with begun
	Epoch  int     // with stepped
	Share  float64 // with stepped
	Result train.Epoch
	// Program is how far the user's own program has come, with programmed.
	Program external.Progress
	Status  experiments.Status // with ended; empty if nothing was begun
	Error   string
	Kind    kind
}

// A said is the kind of an answer.
type said int

const (
	unfit   said = iota // the slot can train nothing: its device or the data cannot be opened
	begun               // the task has begun
	stepped             // at most ten times a second
	epochDone
	programmed // how far the user's own program has come; at most ten times a second
	held
	skipped
	ended
)

// A kind is what a pool must know about another process's error.
type kind int

const (
	other kind = iota
	deviceLost
	unwritable
)

// kindOf classifies an error.
func kindOf(err error) kind {
	var unwritten *experiments.WriteError
	switch {
	case errors.Is(err, engine.ErrDeviceLost):
		return deviceLost
	case errors.Is(err, ErrRecord), errors.Is(err, experiments.ErrLost), errors.As(err, &unwritten):
		return unwritable
	}
	return other
}

// A toldError is an error of another process. Only its text and its kind remain.
type toldError struct {
	text string
	is   error
}

func (e *toldError) Error() string { return e.text }
func (e *toldError) Unwrap() error { return e.is }

func (a answer) err() error {
	if a.Error == "" {
		return nil
	}
	is := map[kind]error{deviceLost: engine.ErrDeviceLost, unwritable: ErrRecord}
	return &toldError{a.Error, is[a.Kind]}
}

// ServeSlot trains what a pool orders, until the pool's stream ends. device is the device that the
// user's own programs train on.
func ServeSlot(ctx context.Context, in io.Reader, out io.Writer, store *experiments.Store, devices Devices,
	device string) error {
	orders, answers := gob.NewDecoder(in), gob.NewEncoder(out)
	var s setup
	if err := orders.Decode(&s); err != nil {
		return fmt.Errorf("a slot takes its tasks from ablate run --devices: %w", err)
	}
	t := &teller{answers: answers}
	var sets datasets
	defer sets.close()
	o := Options{Store: store, Devices: devices, Device: device, Command: s.Command, Progress: t}
	jobs, err := s.open(ctx, &sets, &o)
	if err != nil {
		t.tell(answer{Said: unfit, Error: err.Error(), Kind: kindOf(err)})
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	queue := make(chan order)
	go func() {
		defer close(queue)
		defer stop()
		var next order
		for orders.Decode(&next) == nil {
			queue <- next
			next = order{}
		}
	}()
	var total Outcome
	for next := range queue {
		o.Fresh = next.Fresh
		if _, _, err := total.pass(ctx, jobs[next.Task:next.Task+1], &sets, o); err != nil {
			return err
		}
		if total.Lost != nil {
			return total.Lost
		}
	}
	return t.err
}

// open resolves a slot's jobs, and checks them on the slot's own devices.
func (s setup) open(ctx context.Context, sets *datasets, o *Options) ([]Job, error) {
	all := make([]int, len(s.Plan.Tasks))
	for i := range all {
		all[i] = i
	}
	study, jobs, err := s.Plan.Thaw(all)
	if err != nil {
		return nil, err
	}
	o.Study, o.Checkpoint = study, study.Checkpoint
	ours, _ := split(jobs)
	if err := sets.check(ctx, ours); err != nil {
		return nil, err
	}
	for _, v := range study.Variants {
		if v.Recipe.IsProgram() {
			continue
		}
		if err := o.Devices.check(v); err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

// A teller turns the progress of a slot's run into answers.
type teller struct {
	answers *gob.Encoder
	stepped time.Time
	err     error // of the first answer that could not be sent
}

var _ Progress = (*teller)(nil)

func (t *teller) tell(a answer) {
	if err := t.answers.Encode(a); err != nil && t.err == nil {
		t.err = err
	}
}

func (*teller) Data(string, int, int)      {}
func (*teller) Start([]Job, time.Duration) {}
func (*teller) Retry(Job, error)           {}
func (t *teller) Skip(Job)                 { t.tell(answer{Said: skipped}) }
func (t *teller) Held(_ Job, err error)    { t.tell(answer{Said: held, Error: err.Error()}) }
func (t *teller) Begin(_ Job, dir string)  { t.tell(answer{Said: begun, Dir: dir}) }

func (t *teller) Step(_ Job, epoch int, share float64) {
	if time.Since(t.stepped) < 100*time.Millisecond {
		return
	}
	t.stepped = time.Now()
	t.tell(answer{Said: stepped, Epoch: epoch, Share: share})
}

func (t *teller) Program(_ Job, p external.Progress) {
	if time.Since(t.stepped) < 100*time.Millisecond && p.Name == "" {
		return
	}
	t.stepped = time.Now()
	t.tell(answer{Said: programmed, Program: p})
}

func (t *teller) Epoch(_ Job, e train.Epoch) { t.tell(answer{Said: epochDone, Result: e}) }

func (t *teller) End(_ Job, status experiments.Status, err error) {
	a := answer{Said: ended, Status: status, Kind: kindOf(err)}
	if err != nil {
		a.Error = err.Error()
	}
	t.tell(a)
}
