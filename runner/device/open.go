// Package device opens the devices that a run trains on: all cores, equal shares of them, or GPUs.
package device

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/engine/cpu"
	"ablate/runner/engine/cuda"
)

// ErrNotAvailable reports a device that this machine does not have.
var ErrNotAvailable = errors.New("not available")

// Open starts the devices of a list such as cpu:0,cpu:1 or cuda:0, which share a run. auto and cpu
// mean all cores: a GPU is used only if the list names it. cpu:0 and cpu:1 are halves of the
// cores, or of the given number of threads; if the list names more shares, they are that many
// equal parts. cuda:0 and cuda:1 are GPUs as NVIDIA's driver counts them; cuda is the first.
func Open(list string, threads int) (*engine.Group, error) {
	names := strings.Split(list, ",")
	for i, name := range names {
		if name == "cuda" {
			names[i] = "cuda:0"
		}
	}
	if err := check(list, names); err != nil {
		return nil, err
	}
	if threads < 0 || threads > maxThreads {
		return nil, fmt.Errorf("%d threads: 1 to %d are possible, or 0 for all cores", threads, maxThreads)
	}
	shares := max(countPrefix(names, "cpu:"), 2)
	var devices []engine.Device
	for _, name := range names {
		dev, err := open(name, threads, shares)
		if err != nil {
			for _, opened := range devices {
				err = errors.Join(err, opened.Close())
			}
			return nil, err
		}
		devices = append(devices, dev)
	}
	return engine.NewGroup(devices...), nil
}

// maxThreads is more than the number of cores of any machine.
const maxThreads = 4096

// check refuses lists of devices that do not go together.
func check(list string, names []string) error {
	for i, name := range names {
		if name == "" {
			return fmt.Errorf("device %q lacks a name; write one, or several as in cpu:0,cpu:1", list)
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("device %s is named twice in %s", name, list)
		}
	}
	if gpus := countPrefix(names, "cuda:"); gpus > 0 && gpus < len(names) {
		return fmt.Errorf("device %s: GPUs and cores do not share a run; name one kind", list)
	}
	if len(names) > 1 && (slices.Contains(names, "cpu") || slices.Contains(names, "auto")) {
		return fmt.Errorf("device %s: auto and cpu stand alone, being all cores; name shares of them, as in "+
			"cpu:0,cpu:1", list)
	}
	return nil
}

func countPrefix(names []string, prefix string) (n int) {
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			n++
		}
	}
	return n
}

// open starts one device. For cpu:N, shares is the number of shares that divide the cores.
func open(name string, threads, shares int) (engine.Device, error) {
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
		return nil, fmt.Errorf("no device is called %s; known: auto, cpu, shares of its cores, as in cpu:0,cpu:1, "+
			"and GPUs, as in cuda:0", name)
	}
}

// openShare starts one of several equal shares of the cores.
func openShare(name, share string, threads, shares int) (engine.Device, error) {
	i, err := strconv.Atoi(share)
	if err != nil || i < 0 || i >= shares {
		return nil, fmt.Errorf("no device is called %s; the %d shares of the cores are cpu:0 to cpu:%d",
			name, shares, shares-1)
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

// openGPU starts a GPU. If there is none, the error says what the machine lacks.
func openGPU(name, number string) (engine.Device, error) {
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 {
		return nil, fmt.Errorf("no device is called %s; GPUs are cuda:0, cuda:1 and so on", name)
	}
	dev, err := cuda.Open(i)
	if err != nil {
		return nil, fmt.Errorf("device %s %w: %w", name, ErrNotAvailable, err)
	}
	return dev, nil
}

// Place divides a recipe's training among the devices of a group.
func Place(g *engine.Group, t recipe.Train) engine.Placement {
	return engine.Placement{Group: g, Chunks: t.MicroBatches, Precision: t.Precision}
}
