package runner

import (
	"fmt"

	"ablate/runner/engine"
	"ablate/runner/engine/cpu"
)

// A Device is an engine's device that says how many threads it runs.
type Device interface {
	engine.Device
	Threads() int
	// Limits measures what the machine can do at most.
	Limits() (engine.Limits, error)
}

// OpenDevice starts the device of a name: auto takes the best there is, which is the CPU.
func OpenDevice(name string, threads int) (Device, error) {
	switch name {
	case "auto", "cpu":
		return cpu.New("cpu", threads)
	default:
		return nil, fmt.Errorf("no device is called %s; known: auto, cpu", name)
	}
}
