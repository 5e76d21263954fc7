package experiments

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// What a report shows beside results; a run is whole without it.
const (
	filtersFile = "filters.safetensors" // the first layer's weights before and after training
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
	Waiting  Number       `json:"waiting_seconds"` // of a training step for its images: mean of the last attempt's steps, warm-up left out
	Kernels  []KernelTime `json:"kernels"`
}

// SaveFilters stores the first layer's weights as they were drawn and as they
// are trained, both of one shape, [kernel, kernel, in, out].
func (r *Recorder) SaveFilters(initial, trained Tensor) error {
	if err := r.held(); err != nil {
		return err
	}
	_, err := writeWeights(filepath.Join(r.dir, filtersFile), []Tensor{initial, trained})
	return err
}

// SaveTimes stores the kernels' times.
func (r *Recorder) SaveTimes(t Times) error {
	if err := r.held(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("times: %w", err)
	}
	return WriteFile(filepath.Join(r.dir, timesFile), append(text, '\n'))
}

// Filters reads what SaveFilters stored for a record's run.
func (s *Store) Filters(r Record) (initial, trained Tensor, err error) {
	dir, err := s.path(r.Study, r.Variant, r.Seed)
	if err != nil {
		return initial, trained, err
	}
	path := filepath.Join(dir, filtersFile)
	tensors, err := ReadWeights(path)
	if err != nil {
		return initial, trained, err
	}
	if len(tensors) != 2 {
		return initial, trained, fmt.Errorf("%s: %d tensors, there should be 2", path, len(tensors))
	}
	return tensors[0], tensors[1], nil
}

// Times reads what SaveTimes stored for a record's run.
func (s *Store) Times(r Record) (Times, error) {
	var t Times
	dir, err := s.path(r.Study, r.Variant, r.Seed)
	if err != nil {
		return t, err
	}
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
