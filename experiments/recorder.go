package experiments

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Recorder is a run's folder that this process holds and writes to. Only one goroutine may use
// it.
type Recorder struct {
	dir     string
	rec     Record
	hold    hold
	log     *os.File
	metrics *metricsLog
	closed  bool
}

// now is the clock, which tests turn back.
var now = time.Now

// open makes an attempt's files. old is the record of the previous attempt, if there was one.
func (r *Recorder) open(old *Record) (err error) {
	path := LogPath(r.dir)
	if err := checkRegular(path); err != nil {
		return err
	}
	if r.log, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return writeError(path, 0, err)
	}
	if r.metrics, err = openMetrics(MetricsPath(r.dir)); err != nil {
		return err
	}
	if p := r.rec.Provenance; p != nil && len(p.patch) > 0 {
		if err := WriteFile(filepath.Join(r.dir, patchFile), p.patch); err != nil {
			return err
		}
	}
	if old != nil {
		if err := r.adopt(*old); err != nil {
			return err
		}
	}
	if err := r.save(); err != nil {
		return err
	}
	return r.Logf("attempt %d on %s", len(r.rec.Attempts), r.attempt().Hardware)
}

func (r *Recorder) closeFiles() error {
	var errs []error
	if r.log != nil {
		errs = append(errs, r.log.Close())
	}
	if r.metrics != nil {
		errs = append(errs, r.metrics.Close())
	}
	return errors.Join(errs...)
}

// attempt returns the current attempt.
func (r *Recorder) attempt() *Attempt { return &r.rec.Attempts[len(r.rec.Attempts)-1] }

// Dir is the run's folder.
func (r *Recorder) Dir() string { return r.dir }

// held checks that the folder still belongs to this run.
func (r *Recorder) held() error { return r.hold.check() }

// Logf writes a line to log.txt, with the time.
func (r *Recorder) Logf(format string, args ...any) error {
	line := fmt.Sprintf("%s %s\n", now().UTC().Format(time.RFC3339), fmt.Sprintf(format, args...))
	if _, err := r.log.WriteString(line); err != nil {
		return writeError(LogPath(r.dir), int64(len(line)), err)
	}
	return nil
}

// maxOutput limits how much of a program's output log.txt keeps.
const maxOutput = 64 << 20

// Output writes a program's output to log.txt unchanged, up to a limit.
func (r *Recorder) Output() io.Writer { return &output{recorder: r, left: maxOutput} }

type output struct {
	recorder *Recorder
	left     int
}

func (o *output) Write(text []byte) (int, error) {
	if o.left <= 0 {
		return len(text), nil
	}
	part := text[:min(len(text), o.left)]
	o.left -= len(part)
	if _, err := o.recorder.log.Write(part); err != nil {
		return 0, writeError(filepath.Join(o.recorder.dir, logFile), int64(len(part)), err)
	}
	if o.left == 0 {
		return len(text), o.recorder.Logf("the program printed more than %d bytes; the rest is left out", maxOutput)
	}
	return len(text), nil
}

// Attempt returns the number of this attempt, counted from 1.
func (r *Recorder) Attempt() int { return len(r.rec.Attempts) }

// Log appends a metric, and fills in the attempt's number.
func (r *Recorder) Log(m Metric) error {
	if err := r.held(); err != nil {
		return err
	}
	m.Attempt = len(r.rec.Attempts)
	return r.metrics.append(m)
}

// LogFirstStep records the digest of the weights after a step, counted from 1, before any
// checkpoint of that step. If an earlier attempt had another digest, the log says so.
func (r *Recorder) LogFirstStep(step int, digest string) error {
	switch n := len(r.rec.FirstSteps); {
	case step <= n && r.rec.FirstSteps[step-1] == digest:
		return nil
	case step <= n:
		if err := r.Logf("the weights after step %d differ from those of the previous attempt", step); err != nil {
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

// SavePredictions writes one line for each test image.
func (r *Recorder) SavePredictions(p []Prediction) error {
	if err := r.held(); err != nil {
		return err
	}
	return writePredictions(PredictionsPath(r.dir), p)
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
	if err := r.metrics.sync(); err != nil { // a run is only done once its figures are safe
		return fmt.Errorf("finish the run: %w", err)
	}
	r.attempt().Ended = now().UTC()
	if err := r.save(); err != nil {
		return err
	}
	if status.Final() {
		return dropCheckpoints(r.dir) // only now, since before the record was written the run might have had to continue
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
	return WriteFile(RecordPath(r.dir), append(text, '\n'))
}

// Close releases the run. Closing again does nothing.
func (r *Recorder) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	err := r.closeFiles()
	r.hold.release()
	return err
}
