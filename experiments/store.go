package experiments

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// What Store.Start refuses.
var (
	ErrDone    = errors.New("the run is done")                  // nothing is left to do
	ErrChanged = errors.New("a run of another recipe is there") // mixing them would be wrong
	ErrBusy    = errors.New("another process holds the run")
)

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
// that would leave the root is refused all the same.
func (s *Store) path(study, variant string, seed uint64) (string, error) {
	for _, name := range []string{study, variant} {
		if name == "" || !filepath.IsLocal(name) || strings.ContainsAny(name, `/\`) {
			return "", fmt.Errorf("%q cannot name a folder of runs", name)
		}
	}
	return filepath.Join(s.Root, study, variant, fmt.Sprintf("seed-%d", seed)), nil
}

// StartOptions say what Start may do with what it finds.
type StartOptions struct {
	Fresh bool // move a run of another recipe aside
}

// A Run is a run's folder, held by this process.
type Run struct {
	dir     string
	rec     Record
	log     *os.File
	metrics *os.File
}

// Start takes hold of a run's folder and opens a new attempt: rec.Attempts must
// hold what is known of it, without its time and process. A run that is done or
// diverged gives ErrDone, one of another recipe ErrChanged, one that another
// process works on ErrBusy.
func (s *Store) Start(rec Record, o StartOptions) (*Run, error) {
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

func begin(dir string, rec Record, o StartOptions) (*Run, error) {
	old, err := readRecord(filepath.Join(dir, recordFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case old.Identity != rec.Identity && !o.Fresh:
		return nil, fmt.Errorf("%s: %w: the recipe has changed since; give --fresh to move the old run aside, or the study another name", dir, ErrChanged)
	case old.Identity != rec.Identity:
		if err := setAside(dir); err != nil {
			return nil, err
		}
	case old.Status == Done || old.Status == Diverged:
		return nil, ErrDone
	default:
		rec.Attempts = append(old.Attempts, rec.Attempts...)
	}
	r := &Run{dir: dir, rec: rec}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	a := &r.rec.Attempts[len(r.rec.Attempts)-1]
	a.Started, a.PID, a.Host = time.Now().UTC(), os.Getpid(), host
	r.rec.Version, r.rec.Status = FormatVersion, Running
	if r.log, err = os.OpenFile(filepath.Join(dir, "log.txt"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return nil, err
	}
	if r.metrics, err = openMetrics(filepath.Join(dir, metricsFile)); err != nil {
		r.log.Close()
		return nil, err
	}
	if err := r.save(); err != nil {
		r.log.Close()
		r.metrics.Close()
		return nil, err
	}
	return r, r.Logf("attempt %d on %s", len(r.rec.Attempts), a.Hardware)
}

// setAside moves what a folder holds to the first free NAME.old-K beside it.
func setAside(dir string) error {
	for k := 1; ; k++ {
		to := fmt.Sprintf("%s.old-%d", dir, k)
		if _, err := os.Stat(to); err == nil {
			continue
		}
		if err := os.Rename(dir, to); err != nil {
			return fmt.Errorf("move the old run aside: %w", err)
		}
		unlock(to)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		return lock(dir)
	}
}

const (
	recordFile      = "run.json"
	metricsFile     = "metrics.jsonl"
	weightsFile     = "checkpoint.safetensors"
	predictionsFile = "predictions.csv"
)

// Dir is the run's folder.
func (r *Run) Dir() string { return r.dir }

// Logf writes a line with the time to log.txt.
func (r *Run) Logf(format string, args ...any) error {
	_, err := fmt.Fprintf(r.log, "%s %s\n", time.Now().UTC().Format(time.RFC3339), fmt.Sprintf(format, args...))
	return err
}

// Log appends a metric. The attempt's number is filled in.
func (r *Run) Log(m Metric) error {
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

// SaveWeights writes the trained weights and gives the file's SHA-256.
func (r *Run) SaveWeights(tensors []Tensor) (string, error) {
	return writeTensors(filepath.Join(r.dir, weightsFile), tensors)
}

// SavePredictions writes one line for each test image.
func (r *Run) SavePredictions(p []Prediction) error {
	return writePredictions(filepath.Join(r.dir, predictionsFile), p)
}

// Finish records how the run ended. result may be nil, err the reason.
func (r *Run) Finish(status Status, result *Result, err error) error {
	r.rec.Status, r.rec.Result = status, result
	if err != nil {
		r.rec.Error, _, _ = strings.Cut(err.Error(), "\n")
		if lerr := r.Logf("%s: %v", status, err); lerr != nil {
			return lerr
		}
	} else if lerr := r.Logf("%s", status); lerr != nil {
		return lerr
	}
	r.rec.Attempts[len(r.rec.Attempts)-1].Ended = time.Now().UTC()
	return r.save()
}

func (r *Run) save() error {
	text, err := json.MarshalIndent(r.rec, "", "  ")
	if err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	return WriteFile(filepath.Join(r.dir, recordFile), append(text, '\n'))
}

// Close lets go of the run.
func (r *Run) Close() error {
	err := errors.Join(r.log.Close(), r.metrics.Close())
	unlock(r.dir)
	return err
}

// WriteFile replaces a file as a whole: written beside, synced, renamed, the folder synced.
func WriteFile(path string, text []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncFolder(dir)
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
	files, err := filepath.Glob(filepath.Join(s.Study(study), "*", "seed-*", recordFile))
	if err != nil {
		return nil, []error{err}
	}
	var records []Record
	var problems []error
	for _, f := range files {
		if strings.Contains(filepath.Base(filepath.Dir(f)), ".old-") {
			continue
		}
		r, err := readRecord(f)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		records = append(records, r)
	}
	sort.Slice(records, func(i, j int) bool {
		if records[i].Variant != records[j].Variant {
			return records[i].Variant < records[j].Variant
		}
		return records[i].Seed < records[j].Seed
	})
	return records, problems
}
