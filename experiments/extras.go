package experiments

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// What a report shows beside results; a run is whole without it.
const (
	initialFile = "initial.safetensors" // the first layer's weights before the first step
	timesFile   = "times.json"          // how long each kernel of a step takes
)

// A KernelTime is the time of one kernel of a training step.
type KernelTime struct {
	Name    string `json:"name"` // conv{conv1}+relu
	Seconds Number `json:"seconds"`
}

// Times are the kernels of a training step in the order they run, timed at the
// end of the last attempt. They belong to a machine and change from time to time.
type Times struct {
	Hardware string       `json:"hardware"`
	Batch    int          `json:"batch"`
	Kernels  []KernelTime `json:"kernels"`
}

// SaveInitial stores the first layer's weights as they are before training.
func (r *Run) SaveInitial(tensors []Tensor) error {
	if err := r.held(); err != nil {
		return err
	}
	_, err := writeWeights(filepath.Join(r.dir, initialFile), tensors)
	return err
}

// SaveTimes stores the kernels' times.
func (r *Run) SaveTimes(t Times) error {
	if err := r.held(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("times: %w", err)
	}
	return WriteFile(filepath.Join(r.dir, timesFile), append(text, '\n'))
}

// InitialPath is where the first layer's weights before training lie.
func InitialPath(dir string) string { return filepath.Join(dir, initialFile) }

// ReadTimes reads the kernels' times of a run's folder.
func ReadTimes(dir string) (Times, error) {
	var t Times
	path := filepath.Join(dir, timesFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(text, &t); err != nil {
		return t, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}
