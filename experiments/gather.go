package experiments

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// RunsIn lists the run folders in a folder: the folder itself, or those of a study, or those of
// several studies.
func RunsIn(dir string) ([]string, error) {
	const deepest = 3 // STUDY/VARIANT/seed-N
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case !d.IsDir():
			return nil
		case exists(RecordPath(path)) && !isAside(d.Name()):
			found = append(found, path)
			return fs.SkipDir
		case strings.Count(filepath.ToSlash(rel), "/") >= deepest-1 && rel != ".":
			return fs.SkipDir
		}
		return nil
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%w in %s", ErrNoRun, dir)
	}
	return found, err
}

// Gatherable reports whether a run from another machine can be copied into the store, and whether
// the same run is already there. A different run in its place is ErrConflict. A run that may still
// be training is refused.
func (s *Store) Gatherable(dir string) (same bool, err error) {
	rec, err := ReadRecord(dir)
	if err != nil {
		return false, err
	}
	if rec.Status == Running {
		return false, fmt.Errorf("%s: it is %s there, or its process died", dir, Running)
	}
	to, err := s.path(rec.Study, rec.Variant, rec.Seed)
	if err != nil {
		return false, err
	}
	old, err := ReadRecord(to)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if old.Identity == rec.Identity && old.Status == rec.Status && sameOutcome(old, rec) {
		theirs, errA := ReadMetrics(MetricsPath(dir))
		ours, errB := ReadMetrics(MetricsPath(to))
		if errA == nil && errB == nil && DigestMetrics(Series(theirs)) == DigestMetrics(Series(ours)) {
			return true, nil
		}
	}
	return false, fmt.Errorf("%s: %w: %s, %s; remove it with ablate runs rm, or keep both stores apart", dir,
		ErrConflict, to, old.Status)
}

// sameOutcome reports whether two records have the same results, apart from speed.
func sameOutcome(a, b Record) bool {
	if a.Result == nil || b.Result == nil {
		return a.Result == b.Result
	}
	x, y := *a.Result, *b.Result
	x.ImagesPerSecond, y.ImagesPerSecond = 0, 0
	left, errA := json.Marshal(x)
	right, errB := json.Marshal(y)
	return errA == nil && errB == nil && slices.Equal(left, right)
}

// Gather copies a run from another machine into the store, as a whole or not at all, together with
// its study's declaration. It reports whether it did; a run that is already there is left alone.
func (s *Store) Gather(dir string) (copied bool, err error) {
	same, err := s.Gatherable(dir)
	if same || err != nil {
		return false, err
	}
	rec, err := ReadRecord(dir)
	if err != nil {
		return false, err
	}
	to, err := s.path(rec.Study, rec.Variant, rec.Seed)
	if err != nil {
		return false, err
	}
	if err := s.makeFolder(filepath.Dir(to)); err != nil {
		return false, err
	}
	beside, err := os.MkdirTemp(filepath.Dir(to), unfinished+"run-*")
	if err != nil {
		return false, writeError(to, 0, err)
	}
	defer os.RemoveAll(beside) // it is gone if all went well
	if err := copyFolder(beside, dir); err != nil {
		return false, err
	}
	if err := os.Chmod(beside, 0o755); err != nil {
		return false, err
	}
	if err := os.Rename(beside, to); err != nil {
		return false, writeError(to, 0, err)
	}
	if err := s.declareAs(rec.Study, filepath.Dir(filepath.Dir(dir))); err != nil {
		return true, err
	}
	return true, syncFolder(filepath.Dir(to))
}

// declareAs copies the declaration in a study's folder, if there is one.
func (s *Store) declareAs(study, folder string) error {
	text, err := readFile(filepath.Join(folder, studyFile), maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var d Declaration
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil || d.Study != study || d.Version != declarationVersion {
		return err
	}
	_, err = s.Declare(d)
	return err
}

// copyFolder copies the regular files of a folder and its subfolders, except locks and unfinished
// files.
func copyFolder(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir() && rel != ".":
			return os.Mkdir(target, 0o755)
		case d.IsDir(), rel == lockFile, strings.HasPrefix(d.Name(), unfinished), !d.Type().IsRegular():
			return nil
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return writeError(target, 0, err)
		}
		_, err = io.Copy(out, in)
		if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
			return writeError(target, 0, err)
		}
		return nil
	})
}
