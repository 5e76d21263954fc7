package runner

import (
	"bytes"
	"cmp"
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"ablate/experiments"
)

// A Pool describes the slots on which the runs of a study are trained at the same time.
type Pool struct {
	Slots   []PoolSlot
	Retries int // how often a run starts again from its checkpoint after its process or device was lost
	// Release closes what Options.Devices has opened to predict the study's time, since the slots'
	// processes need it.
	Release func() error
}

// A PoolSlot is one of a pool's slots. Command makes the process that trains on it, which calls
// ServeSlot.
type PoolSlot struct {
	Name    string
	Command func() *exec.Cmd
}

// ExecuteOn is Execute on several slots at the same time. Each slot has a process of its own, so
// that a crash or a lost GPU costs only the run that it happened to. The longest runs begin first,
// so that none is left running alone at the end.
func ExecuteOn(ctx context.Context, jobs []Job, o Options, p Pool) (Outcome, error) {
	jobs = slices.Clone(jobs)
	sets := datasets{progress: o.Progress.Data}
	at := time.Duration(len(p.Slots))
	if confirm := o.Confirm; confirm != nil {
		o.Confirm = func(predicted time.Duration) error { return confirm(predicted / at) }
	}
	predicted, err := prepare(ctx, jobs, &sets, o)
	if err == nil {
		err = longestFirst(ctx, jobs, &sets)
	}
	sets.close() // every slot opens its own; the page cache holds the files only once
	if rerr := p.Release(); err == nil {
		err = rerr
	}
	if ctx.Err() != nil {
		return Outcome{Interrupted: true}, nil
	}
	if err != nil {
		return Outcome{}, err
	}
	plan, err := Freeze(o.Study, o.Declares, jobs, "")
	if err != nil {
		return Outcome{}, err
	}
	if _, err := o.Store.Declare(o.Declares); err != nil {
		return Outcome{}, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	o.Progress.Start(jobs, predicted/at)
	d := dispatcher{
		jobs: jobs, o: o, retries: p.Retries, setup: setup{Plan: plan, Command: o.Command},
		events: make(chan event), tried: map[int]int{}, begun: map[int]bool{},
	}
	for _, s := range p.Slots {
		d.slots = append(d.slots, &slot{PoolSlot: s, task: none})
	}
	return d.run(ctx)
}

// longestFirst sorts jobs by decreasing work; jobs of equal work stay in order.
func longestFirst(ctx context.Context, jobs []Job, sets *datasets) error {
	work := map[string]float64{}
	for _, j := range jobs {
		if j.Variant.Recipe.IsProgram() {
			continue
		}
		ds, err := sets.open(ctx, j.Variant.Recipe.Data)
		if err != nil {
			return err
		}
		work[j.Variant.Name] = j.Work(ds.Train.Len())
	}
	slices.SortStableFunc(jobs, func(a, b Job) int { return cmp.Compare(work[b.Variant.Name], work[a.Variant.Name]) })
	return nil
}

// none is the task of a slot that has no task.
const none = -1

// A slot trains one run at a time.
type slot struct {
	PoolSlot
	process *process
	task    int
	useless error // why it cannot train; nil if it can
}

// A process trains on a slot. Closing orders stops it as Ctrl-C would.
type process struct {
	orders io.WriteCloser
	enc    *gob.Encoder
	stderr tail
}

// An event is an answer from a slot's process, or the end of the process.
type event struct {
	slot *slot
	from *process
	answer
	gone bool
	err  error // of gone
}

// A dispatcher gives tasks to slots and counts how they end. All of it happens in one goroutine,
// which receives the events of the processes.
type dispatcher struct {
	jobs    []Job
	o       Options
	retries int
	setup   setup
	slots   []*slot
	events  chan event

	queue, held []int
	tried       map[int]int  // how often a task was lost
	begun       map[int]bool // tasks whose old run --fresh has already set aside
	living      int          // number of processes
	stopping    bool
	out         Outcome
	err         error
}

// run trains all jobs. Runs that other processes hold are tried again, as long as that makes
// progress.
func (d *dispatcher) run(ctx context.Context) (Outcome, error) {
	for i := range d.jobs {
		d.queue = append(d.queue, i)
	}
	pass := len(d.queue)
	interrupt := ctx.Done()
	for {
		d.giveOut()
		if d.idle() && !d.stopping && len(d.queue) == 0 && len(d.held) > 0 {
			if len(d.held) == pass {
				d.out.Held = len(d.held)
			} else {
				d.queue, d.held, pass = d.held, nil, len(d.held)
				continue
			}
		}
		if d.idle() {
			d.stop() // stops the processes that wait for more
			if d.living == 0 {
				return d.outcome()
			}
		}
		select {
		case e := <-d.events:
			d.handle(e)
		case <-interrupt:
			interrupt, d.out.Interrupted = nil, true
			d.stop()
		}
	}
}

// idle reports whether no slot has a task and none will get one.
func (d *dispatcher) idle() bool {
	for _, s := range d.slots {
		if s.task != none {
			return false
		}
	}
	return d.stopping || len(d.queue) == 0 || d.useless() != nil
}

// useless returns why no slot can train, or nil if one can.
func (d *dispatcher) useless() (err error) {
	for _, s := range d.slots {
		if s.useless == nil {
			return nil
		}
		err = s.useless
	}
	return err
}

func (d *dispatcher) outcome() (Outcome, error) {
	if err := d.useless(); err != nil && d.err == nil && !d.out.Interrupted && len(d.queue) > 0 {
		if d.out == (Outcome{}) { // nothing was trained, so the outcome is that of a single device
			return d.out, err
		}
		d.out.Lost = fmt.Errorf("no slot is left: %w", err)
	}
	return d.out, d.err
}

// giveOut gives the next tasks to the slots that have none.
func (d *dispatcher) giveOut() {
	for _, s := range d.slots {
		if d.stopping || len(d.queue) == 0 {
			return
		}
		if s.task != none || s.useless != nil {
			continue
		}
		task := d.queue[0]
		d.queue = d.queue[1:]
		if err := d.give(s, task); err != nil {
			s.useless = err
			d.queue = append([]int{task}, d.queue...)
		}
	}
}

// give orders a slot to train a task, and starts its process if it has none.
func (d *dispatcher) give(s *slot, task int) error {
	first := s.process == nil
	if first {
		p, err := d.start(s)
		if err != nil {
			return fmt.Errorf("slot %s: %w", s.Name, err)
		}
		s.process = p
		d.living++
	}
	s.task = task
	next := order{Task: task, Fresh: d.o.Fresh && !d.begun[task]}
	go func(p *process) { // a dead process takes no order; the end of its answers reports that
		if first && p.enc.Encode(d.setup) != nil {
			return
		}
		p.enc.Encode(next)
	}(s.process)
	return nil
}

// start starts a slot's process and listens to it.
func (d *dispatcher) start(s *slot) (*process, error) {
	c := s.Command()
	p := &process{}
	c.Stderr = &p.stderr
	separate(c)
	answers, err := c.StdoutPipe()
	if err == nil {
		p.orders, err = c.StdinPipe()
	}
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return nil, err
	}
	p.enc = gob.NewEncoder(p.orders)
	go func() {
		dec := gob.NewDecoder(answers)
		for {
			var a answer
			if dec.Decode(&a) != nil {
				break
			}
			d.events <- event{slot: s, from: p, answer: a}
		}
		io.Copy(io.Discard, answers)
		d.events <- event{slot: s, from: p, gone: true, err: c.Wait()}
	}()
	return p, nil
}

