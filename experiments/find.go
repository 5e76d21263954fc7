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

// ErrNoRun reports a name that no run has.
var ErrNoRun = errors.New("no such run")

// Find returns the folder of a recorded run, given as STUDY/VARIANT/seed-N, STUDY/VARIANT/N or the
// path of its folder.
func (s *Store) Find(name string) (string, error) {
	dir, err := s.FindFolder(name)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(RecordPath(dir)); err != nil {
		return "", fmt.Errorf("%w: %s has no %s; ablate runs lists the runs", ErrNoRun, dir, recordFile)
	}
	return dir, nil
}

// Read returns the record of a run, which is named as for Find, and its folder.
func (s *Store) Read(name string) (rec Record, dir string, err error) {
	if dir, err = s.Find(name); err != nil {
		return rec, "", err
	}
	rec, err = ReadRecord(dir)
	return rec, dir, err
}

// FindFolder is like Find, for a run that may not have a record.
func (s *Store) FindFolder(name string) (string, error) {
	parts := strings.Split(filepath.ToSlash(filepath.Clean(name)), "/")
	if rel, err := filepath.Rel(s.Root, name); err == nil && filepath.IsLocal(rel) {
		if path := strings.Split(filepath.ToSlash(rel), "/"); len(path) == 3 {
			parts = path // a path to the folder
		}
	}
	if len(parts) != 3 {
		return "", fmt.Errorf("%w: %s; a run is called STUDY/VARIANT/SEED, as in quickstart/baseline/1; "+
			"ablate runs lists them", ErrNoRun, name)
	}
	seed, err := strconv.ParseUint(strings.TrimPrefix(parts[2], "seed-"), 10, 64)
	if err != nil {
		return "", fmt.Errorf("%w: %s; its seed is not a number", ErrNoRun, name)
	}
	return s.path(parts[0], parts[1], seed)
}

// Studies lists the studies that have folders.
func (s *Store) Studies() ([]string, error) { return subfolders(s.Root) }

// subfolders lists the folders in a folder, including symbolic links to folders: a study or a
// variant may be on another disk.
func subfolders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		isFolder := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			info, err := os.Stat(filepath.Join(dir, e.Name()))
			isFolder = err == nil && info.IsDir()
		}
		if isFolder {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Folders lists the folders of all runs.
func (s *Store) Folders() ([]string, []error) { return s.folders(isSeed) }

// folders lists the folders STUDY/VARIANT/NAME whose name is wanted.
func (s *Store) folders(want func(name string) bool) (folders []string, problems []error) {
	studies, err := s.Studies()
	if err != nil {
		problems = append(problems, err)
	}
	for _, study := range studies {
		dirs, errs := runFolders(s.Study(study), want)
		folders, problems = append(folders, dirs...), append(problems, errs...)
	}
	return folders, problems
}

// runFolders lists a study's folders VARIANT/NAME whose name is wanted.
func runFolders(study string, want func(name string) bool) (folders []string, problems []error) {
	variants, err := subfolders(study)
	if err != nil {
		problems = append(problems, err)
	}
	for _, variant := range variants {
		names, err := subfolders(filepath.Join(study, variant))
		if err != nil {
			problems = append(problems, err)
		}
		for _, name := range names {
			if want(name) {
				folders = append(folders, filepath.Join(study, variant, name))
			}
		}
	}
	return folders, problems
}

// isSeed reports whether a name is that of a run's folder, seed-N.
func isSeed(name string) bool {
	number, ok := strings.CutPrefix(name, "seed-")
	_, err := strconv.ParseUint(number, 10, 64)
	return ok && err == nil
}

// isAside reports whether a name is that of a run that was moved aside, seed-N.old-K.
func isAside(name string) bool {
	seed, k, ok := strings.Cut(name, ".old-")
	_, err := strconv.ParseUint(k, 10, 64)
	return ok && err == nil && isSeed(seed)
}
