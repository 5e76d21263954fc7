package experiments

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The reasons why Store.Start refuses a run.
var (
	ErrDone    = errors.New("the run is done")                  // nothing remains to be done
	ErrChanged = errors.New("a run of another recipe is there") // mixing them would be wrong
	ErrData    = errors.New("the data has changed since")       // mixing them would be wrong
	ErrBusy    = errors.New("another process holds the run")
)

// ErrLost reports a folder that no longer belongs to the run that trains in it: it was deleted,
// moved, replaced or unmounted, or its lock was removed by hand.
var ErrLost = errors.New("the run has lost its folder")

// ErrDamaged reports a record that cannot be read. The other runs of its study can still be
// trained.
var ErrDamaged = errors.New("damaged record")

// StartOptions says what Start may do with an existing run.
type StartOptions struct {
	Fresh bool // move an existing run aside, whatever its recipe and state
	// Identify returns the identity that a stored recipe has today. It lets a run continue whose
	// record uses the key names of an earlier format.
	Identify func(recipe json.RawMessage) (string, error)
}

// same reports whether a record has the recipe with this identity.
func (o StartOptions) same(old Record, identity string) bool {
	if old.Identity == identity {
		return true
	}
	if o.Identify == nil {
		return false
	}
	today, err := o.Identify(old.Recipe)
	return err == nil && today == identity
}

// Start takes a run's folder and opens a new attempt; rec.Attempts must describe the attempt, apart
// from its time and process. It returns ErrDone if the run is done or diverged, ErrChanged if it
// has another recipe, ErrData if it saw other images, ErrDamaged if its record cannot be read, and
// ErrBusy if another process works on it. An unfinished run continues from LatestCheckpoint, or
// begins again.
func (s *Store) Start(rec Record, o StartOptions) (*Recorder, error) {
	dir, err := s.path(rec.Study, rec.Variant, rec.Seed)
	if err != nil {
		return nil, err
	}
	if err := s.makeFolder(dir); err != nil {
		return nil, err
	}
	h, err := lock(dir)
	if err != nil {
		return nil, err
	}
	r, err := begin(dir, h, rec, o)
	if err != nil {
		h.release()
		return nil, err
	}
	return r, nil
}

func begin(dir string, h hold, rec Record, o StartOptions) (*Recorder, error) {
	var before *Record
	old, err := ReadRecord(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case o.Fresh: // also with a damaged record
		if err := setAside(dir); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, fmt.Errorf("%w: %w; --fresh moves the run aside", ErrDamaged, err)
	case !o.same(old, rec.Identity):
		return nil, fmt.Errorf("%s: %w: the recipe has changed since; "+
			"--fresh moves the old run aside, or give the study another name", dir, ErrChanged)
	case old.Status.Final():
		if err := dropCheckpoints(dir); err != nil { // a process that was killed right after the end has left them
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w", dir, ErrDone)
	default:
		if err := sameData(old.Provenance, rec.Provenance); err != nil {
			return nil, fmt.Errorf("%s: %w; bring the images back, or move the old run aside with --fresh", dir, err)
		}
		before = &old
	}
	if err := sweep(dir); err != nil {
		return nil, err
	}
	var a Attempt
	if n := len(rec.Attempts); n > 0 {
		a = rec.Attempts[n-1]
	}
	a.Started, a.PID, a.Host = now().UTC(), os.Getpid(), hostname()
	if rec.Provenance != nil {
		a.Commit = rec.Provenance.Commit
	}
	rec.Attempts = []Attempt{a}
	if before != nil {
		rec.Attempts, rec.FirstSteps = append(slices.Clone(before.Attempts), a), before.FirstSteps
	}
	rec.Version, rec.Status, rec.Error, rec.Result = FormatVersion, Running, "", nil
	r := &Recorder{dir: dir, rec: rec, hold: h}
	if err := r.open(before); err != nil {
		return nil, errors.Join(err, r.closeFiles())
	}
	return r, nil
}

// sameData refuses images other than those that an earlier attempt saw. Splits that only one of the
// two records has cannot be compared.
func sameData(then, now *Provenance) error {
	if then == nil || now == nil {
		return nil
	}
	for _, split := range slices.Sorted(maps.Keys(then.Data)) {
		if is, ok := now.Data[split]; ok && is != then.Data[split] {
			return fmt.Errorf("%w: %s was %.12s, is %.12s", ErrData, split, then.Data[split], is)
		}
	}
	return nil
}

// setAside moves the contents of a folder, except its lock, to the first free NAME.old-K beside it.
// The record is moved last: if this is interrupted, the folder still says whose files it contains,
// and the next --fresh moves the rest.
func setAside(dir string) error {
	to, err := firstFree(dir)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("move the old run aside: %w", err)
	}
	var names []string
	for _, e := range entries {
		if n := e.Name(); n != recordFile && n != lockFile {
			names = append(names, n)
		}
	}
	for _, n := range append(names, recordFile) {
		if err := os.Rename(filepath.Join(dir, n), filepath.Join(to, n)); err != nil {
			return fmt.Errorf("move the old run aside: %w", err)
		}
	}
	return errors.Join(syncFolder(to), syncFolder(dir))
}

// firstFree makes the first folder DIR.old-K that does not exist yet.
func firstFree(dir string) (string, error) {
	for k := 1; ; k++ {
		to := fmt.Sprintf("%s.old-%d", dir, k)
		err := os.Mkdir(to, 0o755)
		if err == nil {
			return to, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("move the old run aside: %w", err)
		}
	}
}

// sweep removes the unfinished files of a killed attempt, and its patch, which the new attempt
// writes again.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), unfinished) || e.Name() == patchFile {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
