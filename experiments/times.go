package experiments

import (
	"encoding/json"
	"fmt"
)

// A KernelTime is the time of one kernel of a training step.
type KernelTime struct {
	Name    string `json:"name"`            // conv{conv1}+relu
	Layer   string `json:"layer,omitempty"` // conv1; records of format 1 and transfers have none
	Seconds Number `json:"seconds"`
}

// Times are the kernels of a training step in the order they run, timed at the
// end of the last attempt. They belong to a machine and change from time to time.
type Times struct {
	Hardware string `json:"hardware"`
	Batch    int    `json:"batch"`
	// Waiting is how long a training step waits for its images: the mean over the last attempt, without warm-up.
	Waiting Number       `json:"waiting_seconds"`
	Kernels []KernelTime `json:"kernels"`
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
	return WriteFile(TimesPath(r.dir), append(text, '\n'))
}

// Times reads what SaveTimes stored for a record's run.
func (s *Store) Times(r Record) (Times, error) {
	var t Times
	dir, err := s.path(r.Study, r.Variant, r.Seed)
	if err != nil {
		return t, err
	}
	path := TimesPath(dir)
	text, err := readFile(path, maxRecord)
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(text, &t); err != nil {
		return t, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}
