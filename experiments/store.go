package experiments

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// What Store.Start refuses.
var (
	ErrDone    = errors.New("the run is done")                  // nothing is left to do
	ErrChanged = errors.New("a run of another recipe is there") // mixing them would be wrong
	ErrBusy    = errors.New("another process holds the run")
)

// ErrLost is a folder that no longer belongs to the run that goes on in it: it
// was deleted or moved, or its lock was removed by hand.
var ErrLost = errors.New("the run has lost its folder")

// A Store is a folder of runs: ROOT/STUDY/VARIANT/seed-N/.
type Store struct{ Root string }

// Open names the folder; it is made when the first run starts.
func Open(root string) (*Store, error) {
	if info, err := os.Stat(root); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("runs folder %s is a file", root)
	}
	return &Store{root}, nil
}

// Study is a study's folder.
func (s *Store) Study(study string) string { return filepath.Join(s.Root, study) }

// path is a run's folder. Names come from configs and are checked there; a name
// that would leave the root, or that a terminal or a shell would choke on, is refused all the same.
func (s *Store) path(study, variant string, seed uint64) (string, error) {
	for _, name := range []string{study, variant} {
		odd := func(c rune) bool { return c == '/' || c == '\\' || unicode.IsControl(c) }
		if name == "." || !filepath.IsLocal(name) || strings.ContainsFunc(name, odd) {
			return "", fmt.Errorf("%q cannot name a folder of runs", name)
		}
	}
	return filepath.Join(s.Root, study, variant, fmt.Sprintf("seed-%d", seed)), nil
}

// StartOptions say what Start may do with what it finds.
type StartOptions struct {
	Fresh bool // move a run that is there aside, whatever its recipe and state
}

// A Recorder is the open folder of a run, held by this process. Its methods are for one goroutine.
type Recorder struct {
	dir     string
	rec     Record
	log     *os.File
	metrics *os.File
	closed  bool
}

// Start takes hold of a run's folder and opens a new attempt: rec.Attempts must
// hold what is known of it, without its time and process. A run that is done or
// diverged gives ErrDone, one of another recipe ErrChanged, one that another
// process works on ErrBusy. An unfinished run begins again from its first step.
func (s *Store) Start(rec Record, o StartOptions) (*Recorder, error) {
	dir, err := s.path(rec.Study, rec.Variant, rec.Seed)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the run's folder: %w", err)
	}
	if err := lock(dir); err != nil {
		return nil, err
	}
	r, err := begin(dir, rec, o)
	if err != nil {
		unlock(dir)
		return nil, err
	}
	return r, nil
}

