package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"ablate/runner/engine"
	"ablate/runner/engine/cuda/nvidia"
)

// A call starts one piece of work on the device's stream.
type call func() error

// A kernel is an instruction with the calls that compute it.
type kernel struct {
	d    *Device
	in   engine.Instr // keeps alive the memory that the calls reach by address
	plan *plan
	job  func() error // begin, made once: a step allocates nothing
	c    *engine.Context
}

// Kernel binds an instruction.
func (d *Device) Kernel(in engine.Instr) (engine.Kernel, error) {
	k := &kernel{d: d, in: in}
	k.job = k.begin
	err := d.do(func() (err error) {
		if err = d.reach(in); err != nil {
			return err
		}
		k.plan, err = d.plan(in)
		return err
	})
	if err != nil {
		return nil, d.named(err)
	}
	return k, nil
}

// name returns the name of the op, as in the names of steps.
func (k *kernel) name() string {
	if named, ok := k.in.Op.(interface{ Name() string }); ok {
		return named.Name()
	}
	return fmt.Sprint(k.in.Op)
}

// Algorithm returns the name of what forms the products of a convolution or a dense layer: a library,
// with its algorithm, or one of our own kernels.
func (k *kernel) Algorithm() string { return k.plan.by }

// plan makes the calls of cuDNN or cuBLAS where they can run the instruction, and otherwise those of
// our own kernels.
func (d *Device) plan(in engine.Instr) (*plan, error) {
	p := new(plan)
	for _, library := range []func(*plan, engine.Instr){(*plan).convolution, (*plan).dense, (*plan).fallback} {
		p = &plan{d: d, refused: p.refused}
		library(p, in)
		if p.err != nil || p.calls != nil {
			break
		}
	}
	return p, p.err
}

// Run starts the kernel.
func (k *kernel) Run(c *engine.Context) error {
	k.c = c
	return k.d.named(k.d.do(k.job))
}

func (k *kernel) begin() error {
	if err := k.d.writeStep(k.c); err != nil {
		return err
	}
	if k.d.stepwise {
		return k.whole()
	}
	return k.launch()
}

func (k *kernel) launch() error {
	return begin(k.plan.calls)
}

// whole runs the kernel to its end.
func (k *kernel) whole() error {
	if err := k.launch(); err != nil {
		return err
	}
	return k.d.sync()
}

// begin makes calls in order.
func begin(calls []call) error {
	for _, c := range calls {
		if err := c(); err != nil {
			return err
		}
	}
	return nil
}

// writeStep sends the block that launches read, in stream order.
func (d *Device) writeStep(c *engine.Context) error {
	return d.blocks.upload(d, d.block, d.step.Bytes(c))
}

// A sequence is a list of kernels that are started together.
type sequence struct {
	d       *Device
	kernels []*kernel
	job     func() error
	c       *engine.Context
	ran     bool
	exec    nvidia.Exec
}

// CaptureGraph makes a CUDA graph of kernels the second time they run: the libraries set things up at
// their first call, which must not happen while a graph is recorded.
func (d *Device) CaptureGraph(all []engine.Kernel) engine.Kernel {
	s := &sequence{d: d}
	for _, k := range all {
		s.kernels = append(s.kernels, k.(*kernel))
	}
	s.job = s.begin
	return s
}

// Run starts all kernels.
func (s *sequence) Run(c *engine.Context) error {
	s.c = c
	return s.d.named(s.d.do(s.job))
}

func (s *sequence) begin() error {
	if err := s.d.writeStep(s.c); err != nil {
		return err
	}
	if s.d.stepwise {
		return s.each((*kernel).whole)
	}
	if !s.ran {
		s.ran = true
		return s.launch()
	}
	if s.exec == 0 {
		if err := s.capture(); err != nil {
			return fmt.Errorf("record a CUDA graph: %w", err)
		}
	}
	return s.d.driver.GraphLaunch(s.exec, s.d.stream).Err()
}

func (s *sequence) launch() error { return s.each((*kernel).launch) }

// each calls f for all kernels, and names the one that fails.
func (s *sequence) each(f func(*kernel) error) error {
	for _, k := range s.kernels {
		if err := f(k); err != nil {
			return fmt.Errorf("%s: %w", k.name(), err)
		}
	}
	return nil
}

