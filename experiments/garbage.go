package experiments

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Remove deletes a run's folder, unless another process is working in it.
func Remove(dir string) error {
	if _, err := lock(dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// Garbage lists files that neither a report nor a later attempt needs: runs that --fresh moved
// aside, checkpoints of runs that have ended, and unfinished files. It leaves alone runs that a
// process works on, and runs whose records cannot be read; it returns the latter as problems.
func (s *Store) Garbage() (paths []string, problems []error) {
	folders, problems := s.folders(func(name string) bool { return isSeed(name) || isAside(name) })
	for _, dir := range folders {
		if isAside(filepath.Base(dir)) {
			paths = append(paths, dir)
			continue
		}
		files, err := runGarbage(dir)
		if err != nil {
			problems = append(problems, err)
		}
		paths = append(paths, files...)
	}
	return paths, problems
}

func runGarbage(dir string) ([]string, error) {
	h, err := lock(dir)
	if errors.Is(err, ErrBusy) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer h.release()
	rec, err := ReadRecord(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("left alone: %w", err)
	}
	entries, err := os.ReadDir(dir)
	var paths []string
	for _, e := range entries {
		_, isCheckpoint := parseCheckpointName(e.Name())
		if isCheckpoint && rec.Status.Final() || strings.HasPrefix(e.Name(), unfinished) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, err
}
