package device

import (
	"fmt"
	"runtime"
	"strings"

	"ablate/runner/engine/cuda"
	"ablate/runner/engine/cuda/nvidia"
)

// A Slot is a share of the machine that trains one run at a time.
type Slot struct {
	Name    string // in the user's numbering: cpu:1, cuda:3
	Device  string // the argument of Open in a process that trains on this slot alone
	Threads int    // of the CPU
}

// mostShares is the most runs that auto trains at a time without a GPU: each holds its own data
// and weights in memory.
const mostShares = 8

// Slots divides the machine. Each device of a list is a slot, and the CPU's threads (0 for all
// cores) are divided evenly. auto means every GPU or, if there is none, equal shares of the cores:
// one for each run, at most 8.
func Slots(list string, threads, runs int) ([]Slot, error) {
	if threads < 0 || threads > maxThreads {
		return nil, fmt.Errorf("%d threads: 1 to %d are possible, or 0 for all cores", threads, maxThreads)
	}
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	names := strings.Split(list, ",")
	if list == "auto" {
		if names = gpus(); len(names) == 0 {
			for i := range max(1, min(threads, runs, mostShares)) {
				names = append(names, fmt.Sprintf("cpu:%d", i))
			}
		}
	}
	if err := check(list, names); err != nil {
		return nil, err
	}
	if len(names) > threads && strings.HasPrefix(names[0], "cpu") {
		return nil, fmt.Errorf("%d shares of %d threads: each needs one", len(names), threads)
	}
	var slots []Slot
	for _, name := range names {
		s := Slot{Name: name, Device: name, Threads: max(1, threads/len(names))}
		number, isShare := strings.CutPrefix(name, "cpu:")
		switch {
		case isShare && len(number) > 0 && strings.Trim(number, "0123456789") == "":
			s.Device = "cpu" // all threads of its process, which gets its share of them
		case name != "cpu" && name != "cuda" && !strings.HasPrefix(name, "cuda:"):
			return nil, fmt.Errorf("no device is called %s; name shares of the cores, as in cpu:0,cpu:1, GPUs, as in "+
				"cuda:0,cuda:1, or auto", name)
		}
		slots = append(slots, s)
	}
	return slots, nil
}

// gpus returns the names of the GPUs that can be used.
func gpus() []string {
	libs := nvidia.Look()
	if libs.Driver == nil || libs.NVRTC == nil {
		return nil
	}
	models, err := cuda.Devices(libs)
	if err != nil {
		return nil
	}
	var names []string
	for i := range models {
		names = append(names, fmt.Sprintf("cuda:%d", i))
	}
	return names
}
