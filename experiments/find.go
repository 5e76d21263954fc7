package experiments

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrNoRun is a name that no run has.
var ErrNoRun = errors.New("no such run")

// ReadRecord reads the record in a run's folder.
func ReadRecord(dir string) (Record, error) { return readRecord(filepath.Join(dir, recordFile)) }

// The files of a run's folder that others read.
func RecordPath(dir string) string      { return filepath.Join(dir, recordFile) }
func MetricsPath(dir string) string     { return filepath.Join(dir, metricsFile) }
func WeightsPath(dir string) string     { return filepath.Join(dir, weightsFile) }
func PredictionsPath(dir string) string { return filepath.Join(dir, predictionsFile) }

// Find gives the folder of a run: STUDY/VARIANT/seed-N, STUDY/VARIANT/N, or its path.
func (s *Store) Find(name string) (string, error) {
	clean := filepath.Clean(name)
	if rel, err := filepath.Rel(s.Root, clean); err == nil && filepath.IsLocal(rel) {
		clean = rel // a path to the folder
	}
	parts := strings.Split(filepath.ToSlash(clean), "/")
	if len(parts) != 3 {
		return "", fmt.Errorf("%w: %s; a run is called STUDY/VARIANT/SEED, as in quickstart/baseline/1; ablate runs lists them", ErrNoRun, name)
	}
	seed, err := strconv.ParseUint(strings.TrimPrefix(parts[2], "seed-"), 10, 64)
	if err != nil {
		return "", fmt.Errorf("%w: %s; its seed is no number", ErrNoRun, name)
	}
	dir, err := s.path(parts[0], parts[1], seed)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, recordFile)); err != nil {
		return "", fmt.Errorf("%w: %s has no %s; ablate runs lists what is there", ErrNoRun, dir, recordFile)
	}
	return dir, nil
}

// Studies lists the studies that have folders.
func (s *Store) Studies() ([]string, error) {
	entries, err := os.ReadDir(s.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Folders lists the folders of all runs that have a record.
func (s *Store) Folders() ([]string, []error) {
	studies, err := s.Studies()
	var folders []string
	var problems []error
	if err != nil {
		problems = append(problems, err)
	}
	for _, study := range studies {
		dirs, errs := runFolders(s.Study(study))
		folders, problems = append(folders, dirs...), append(problems, errs...)
	}
	return folders, problems
}

// Remove deletes a run's folder, unless another process works in it.
func Remove(dir string) error {
	if err := lock(dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// Garbage lists what no report and no later attempt needs: runs that were set
// aside by --fresh, checkpoints of runs that have ended, and files that were
// never finished. Runs that a process works on are left alone.
func (s *Store) Garbage() ([]string, error) {
	var paths []string
	studies, err := s.Studies()
	if err != nil {
		return nil, err
	}
	for _, study := range studies {
		aside, err := filepath.Glob(filepath.Join(escape(s.Study(study)), "*", "seed-*.old-*"))
		if err != nil {
			return nil, err
		}
		paths = append(paths, aside...)
	}
	folders, problems := s.Folders()
	for _, dir := range folders {
		files, err := runGarbage(dir)
		if err != nil {
			problems = append(problems, err)
		}
		paths = append(paths, files...)
	}
	return paths, errors.Join(problems...)
}

// escape makes Glob take a path as it is.
func escape(path string) string {
	return strings.NewReplacer(`*`, `[*]`, `?`, `[?]`, `[`, `[[]`).Replace(path)
}

func runGarbage(dir string) ([]string, error) {
	if err := lock(dir); errors.Is(err, ErrBusy) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer unlock(dir)
	rec, err := ReadRecord(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	var paths []string
	for _, e := range entries {
		_, _, isCheckpoint := parseCheckpointName(e.Name())
		if isCheckpoint && rec.Status.Final() || strings.HasPrefix(e.Name(), unfinished) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, err
}
