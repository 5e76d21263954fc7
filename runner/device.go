package runner

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"ablate/configs"
	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/engine/cpu"
	"ablate/runner/engine/cuda"
)

// A Device is an engine's device that says how many threads it runs.
type Device interface {
	engine.Device
	Threads() int
	// Limits measures what the machine can do at most.
	Limits(recipe.Precision) (engine.Limits, error)
}

// Devices are what computes a run: one device, or several that share it.
type Devices struct {
	*engine.Group
	members []Device
}

// ErrDevice is a device that this machine does not have.
var ErrDevice = errors.New("cannot be had")

// OpenDevices starts the devices of a list such as cpu:0,cpu:1 or cuda:0. auto is
// the CPU: a GPU is used where it is named. cpu:0 and cpu:1 are halves of the
// cores, or of the given number of threads; where more shares are named, they are
// as many equal parts. cuda:0 and cuda:1 are GPUs as NVIDIA's driver counts them;
// cuda is the first.
func OpenDevices(list string, threads int) (*Devices, error) {
	names := strings.Split(list, ",")
	shares := countPrefix(names, "cpu:")
	for i, name := range names {
		if name == "cuda" {
			name, names[i] = "cuda:0", "cuda:0"
		}
		if name == "" {
			return nil, fmt.Errorf("device %q lacks a name; write one, or several as in cpu:0,cpu:1", list)
		}
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("device %s is named twice in %s", name, list)
		}
	}
	if gpus := countPrefix(names, "cuda:"); gpus > 0 && gpus < len(names) {
		return nil, fmt.Errorf("device %s: GPUs and cores do not share a run; name one kind", list)
	}
	if len(names) > 1 && shares < len(names) && (slices.Contains(names, "cpu") || slices.Contains(names, "auto")) {
		return nil, fmt.Errorf("device %s: auto and cpu stand alone, being all cores; name shares of them, as in cpu:0,cpu:1", list)
	}
	d := &Devices{}
	var group []engine.Device
	for _, name := range names {
		dev, err := openDevice(name, threads, max(shares, 2))
		if err != nil {
			for _, opened := range d.members {
				err = errors.Join(err, opened.Close())
			}
			return nil, err
		}
		d.members, group = append(d.members, dev), append(group, dev)
	}
	d.Group = engine.NewGroup(group...)
	return d, nil
}

// openDevice starts one device. The cores are divided among so many shares.
func openDevice(name string, threads, shares int) (Device, error) {
	if share, ok := strings.CutPrefix(name, "cpu:"); ok {
		return openShare(name, share, threads, shares)
	}
	if number, ok := strings.CutPrefix(name, "cuda:"); ok {
		return openGPU(name, number)
	}
	switch name {
	case "auto", "cpu":
		return cpu.New("cpu", threads)
	default:
		return nil, fmt.Errorf("no device is called %s; known: auto, cpu, shares of its cores, as in cpu:0,cpu:1, and GPUs, as in cuda:0", name)
	}
}

// openGPU starts a GPU. Where there is none the error says what the machine lacks.
func openGPU(name, number string) (Device, error) {
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 {
		return nil, fmt.Errorf("no device is called %s; GPUs are cuda:0, cuda:1 and so on", name)
	}
	dev, err := cuda.Open(i)
	if err != nil {
		return nil, fmt.Errorf("device %s %w: %w", name, ErrDevice, err)
	}
	return dev, nil
}

func countPrefix(names []string, prefix string) (n int) {
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			n++
		}
	}
	return n
}

// openShare starts one of so many equal shares of the cores.
func openShare(name, share string, threads, shares int) (Device, error) {
	i, err := strconv.Atoi(share)
	if err != nil || i < 0 || i >= shares {
		return nil, fmt.Errorf("no device is called %s; the %d shares of the cores are cpu:0 to cpu:%d", name, shares, shares-1)
	}
	of := "threads"
	if threads <= 0 {
		threads, of = runtime.GOMAXPROCS(0), "cores"
	}
	if threads < shares {
		return nil, fmt.Errorf("device %s: %d shares need at least %d %s, not %d", name, shares, shares, of, threads)
	}
	return cpu.New(name, threads/shares)
}

// HardwareAt names what speeds are compared under: the devices and, where it is not
// float32, the precision of products.
func (d *Devices) HardwareAt(p recipe.Precision) string {
	if p == recipe.Float32 {
		return d.Hardware()
	}
	return d.Hardware() + ", " + p.String()
}

// Hardware names the devices.
func (d *Devices) Hardware() string {
	var kinds []string
	count := map[string]int{}
	for _, m := range d.members {
		h := m.Hardware()
		if count[h]++; count[h] == 1 {
			kinds = append(kinds, h)
		}
	}
	for i, h := range kinds {
		if count[h] > 1 {
			kinds[i] = fmt.Sprintf("%d × %s", count[h], h)
		}
	}
	return strings.Join(kinds, " + ")
}

// Threads is the number of worker threads of all devices.
func (d *Devices) Threads() int {
	n := 0
	for _, m := range d.members {
		n += m.Threads()
	}
	return n
}

// Limits measures what all devices can do at the same time.
func (d *Devices) Limits(p recipe.Precision) (engine.Limits, error) {
	type measured struct {
		engine.Limits
		err error
	}
	results := make(chan measured)
	for _, m := range d.members {
		go func() {
			l, err := m.Limits(p)
			results <- measured{l, err}
		}()
	}
	var all engine.Limits
	var errs []error
	for range d.members {
		r := <-results
		all.FLOPS += r.FLOPS
		all.Bytes += r.Bytes
		errs = append(errs, r.err)
	}
	return all, errors.Join(errs...)
}

// placement is how a recipe's training is divided among the devices.
func (d *Devices) placement(t recipe.Train) engine.Placement {
	return engine.Placement{Group: d.Group, Chunks: t.MicroBatches, Precision: t.Precision}
}

// A Machine opens the devices that runs ask for and keeps them.
type Machine struct {
	device  string
	threads int
	opened  map[string]*Devices
}

// NewMachine gives runs the devices that their variants name, or those named
// here. threads is of all devices of a run together, 0 for all cores.
func NewMachine(device string, threads int) *Machine {
	return &Machine{device, threads, map[string]*Devices{}}
}

// Devices opens a variant's devices, unless they are open.
func (m *Machine) Devices(v configs.Variant) (*Devices, error) {
	name := v.Device
	if name == "" {
		name = m.device
	}
	if d, ok := m.opened[name]; ok {
		return d, nil
	}
	d, err := OpenDevices(name, m.threads)
	if err != nil && v.Device != "" {
		err = fmt.Errorf("variant %s: %w", v.Name, err)
	}
	if err != nil {
		return nil, err
	}
	m.opened[name] = d
	return d, nil
}

// check opens a variant's devices and says whether they can share its training.
func (m *Machine) check(v configs.Variant) error {
	d, err := m.Devices(v)
	if err != nil {
		return err
	}
	if err := d.placement(v.Recipe.Train).Check(v.Recipe.Net, v.Recipe.Train.Batch); err != nil {
		return fmt.Errorf("variant %s: %w", v.Name, err)
	}
	return nil
}

// Hardware names what has been opened so far.
func (m *Machine) Hardware() string {
	var kinds []string
	for _, name := range slices.Sorted(maps.Keys(m.opened)) {
		kinds = append(kinds, m.opened[name].Hardware())
	}
	return strings.Join(slices.Compact(kinds), "; ")
}

// Close stops all devices.
func (m *Machine) Close() error {
	var errs []error
	for _, d := range m.opened {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}
