package experiments

import (
	"cmp"
	"crypto/sha256"
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
)

// A Checkpoint is what an unfinished run needs to continue as if it had never stopped.
type Checkpoint struct {
	Step     int64           // trained
	Logged   int             // points of the metric series up to here
	Counters json.RawMessage // the trainer's own
	Tensors  []Tensor        // weights, momentum
}

// A checkpointFile is a checkpoint on disk. Its name holds the digest of its
// content, so that one rename makes both appear: checkpoint-STEP-SHA256.safetensors.
type checkpointFile struct {
	path   string
	format string // that its name is of
	step   int64
	digest string
}

const (
	checkpointPrefix = "checkpoint-"
	checkpointSuffix = ".safetensors"
	checkpointFormat = "ablate-checkpoint"
)

// checkpointFormats says which format and version a prefix of the name stands for.
var checkpointFormats = map[string]struct{ format, version string }{
	checkpointPrefix:  {checkpointFormat, "2"},
	checkpointPrefix1: {checkpointFormat1, "1"},
}

func checkpointName(step int64, digest string) string {
	return fmt.Sprint(checkpointPrefix, step, "-", digest, checkpointSuffix)
}

// parseCheckpointName takes a file's name apart.
func parseCheckpointName(name string) (checkpointFile, bool) {
	for prefix, f := range checkpointFormats {
		rest, ok := strings.CutPrefix(name, prefix)
		rest, whole := strings.CutSuffix(rest, checkpointSuffix)
		number, digest, cut := strings.Cut(rest, "-")
		step, err := strconv.ParseInt(number, 10, 64)
		if ok && whole && cut && err == nil && len(digest) == 2*sha256.Size {
			return checkpointFile{format: f.format, step: step, digest: digest}, true
		}
	}
	return checkpointFile{}, false
}

// checkpoints lists a folder's checkpoints, the newest first.
func checkpoints(dir string) ([]checkpointFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []checkpointFile
	for _, e := range entries {
		if f, ok := parseCheckpointName(e.Name()); ok {
			f.path = filepath.Join(dir, e.Name())
			list = append(list, f)
		}
	}
	slices.SortStableFunc(list, func(a, b checkpointFile) int { return cmp.Compare(b.step, a.step) })
	return list, nil
}

// SaveCheckpoint writes a checkpoint. The one before stays until the new file has
// been read back from the disk and found whole, and one more stays after that.
// Equal training makes equal bytes.
func (r *Recorder) SaveCheckpoint(c Checkpoint) error {
	if err := r.held(); err != nil {
		return err
	}
	if err := r.metrics.sync(); err != nil { // a checkpoint must not be ahead of the figures before it
		return fmt.Errorf("save the checkpoint: %w", err)
	}
	path, err := r.writeCheckpoint(c)
	if errors.Is(err, fs.ErrNotExist) { // the folder went while it was written into
		err = cmp.Or(r.held(), err)
	}
	if err != nil {
		return err
	}
	return r.pruneCheckpoints(path)
}

// writeCheckpoint writes a checkpoint, reads it back and returns its path.
func (r *Recorder) writeCheckpoint(c Checkpoint) (string, error) {
	about := map[string]string{
		"format": checkpointFormat, "version": checkpointFormats[checkpointPrefix].version, "identity": r.rec.Identity,
		"step": strconv.FormatInt(c.Step, 10), "logged": strconv.Itoa(c.Logged), "counters": string(c.Counters),
	}
	path := filepath.Join(r.dir, checkpointPrefix+strconv.FormatInt(c.Step, 10))
	var digest string
	beside, err := writeBeside(path, tensorsSize(c.Tensors), func(w io.Writer) (err error) {
		digest, err = writeTensors(w, c.Tensors, about)
		return err
	})
	if err != nil {
		return "", err
	}
	if back, err := FileDigest(beside); err != nil || back != digest {
		os.Remove(beside)
		return "", writeError(beside, 0, fmt.Errorf("it does not read back as it was written: %w", cmp.Or(err, ErrWeights)))
	}
	path = filepath.Join(r.dir, checkpointName(c.Step, digest))
	return path, publish(beside, path)
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

// LatestCheckpoint returns the newest checkpoint that is whole, nil if there is
// none: the run then begins at its first step. Damaged ones are named in the log
// and removed.
func (r *Recorder) LatestCheckpoint() (*Checkpoint, error) {
	list, err := checkpoints(r.dir)
	if err != nil {
		return nil, err
	}
	for _, f := range list {
		c, err := r.readCheckpoint(f)
		if err == nil {
			r.attempt().From = c.Step
			return c, errors.Join(r.Logf("continues from step %d", c.Step), r.save())
		}
		said := r.Logf("checkpoint %s cannot be used, the one before it is tried: %v", filepath.Base(f.path), err)
		if err := errors.Join(said, os.Remove(f.path)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// readCheckpoint reads a checkpoint that this run can continue from.
func (r *Recorder) readCheckpoint(f checkpointFile) (*Checkpoint, error) {
	c, identity, err := f.read()
	if err != nil {
		return nil, err
	}
	if identity != r.rec.Identity || c.Step != f.step {
		return nil, errors.New("it is of another run")
	}
	metrics, err := ReadMetrics(MetricsPath(r.dir))
	if err != nil {
		return nil, err
	}
	metrics = slices.DeleteFunc(metrics, func(m Metric) bool { return m.Step > c.Step })
	if n := len(Series(metrics)); n < c.Logged {
		return nil, fmt.Errorf("%s holds %d of the %d points that came before it", metricsFile, n, c.Logged)
	}
	return c, nil
}

// read reads the checkpoint and the identity of the run it belongs to.
func (f checkpointFile) read() (*Checkpoint, string, error) {
	digest, err := FileDigest(f.path)
	if err != nil {
		return nil, "", err
	}
	if digest != f.digest {
		return nil, "", fmt.Errorf("its SHA-256 is %s", digest)
	}
	file, size, err := openFile(f.path, maxWeights)
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	return parseCheckpoint(file, size)
}

func parseCheckpoint(r io.ReaderAt, size int64) (*Checkpoint, string, error) {
	tensors, about, err := parseTensors(r, size)
	if err != nil {
		return nil, "", err
	}
	known := false
	for _, f := range checkpointFormats {
		known = known || f.format == about["format"] && f.version == about["version"]
	}
	if !known {
		return nil, "", fmt.Errorf("not an %s of a version that this ablate reads", checkpointFormat)
	}
	c := &Checkpoint{Counters: json.RawMessage(about["counters"]), Tensors: tensors}
	if c.Step, err = strconv.ParseInt(about["step"], 10, 64); err != nil {
		return nil, "", err
	}
	if c.Logged, err = strconv.Atoi(about["logged"]); err != nil {
		return nil, "", err
	}
	if !json.Valid(c.Counters) {
		return nil, "", errors.New("its counters are not JSON")
	}
	return c, about["identity"], nil
}

// FileDigest is the SHA-256 of a file of weights.
func FileDigest(path string) (string, error) {
	f, _, err := openFile(path, maxWeights)
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
