package experiments

import (
	"fmt"
)

// SaveFilters stores the first layer's weights as drawn and as trained. Both have the shape
// [kernel, kernel, in, out].
func (r *Recorder) SaveFilters(initial, trained Tensor) error {
	if err := r.held(); err != nil {
		return err
	}
	_, err := writeWeights(FiltersPath(r.dir), []Tensor{initial, trained}, nil)
	return err
}

// Filters reads what SaveFilters stored for a run.
func (s *Store) Filters(r Record) (initial, trained Tensor, err error) {
	dir, err := s.path(r.Study, r.Variant, r.Seed)
	if err != nil {
		return initial, trained, err
	}
	path := FiltersPath(dir)
	tensors, _, err := ReadTensors(path)
	if err != nil {
		return initial, trained, err
	}
	if len(tensors) != 2 {
		return initial, trained, fmt.Errorf("%s: %d tensors, want 2", path, len(tensors))
	}
	return tensors[0], tensors[1], nil
}
