package experiments

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// The files in a run's folder; FORMAT.md describes them.
const (
	recordFile      = "run.json"
	metricsFile     = "metrics.jsonl"
	weightsFile     = "weights.safetensors"
	predictionsFile = "predictions.csv"
	filtersFile     = "filters.safetensors"
	timesFile       = "times.json"
	patchFile       = "patch.diff"
	logFile         = "log.txt"
	lockFile        = "lock"

	unfinished = ".writing-" // prefix of the names of unfinished files
)

// RecordPath returns the path of a run's record.
func RecordPath(dir string) string { return filepath.Join(dir, recordFile) }

// MetricsPath returns the path of a run's metric log.
func MetricsPath(dir string) string { return filepath.Join(dir, metricsFile) }

// LogPath returns the path of a run's log of events.
func LogPath(dir string) string { return filepath.Join(dir, logFile) }

// FiltersPath returns the path of the first layer's weights.
func FiltersPath(dir string) string { return filepath.Join(dir, filtersFile) }

// TimesPath returns the path of the kernels' times.
func TimesPath(dir string) string { return filepath.Join(dir, timesFile) }

// PredictionsPath returns the path of a run's predictions for the test images.
func PredictionsPath(dir string) string { return filepath.Join(dir, predictionsFile) }

// WeightsPath returns the path of a run's trained weights, in the format in which the run was
// written.
func WeightsPath(dir string) string {
	path := filepath.Join(dir, weightsFile)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if old := filepath.Join(dir, weightsFile1); exists(old) {
			return old
		}
	}
	return path
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Limits on reading a record, which may come from anywhere. They are far above what a run writes:
// attempts, epochs and images by the million.
const (
	maxRecord      = 4 << 20   // bytes of run.json and of times.json
	maxMetrics     = 256 << 20 // bytes of metrics.jsonl
	maxPredictions = 512 << 20 // bytes of predictions.csv
	maxWeights     = 64 << 30  // bytes of a safetensors file
	maxLock        = 4 << 10   // bytes of a lock
)

// errLarge refuses a file that exceeds its reader's limit.
var errLarge = errors.New("larger than is read")

// openFile opens a file of a record. Before opening, it refuses what could be read for ever, such
// as a FIFO or a device, and files of more than limit bytes.
func openFile(path string, limit int64) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, notRegular(path)
	}
	if info.Size() > limit {
		return nil, 0, fmt.Errorf("%s: %w: %d bytes, at most %d are", path, errLarge, info.Size(), limit)
	}
	f, err := os.Open(path)
	return f, info.Size(), err
}

// checkRegular refuses anything that exists and is not a regular file.
func checkRegular(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return notRegular(path)
	}
	return nil
}

func notRegular(path string) error { return fmt.Errorf("%s: not a regular file", path) }

// readFile reads a file of at most limit bytes, even if it grows meanwhile.
func readFile(path string, limit int64) ([]byte, error) {
	f, _, err := openFile(path, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s: %w", path, errLarge)
	}
	return text, err
}

// ReadRecord reads the record in a run's folder.
func ReadRecord(dir string) (Record, error) {
	var r Record
	path := RecordPath(dir)
	text, err := readFile(path, maxRecord)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	if r.Version < 1 || r.Version > FormatVersion {
		return r, fmt.Errorf("%s: format version %d; this ablate reads versions 1 to %d", path, r.Version, FormatVersion)
	}
	return r, nil
}
