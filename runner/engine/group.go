package engine

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"ablate/recipe"
)

// A Group is a set of devices that run programs together, each in its own goroutine. Between two
// transfers they are independent. One program runs at a time.
type Group struct {
	devices []Device
	async   []Async         // the devices that are Async, nil for the others
	wake    []chan struct{} // of all devices but the first, which runs in the caller's goroutine
	done    sync.WaitGroup
	program *Program
	errs    []error
	barrier barrier
}

// NewGroup makes a group of one or more devices. Closing the group closes them.
func NewGroup(devices ...Device) *Group {
	g := &Group{devices: devices, async: make([]Async, len(devices)), errs: make([]error, len(devices))}
	for d, dev := range devices {
		g.async[d], _ = dev.(Async)
	}
	g.barrier.init(len(devices))
	for d := 1; d < len(devices); d++ {
		wake := make(chan struct{})
		g.wake = append(g.wake, wake)
		go func() {
			for range wake {
				g.errs[d] = g.work(d)
				g.done.Done()
			}
		}()
	}
	return g
}

// Len returns the number of devices.
func (g *Group) Len() int { return len(g.devices) }

// Name returns the names of all devices, as a user writes them: cpu:0,cpu:1.
func (g *Group) Name() string {
	var names []string
	for _, d := range g.devices {
		names = append(names, d.Name())
	}
	return strings.Join(names, ",")
}

// Hardware returns the description under which speeds are compared: the devices and, where it is not
// float32, the precision of products.
func (g *Group) Hardware(p recipe.Precision) string {
	var kinds []string
	count := map[string]int{}
	for _, d := range g.devices {
		h := d.Hardware()
		if count[h]++; count[h] == 1 {
			kinds = append(kinds, h)
		}
	}
	for i, h := range kinds {
		if count[h] > 1 {
			kinds[i] = fmt.Sprintf("%d × %s", count[h], h)
		}
	}
	all := strings.Join(kinds, " + ")
	if p != recipe.Float32 {
		all += ", " + p.String()
	}
	return all
}

// Threads returns the number of worker threads of all devices.
func (g *Group) Threads() int {
	n := 0
	for _, d := range g.devices {
		n += d.Threads()
	}
	return n
}

// Limits measures the rates that all devices reach at the same time.
func (g *Group) Limits(p recipe.Precision) (Limits, error) {
	limits, errs := make([]Limits, len(g.devices)), make([]error, len(g.devices))
	var measuring sync.WaitGroup
	for i, d := range g.devices {
		measuring.Go(func() { limits[i], errs[i] = d.Limits(p) })
	}
	measuring.Wait()
	var all Limits
	for _, l := range limits {
		all.FLOPS += l.FLOPS
		all.Bytes += l.Bytes
	}
	return all, errors.Join(errs...)
}

// Close stops the goroutines and closes the devices.
func (g *Group) Close() error {
	var errs []error
	for _, w := range g.wake {
		close(w)
	}
	for _, d := range g.devices {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// run runs a program on all devices. It allocates nothing.
func (g *Group) run(p *Program) error {
	g.program = p
	g.barrier.reset()
	g.done.Add(len(g.wake))
	for _, w := range g.wake {
		w <- struct{}{}
	}
	g.errs[0] = g.work(0)
	g.done.Wait()
	g.program = nil
	for _, err := range g.errs {
		if err != nil && err != errStopped {
			return err
		}
	}
	return nil
}

// errStopped is the error of a device that waited for another one that failed.
var errStopped = errors.New("another device failed")

// Wait returns when all devices have finished the kernels that they started.
func (g *Group) Wait() error {
	for d := range g.devices {
		if err := g.settle(d); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until a device has finished the kernels that it started.
func (g *Group) settle(d int) error {
	if g.async[d] == nil {
		return nil
	}
	return g.async[d].Wait()
}

// work does one device's part of the program.
func (g *Group) work(d int) error {
	for i := range g.program.running {
		s := &g.program.running[i]
		if s.transfer {
			if err := g.meet(d); err != nil { // the values that are read from the others are ready
				return err
			}
		}
		if err := g.runStage(d, s); err != nil {
			g.barrier.leave()
			return err
		}
		if s.transfer {
			if err := g.meet(d); err != nil { // the others have read: the values may be overwritten
				return err
			}
		}
	}
	return nil
}

// runStage runs a device's kernels of a stage.
func (g *Group) runStage(d int, st *stage) error {
	p := g.program
	if k := st.joined; k != nil && k[d] != nil {
		return k[d].Run(&p.Context) // the error names the kernel and the device
	}
	for i := st.from; i < st.to; i++ {
		if err := p.steps[i].kernels[d].Run(&p.Context); err != nil {
			return g.named(d, p.steps[i].name, err)
		}
	}
	return nil
}

// named adds the device and the step to an error.
func (g *Group) named(d int, step string, err error) error {
	switch {
	case err == nil:
		return nil
	case len(g.devices) > 1:
		return fmt.Errorf("%s on %s: %w", step, g.devices[d].Name(), err)
	default:
		return fmt.Errorf("%s: %w", step, err)
	}
}

// meet waits until every device has finished the kernels that it started.
func (g *Group) meet(d int) error {
	if err := g.settle(d); err != nil {
		g.barrier.leave()
		return err
	}
	if !g.barrier.wait() {
		return errStopped
	}
	return nil
}

// A barrier is where devices wait for each other.
type barrier struct {
	mutex   sync.Mutex
	arrived sync.Cond
	parties int
	waiting int
	round   uint64
	left    bool // a device failed and will not arrive
}

func (b *barrier) init(parties int) {
	b.parties = parties
	b.arrived.L = &b.mutex
}

func (b *barrier) reset() { b.waiting, b.left = 0, false }

// wait returns true when all devices have arrived, and false if one will not.
func (b *barrier) wait() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	round := b.round
	if b.waiting++; b.waiting == b.parties && !b.left {
		b.waiting = 0
		b.round++
		b.arrived.Broadcast()
		return true
	}
	for round == b.round && !b.left {
		b.arrived.Wait()
	}
	return round != b.round
}

// leave releases the other devices, which will not wait for this one.
func (b *barrier) leave() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.left = true
	b.arrived.Broadcast()
}