func begin(dir string, rec Record, o StartOptions) (*Recorder, error) {
	var earlier []Attempt
	old, err := readRecord(filepath.Join(dir, recordFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case o.Fresh:
		if err := setAside(dir); err != nil {
			return nil, err
		}
	case old.Identity != rec.Identity:
		return nil, fmt.Errorf("%s: %w: the recipe has changed since; "+
			"give --fresh to move the old run aside, or the study another name", dir, ErrChanged)
	case old.Status.Final():
		if err := dropCheckpoints(dir); err != nil { // a process killed right after its end left them
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w", dir, ErrDone)
	default:
		earlier, rec.FirstSteps = old.Attempts, old.FirstSteps
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
	rec.Attempts = append(slices.Clone(earlier), a)
	rec.Version, rec.Status, rec.Error, rec.Result = FormatVersion, Running, "", nil
	r := &Recorder{dir: dir, rec: rec}
	if err := r.open(); err != nil {
		return nil, errors.Join(err, r.closeFiles())
	}
	return r, nil
}

// open makes an attempt's files.
func (r *Recorder) open() (err error) {
	if r.log, err = os.OpenFile(filepath.Join(r.dir, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return err
	}
	if r.metrics, err = openMetrics(filepath.Join(r.dir, metricsFile)); err != nil {
		return err
	}
	if p := r.rec.Provenance; p != nil && len(p.patch) > 0 {
		if err := WriteFile(filepath.Join(r.dir, patchFile), p.patch); err != nil {
			return err
		}
	}
	if err := r.save(); err != nil {
		return err
	}
	return r.Logf("attempt %d on %s", len(r.rec.Attempts), r.rec.Attempts[len(r.rec.Attempts)-1].Hardware)
}

func (r *Recorder) closeFiles() error {
	var errs []error
	for _, f := range []*os.File{r.log, r.metrics} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// setAside moves what a folder holds, but for its lock, to the first free
// NAME.old-K beside it. The record goes last: if this is cut short, the folder
// still says whose files it holds, and the next --fresh moves the rest.
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

// firstFree makes the first folder DIR.old-K that is not there yet.
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

// sweep removes what an attempt that was killed left half-written, and the
// patch, which is the new attempt's to write.
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

const (
	recordFile      = "run.json"
	metricsFile     = "metrics.jsonl"
	weightsFile     = "checkpoint.safetensors"
	predictionsFile = "predictions.csv"
	patchFile       = "patch.diff"
	logFile         = "log.txt"

	unfinished = ".writing-" // begins the name of a file that is not whole yet
)

// now is the clock, which tests turn back.
var now = time.Now

// Dir is the run's folder.
func (r *Recorder) Dir() string { return r.dir }

// Logf writes a line with the time to log.txt.
func (r *Recorder) Logf(format string, args ...any) error {
	_, err := fmt.Fprintf(r.log, "%s %s\n", now().UTC().Format(time.RFC3339), fmt.Sprintf(format, args...))
	return err
}

// Log appends a metric. The attempt's number is filled in.
func (r *Recorder) Log(m Metric) error {
	m.Attempt = len(r.rec.Attempts)
	line, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("log %s: %w", m.Name, err)
	}
	if _, err := r.metrics.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("log %s: %w", m.Name, err)
	}
	return nil
}

// SaveWeights writes the trained weights and gives the SHA-256 of the file.
func (r *Recorder) SaveWeights(tensors []Tensor) (string, error) {
	if err := r.held(); err != nil {
		return "", err
	}
	return writeWeights(filepath.Join(r.dir, weightsFile), tensors)
}

// SavePredictions writes one line for each test image.
func (r *Recorder) SavePredictions(p []Prediction) error {
	if err := r.held(); err != nil {
		return err
	}
	return writePredictions(filepath.Join(r.dir, predictionsFile), p)
}

// Finish records how the run ended. result may be nil, err the reason.
func (r *Recorder) Finish(status Status, result *Result, err error) error {
	r.rec.Status, r.rec.Result = status, result
	said := string(status)
	if err != nil {
		r.rec.Error, _, _ = strings.Cut(err.Error(), "\n")
		said += ": " + err.Error()
	}
	if err := r.Logf("%s", said); err != nil {
		return err
	}
	if err := r.metrics.Sync(); err != nil { // a run is not done before its figures are safe
		return fmt.Errorf("finish the run: %w", err)
	}
	r.rec.Attempts[len(r.rec.Attempts)-1].Ended = now().UTC()
	if err := r.save(); err != nil {
		return err
	}
	if status.Final() {
		return dropCheckpoints(r.dir) // only now: until the record says so, the run may have to go on
	}
	return nil
}

func (r *Recorder) save() error {
	if err := r.held(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r.rec, "", "  ")
	if err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	return WriteFile(filepath.Join(r.dir, recordFile), append(text, '\n'))
}

// Close lets go of the run. Closing again does nothing.
func (r *Recorder) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	err := r.closeFiles()
	if r.held() == nil { // else the lock is gone already, or another's
		unlock(r.dir)
	}
	return err
}

// WriteFile replaces a file as a whole: written beside, synced, renamed, the folder synced.
func WriteFile(path string, text []byte) error {
	return writeWith(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// writeWith is WriteFile for what is too large to be held twice.
func writeWith(path string, write func(io.Writer) error) error {
	beside, err := writeBeside(path, write)
	if err != nil {
		return err
	}
	return publish(beside, path)
}

// writeBeside writes and syncs a file in the folder of path, under a name that
// says that it is not whole yet, and gives that name.
func writeBeside(path string, write func(io.Writer) error) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), unfinished+filepath.Base(path)+"-*")
	if err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	if err := errors.Join(write(f), f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	return f.Name(), nil
}

// publish gives a file that is whole its name, durably.
func publish(beside, path string) error {
	err := os.Rename(beside, path)
	if err != nil {
		os.Remove(beside)
	} else {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// maxRecord bounds run.json.
const maxRecord = 64 << 20

func readRecord(path string) (Record, error) {
	var r Record
	info, err := os.Stat(path)
	if err != nil {
		return r, err
	}
	if info.Size() > maxRecord {
		return r, fmt.Errorf("%s: %d bytes are no record of a run", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	if r.Version != FormatVersion {
		return r, fmt.Errorf("%s: format version %d; this ablate reads %d", path, r.Version, FormatVersion)
	}
	return r, nil
}

// Load reads a study's records, sorted by variant and seed. Records that cannot
// be read are left out and listed, so that a report can go on without them.
func (s *Store) Load(study string) ([]Record, []error) {
	if _, err := s.path(study, "variant", 0); err != nil {
		return nil, []error{err}
	}
	folders, problems := runFolders(s.Study(study))
	var records []Record
	for _, dir := range folders {
		switch r, err := readRecord(filepath.Join(dir, recordFile)); {
		case err == nil:
			records = append(records, r)
		case !errors.Is(err, fs.ErrNotExist): // without a record it is not a run yet
			problems = append(problems, err)
		}
	}
	slices.SortStableFunc(records, func(a, b Record) int {
		return cmp.Or(strings.Compare(a.Variant, b.Variant), cmp.Compare(a.Seed, b.Seed))
	})
	return records, problems
}

// Metrics reads the Series of a recorded run.
func (s *Store) Metrics(r Record) ([]Metric, error) {
	dir, err := s.path(r.Study, r.Variant, r.Seed)
	if err != nil {
		return nil, err
	}
	log, err := ReadMetrics(filepath.Join(dir, metricsFile))
	return Series(log), err
}

// Predictions reads what a recorded run's net made of the test images.
func (s *Store) Predictions(r Record) ([]Prediction, error) {
	dir, err := s.path(r.Study, r.Variant, r.Seed)
	if err != nil {
		return nil, err
	}
	return ReadPredictions(filepath.Join(dir, predictionsFile))
}

// runFolders lists a study's folders VARIANT/seed-N, without those that were set aside.
func runFolders(study string) ([]string, []error) {
	var folders []string
	var problems []error
	variants, err := os.ReadDir(study)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		problems = append(problems, err)
	}
	for _, v := range variants {
		if !v.IsDir() {
			continue
		}
		seeds, err := os.ReadDir(filepath.Join(study, v.Name()))
		if err != nil {
			problems = append(problems, err)
		}
		for _, seed := range seeds {
			number, ok := strings.CutPrefix(seed.Name(), "seed-")
			if _, err := strconv.ParseUint(number, 10, 64); ok && err == nil {
				folders = append(folders, filepath.Join(study, v.Name(), seed.Name()))
			}
		}
	}
	return folders, problems
}