// capture records the kernels instead of running them.
func (s *sequence) capture() (err error) {
	if s.exec, err = s.d.record(s.launch); err != nil {
		return err
	}
	s.d.graphs[s.exec] = true
	runtime.AddCleanup(s, s.d.letGraphGo, s.exec)
	return nil
}

// record makes a graph of the work that f starts.
func (d *Device) record(f func() error) (exec nvidia.Exec, err error) {
	if err := d.driver.BeginCapture(d.stream, nvidia.CaptureRelaxed).Err(); err != nil {
		return 0, err
	}
	failed := f()
	var graph nvidia.Graph
	if err := errors.Join(failed, d.driver.EndCapture(d.stream, &graph).Err()); err != nil {
		return 0, err
	}
	err = d.driver.GraphInstantiate(&exec, graph, 0).Err()
	return exec, errors.Join(err, d.driver.GraphDestroy(graph).Err())
}

// letGraphGo notes that a graph is no longer used. Any goroutine may call it.
func (d *Device) letGraphGo(exec nvidia.Exec) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.freedGraphs = append(d.freedGraphs, exec)
}

// Wait returns when the stream is empty.
func (d *Device) Wait() error {
	return d.named(d.do(d.wait))
}

func (d *Device) sync() error { return d.driver.StreamSync(d.stream).Err() }

// timed is the number of runs in one measurement of a kernel. The work of the host between its
// launches, and in some of cuDNN's calls, takes longer than small kernels do.
const timed = 10

// Time runs a kernel alone, several times in a graph between two events of the stream.
func (d *Device) Time(k engine.Kernel, c *engine.Context) (time.Duration, error) {
	own, ok := k.(*kernel)
	if !ok {
		return 0, fmt.Errorf("device %s: a %T is none of its kernels", d.name, k)
	}
	var milliseconds float32
	err := d.do(func() (err error) {
		if err := d.writeStep(c); err != nil {
			return err
		}
		milliseconds, err = d.measure(own)
		return err
	})
	return time.Duration(float64(milliseconds) * float64(time.Millisecond)), d.named(err)
}

// measure returns the milliseconds that a kernel takes.
func (d *Device) measure(k *kernel) (milliseconds float32, err error) {
	if err := k.launch(); err != nil { // libraries must not set things up while a graph is recorded
		return 0, err
	}
	exec, err := d.record(func() error {
		for range timed {
			if err := k.launch(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("record a CUDA graph: %w", err)
	}
	defer func() { err = errors.Join(err, d.driver.GraphExecDestroy(exec).Err()) }()
	for _, begin := range []func() nvidia.Result{
		func() nvidia.Result { return d.driver.EventRecord(d.events[0], d.stream) },
		func() nvidia.Result { return d.driver.GraphLaunch(exec, d.stream) },
		func() nvidia.Result { return d.driver.EventRecord(d.events[1], d.stream) },
		func() nvidia.Result { return d.driver.EventSync(d.events[1]) },
		func() nvidia.Result { return d.driver.EventElapsed(&milliseconds, d.events[0], d.events[1]) },
	} {
		if err := begin().Err(); err != nil {
			return 0, err
		}
	}
	return milliseconds / timed, nil
}

// reach lets the device read the memory of another device that an instruction names.
func (d *Device) reach(in engine.Instr) error {
	for _, t := range in.In {
		m, ok := t.Mem.(*memory)
		if !ok {
			return fmt.Errorf("%v reads memory that is not a GPU's: %w", in.Op, engine.ErrNoKernel)
		}
		if m.d == d || d.peers[m.d] {
			continue
		}
		if err := d.reachDevice(m.d); err != nil {
			return fmt.Errorf("read the memory of %s: %w", m.d.name, err)
		}
		d.peers[m.d] = true
	}
	return nil
}

func (d *Device) reachDevice(other *Device) error {
	if other.context == d.context { // two names of one GPU
		return nil
	}
	var can int32
	if err := d.driver.DeviceCanAccess(&can, d.number, other.number).Err(); err != nil {
		return err
	}
	if can == 0 {
		return errors.New("these GPUs cannot reach each other's memory; train on one of them, or on two that share NVLink " +
			"or a PCIe switch")
	}
	if r := d.driver.CtxEnablePeer(other.context, 0); r != nvidia.PeerAlreadyEnabled {
		return r.Err()
	}
	return nil
}