// stop gives out no more tasks and stops the runs that are being trained.
func (d *dispatcher) stop() {
	d.stopping = true
	for _, s := range d.slots {
		if s.process != nil {
			s.process.orders.Close()
		}
	}
}

// handle processes an event of a slot's process.
func (d *dispatcher) handle(e event) {
	s := e.slot
	if e.gone {
		d.living--
		if s.process == e.from {
			s.process = nil
			d.gone(s, e)
		}
		return
	}
	if s.task == none { // unfit, after its task went to another slot
		return
	}
	j := d.jobs[s.task]
	switch e.Said {
	case unfit:
		s.useless = fmt.Errorf("slot %s: %w", s.Name, e.answer.err())
		d.queue = append([]int{s.task}, d.queue...)
		s.task, s.process = none, nil
		if d.useless() == nil {
			d.o.Progress.Retry(j, s.useless)
		}
	case begun:
		d.begun[s.task] = true
		d.o.Progress.Begin(j, e.Dir)
	case stepped:
		d.o.Progress.Step(j, e.Epoch, e.Share)
	case programmed:
		d.o.Progress.Program(j, e.Program)
	case epochDone:
		d.o.Progress.Epoch(j, e.Result)
	case held:
		d.o.Progress.Held(j, e.answer.err())
		d.held = append(d.held, s.task)
		s.task = none
	case skipped:
		d.o.Progress.Skip(j)
		d.out.Skipped++
		s.task = none
	case ended:
		d.ended(s, j, e.answer)
	}
}

