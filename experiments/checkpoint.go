package experiments

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Checkpoint is what an unfinished run needs to go on as if it had never stopped.
type Checkpoint struct {
	Step     int64           // trained
	Logged   int             // points of the metric series up to here
	Counters json.RawMessage // the trainer's own
	Tensors  []Tensor        // weights, momentum
}

// A checkpointFile is a checkpoint on disk. Its name holds the digest of its content, so
// that one rename makes both appear: state-STEP-SHA256.safetensors.
type checkpointFile struct {
	path   string
	step   int64
	digest string
}

const (
	checkpointPrefix = "state-"
	checkpointSuffix = ".safetensors"
	checkpointFormat = "ablate-state"
)

func checkpointName(step int64, digest string) string {
	return fmt.Sprint(checkpointPrefix, step, "-", digest, checkpointSuffix)
}

// parseCheckpointName takes a file's name apart.
func parseCheckpointName(name string) (step int64, digest string, ok bool) {
	name, ok = strings.CutPrefix(name, checkpointPrefix)
	name, whole := strings.CutSuffix(name, checkpointSuffix)
	number, digest, cut := strings.Cut(name, "-")
	step, err := strconv.ParseInt(number, 10, 64)
	return step, digest, ok && whole && cut && err == nil && len(digest) == 2*sha256.Size
}

// checkpoints lists a folder's checkpoints, the newest first.
func checkpoints(dir string) ([]checkpointFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []checkpointFile
	for _, e := range entries {
		if step, digest, ok := parseCheckpointName(e.Name()); ok {
			list = append(list, checkpointFile{filepath.Join(dir, e.Name()), step, digest})
		}
	}
	slices.SortStableFunc(list, func(a, b checkpointFile) int { return cmp.Compare(b.step, a.step) })
	return list, nil
}

// SaveCheckpoint writes a checkpoint. What it was before stays until the new file has been
// read back from the disk and found whole, and one more stays after that. Equal
// training gives equal bytes.
func (r *Recorder) SaveCheckpoint(s Checkpoint) error {
	if err := r.held(); err != nil {
		return err
	}
	if err := r.metrics.Sync(); err != nil { // a checkpoint must not be ahead of the figures before it
		return fmt.Errorf("save the checkpoint: %w", err)
	}
	about := map[string]string{"format": checkpointFormat, "version": strconv.Itoa(FormatVersion), "identity": r.rec.Identity,
		"step": strconv.FormatInt(s.Step, 10), "logged": strconv.Itoa(s.Logged), "counters": string(s.Counters)}
	var digest string
	beside, err := writeBeside(filepath.Join(r.dir, checkpointPrefix+strconv.FormatInt(s.Step, 10)), func(w io.Writer) (err error) {
		digest, err = writeTensors(w, s.Tensors, about)
		return err
	})
	if err != nil {
		return err
	}
	if back, err := fileDigest(beside); err != nil || back != digest {
		os.Remove(beside)
		return fmt.Errorf("save the checkpoint: %s does not read back as it was written: %w", beside, cmp.Or(err, ErrWeights))
	}
	path := filepath.Join(r.dir, checkpointName(s.Step, digest))
	if err := publish(beside, path); err != nil {
		return err
	}
	return r.pruneCheckpoints(path)
}

// pruneCheckpoints keeps a checkpoint and the newest of the others.
func (r *Recorder) pruneCheckpoints(newest string) error {
	list, err := checkpoints(r.dir)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(f checkpointFile) bool { return f.path == newest })
	for i, f := range list {
		if i > 0 {
			if err := os.Remove(f.path); err != nil {
				return err
			}
		}
	}
	return nil
}

func dropCheckpoints(dir string) error {
	list, err := checkpoints(dir)
	for _, f := range list {
		err = errors.Join(err, os.Remove(f.path))
	}
	return err
}

// LatestCheckpoint returns the newest checkpoint that is whole, nil if there is none: the run then
// begins at its first step. Damaged ones are named in the log and removed.
func (r *Recorder) LatestCheckpoint() (*Checkpoint, error) {
	list, err := checkpoints(r.dir)
	if err != nil {
		return nil, err
	}
	for _, f := range list {
		s, err := r.readCheckpoint(f)
		if err == nil {
			r.rec.Attempts[len(r.rec.Attempts)-1].From = s.Step
			return s, errors.Join(r.Logf("goes on from step %d", s.Step), r.save())
		}
		if err := errors.Join(r.Logf("checkpoint %s cannot be used, the one before it is tried: %v", filepath.Base(f.path), err),
			os.Remove(f.path)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (r *Recorder) readCheckpoint(f checkpointFile) (*Checkpoint, error) {
	digest, err := fileDigest(f.path)
	if err != nil {
		return nil, err
	}
	if digest != f.digest {
		return nil, fmt.Errorf("its SHA-256 is %s", digest)
	}
	s, identity, err := openCheckpoint(f.path)
	if err != nil {
		return nil, err
	}
	if identity != r.rec.Identity || s.Step != f.step {
		return nil, errors.New("it is of another run")
	}
	metrics, err := ReadMetrics(filepath.Join(r.dir, metricsFile))
	if err != nil {
		return nil, err
	}
	metrics = slices.DeleteFunc(metrics, func(m Metric) bool { return m.Step > s.Step })
	if n := len(Series(metrics)); n < s.Logged {
		return nil, fmt.Errorf("%s holds %d of the %d points that came before it", metricsFile, n, s.Logged)
	}
	return s, nil
}

// openCheckpoint reads a checkpoint and the identity of the run it belongs to.
func openCheckpoint(path string) (*Checkpoint, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, "", err
	}
	return parseCheckpoint(f, info.Size())
}

func parseCheckpoint(r io.ReaderAt, size int64) (*Checkpoint, string, error) {
	tensors, about, err := parseTensors(r, size)
	if err != nil {
		return nil, "", err
	}
	if about["format"] != checkpointFormat || about["version"] != strconv.Itoa(FormatVersion) {
		return nil, "", fmt.Errorf("not an %s of version %d", checkpointFormat, FormatVersion)
	}
	s := &Checkpoint{Counters: json.RawMessage(about["counters"]), Tensors: tensors}
	if s.Step, err = strconv.ParseInt(about["step"], 10, 64); err != nil {
		return nil, "", err
	}
	if s.Logged, err = strconv.Atoi(about["logged"]); err != nil {
		return nil, "", err
	}
	if !json.Valid(s.Counters) {
		return nil, "", errors.New("counters that are no JSON")
	}
	return s, about["identity"], nil
}

// fileDigest is the SHA-256 of a file.
func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// LogFirstStep records the weights' digest after a step, counted from 1, before
// any checkpoint of that step. Where an earlier attempt had another, the log says so.
func (r *Recorder) LogFirstStep(step int, digest string) error {
	switch n := len(r.rec.FirstSteps); {
	case step <= n && r.rec.FirstSteps[step-1] == digest:
		return nil
	case step <= n:
		if err := r.Logf("the weights after step %d are not those of the attempt before", step); err != nil {
			return err
		}
		r.rec.FirstSteps[step-1] = digest
	case step == n+1:
		r.rec.FirstSteps = append(r.rec.FirstSteps, digest)
	default:
		return fmt.Errorf("the digest of step %d after that of step %d", step, n)
	}
	return r.save()
}
