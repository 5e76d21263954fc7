package experiments

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"
)

// A Store is a folder of runs: ROOT/STUDY/VARIANT/seed-N/.
type Store struct {
	Root string

	mu     sync.Mutex
	folder fs.FileInfo // the folder that Root was at first
}

// Open opens a folder of runs; the first run that starts creates it.
func Open(root string) (*Store, error) {
	s := &Store{Root: root}
	info, err := os.Stat(root)
	if err != nil {
		return s, nil // it does not exist yet
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("runs folder %s is a file", root)
	}
	s.folder = info
	return s, nil
}

// Study returns a study's folder.
func (s *Store) Study(study string) string { return filepath.Join(s.Root, study) }

// path returns a run's folder. Names come from configs and are checked there, but a name that would
// leave the root, or confuse a terminal or a shell, is also refused here.
func (s *Store) path(study, variant string, seed uint64) (string, error) {
	for _, name := range []string{study, variant} {
		odd := func(c rune) bool { return c == '/' || c == '\\' || unicode.IsControl(c) }
		if name == "." || !filepath.IsLocal(name) || strings.ContainsFunc(name, odd) {
			return "", fmt.Errorf("%.100q cannot name a folder of runs", name)
		}
	}
	return filepath.Join(s.Root, study, variant, fmt.Sprintf("seed-%d", seed)), nil
}

// makeFolder makes the folder of a run. If the root is no longer the same folder, that is an error:
// otherwise the rest of a study would be written into the empty mount point of a lost disk.
func (s *Store) makeFolder(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(s.Root)
	switch {
	case s.folder == nil && errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(s.Root, 0o755); err != nil {
			return writeError(s.Root, 0, err)
		}
		if info, err = os.Stat(s.Root); err != nil {
			return err
		}
	case s.folder != nil && (err != nil || !os.SameFile(s.folder, info)):
		return fmt.Errorf("runs folder %s: %w: it was deleted, unmounted or replaced since this program began; "+
			"run again once it is back", s.Root, ErrLost)
	case err != nil:
		return err
	}
	s.folder = info
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return writeError(dir, 0, err)
	}
	return nil
}

// Guard keeps out other processes of this host that call it, until release is called or this
// process ends.
func (s *Store) Guard() (release func(), err error) { return guard(s.Root) }

// Load reads a study's records, sorted by variant and seed. Records that cannot be read are left
// out, and their errors listed, so that a report can do without them.
func (s *Store) Load(study string) ([]Record, []error) {
	if _, err := s.path(study, "variant", 0); err != nil {
		return nil, []error{err}
	}
	folders, problems := runFolders(s.Study(study), isSeed)
	read, errs := readRecords(folders)
	var records []Record
	for i, err := range errs {
		switch {
		case err == nil:
			records = append(records, read[i])
		case !errors.Is(err, fs.ErrNotExist): // not a run until there is a record
			problems = append(problems, err)
		}
	}
	slices.SortStableFunc(records, func(a, b Record) int {
		return cmp.Or(strings.Compare(a.Variant, b.Variant), cmp.Compare(a.Seed, b.Seed))
	})
	return records, problems
}

// readRecords reads the records of folders on all CPUs: half of the time goes into parsing.
func readRecords(folders []string) ([]Record, []error) {
	records, errs := make([]Record, len(folders)), make([]error, len(folders))
	var next atomic.Int64
	var readers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		readers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(folders); i = int(next.Add(1)) - 1 {
				records[i], errs[i] = ReadRecord(folders[i])
			}
		})
	}
	readers.Wait()
	return records, errs
}

// Record reads the record of one run. If there is none, the error is fs.ErrNotExist.
func (s *Store) Record(study, variant string, seed uint64) (Record, error) {
	dir, err := s.path(study, variant, seed)
	if err != nil {
		return Record{}, err
	}
	return ReadRecord(dir)
}

// Dir returns the folder of a recorded run.
func (s *Store) Dir(r Record) (string, error) { return s.path(r.Study, r.Variant, r.Seed) }

// Metrics reads the Series of a recorded run.
func (s *Store) Metrics(r Record) ([]Metric, error) {
	dir, err := s.path(r.Study, r.Variant, r.Seed)
	if err != nil {
		return nil, err
	}
	log, err := ReadMetrics(MetricsPath(dir))
	return Series(log), err
}

// Predictions reads the predictions of a recorded run for the test images.
func (s *Store) Predictions(r Record) ([]Prediction, error) {
	dir, err := s.path(r.Study, r.Variant, r.Seed)
	if err != nil {
		return nil, err
	}
	return ReadPredictions(PredictionsPath(dir))
}