// gone handles the end of a process, which may still have had a task.
func (d *dispatcher) gone(s *slot, e event) {
	switch {
	case s.task == none:
	case e.err != nil:
		d.lost(s, fmt.Errorf("its process on %s ended: %s", s.Name, e.from.lastWords(e.err)))
	default: // it was stopped before it began the task
		s.task = none
		if !d.stopping {
			d.out.Interrupted = true
			d.stop()
		}
	}
}

// ended counts the end of a task.
func (d *dispatcher) ended(s *slot, j Job, a answer) {
	err := a.err()
	if a.Kind == deviceLost {
		s.process = nil // the process ends by itself
		d.lost(s, fmt.Errorf("%s: %w", s.Name, err))
		return
	}
	s.task = none
	d.o.Progress.End(j, a.Status, err)
	switch a.Status {
	case experiments.Done:
		d.out.Done++
	case experiments.Diverged:
		d.out.Diverged++
	case experiments.Failed:
		d.out.Failed++
	case experiments.Interrupted:
		if !d.stopping { // only the process received the signal
			d.out.Interrupted = true
			d.stop()
		}
		return
	default: // it could not begin: the record is refused or cannot be written
		d.err = cmp.Or(d.err, err)
		d.stop()
		return
	}
	if d.o.FailFast && a.Status != experiments.Done {
		d.stop()
	}
}

// lost puts the task of a lost process or device back into the queue, as often as retries are
// allowed.
func (d *dispatcher) lost(s *slot, err error) {
	task := s.task
	s.task = none
	d.tried[task]++
	if !d.stopping && d.tried[task] <= d.retries {
		d.o.Progress.Retry(d.jobs[task], err)
		d.queue = append([]int{task}, d.queue...)
		return
	}
	d.out.Failed++
	d.o.Progress.End(d.jobs[task], experiments.Failed, err)
	if d.o.FailFast {
		d.stop()
	}
}

// lastWords describes how a process failed: its status, and its last output.
func (p *process) lastWords(err error) string {
	text := strings.TrimSpace(p.stderr.String())
	if i := strings.Index(text, "panic: "); i >= 0 {
		text = text[i:]
	} else if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	first, _, _ := strings.Cut(text, "\n")
	return strings.TrimSuffix(err.Error()+": "+first, ": ")
}

// A tail keeps the end of what is written to it.
type tail struct{ bytes.Buffer }

// tailLength is longer than a panic's message and the first frames of its stack.
const tailLength = 16 << 10

func (t *tail) Write(text []byte) (int, error) {
	n, err := t.Buffer.Write(text)
	if over := t.Len() - tailLength; over > 0 {
		t.Next(over)
	}
	return n, err
}
