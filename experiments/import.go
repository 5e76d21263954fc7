package experiments

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ErrConflict reports that a different run is already in the place of a run.
var ErrConflict = errors.New("another run is there")

// DigestMetrics returns the SHA-256 of measurements: names, epochs, steps and values, but not
// times.
func DigestMetrics(log []Metric) string {
	h := sha256.New()
	for _, m := range log {
		value, err := m.Value.MarshalJSON()
		if err != nil {
			panic(err) // every float can be written
		}
		fmt.Fprintf(h, "%q %d %d %s\n", m.Name, m.Epoch, m.Step, value)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// Importable reports whether the run of another program can be kept: its place is free, or holds
// the same figures. Otherwise the error is ErrConflict.
func (s *Store) Importable(rec Record) error {
	_, err := s.imported(rec)
	return err
}

// imported reports whether a run's place already holds it.
func (s *Store) imported(rec Record) (bool, error) {
	dir, err := s.path(rec.Study, rec.Variant, rec.Seed)
	if err != nil {
		return false, err
	}
	switch old, err := ReadRecord(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case old.Imported == nil:
		return false, fmt.Errorf("%s: %w: it was not imported; give the study another name", dir, ErrConflict)
	case old.Imported.SHA256 != rec.Imported.SHA256 || old.Identity != rec.Identity:
		return false, fmt.Errorf("%s: %w: it was imported from %s with other figures; give the study another name, "+
			"or remove it with ablate runs rm", dir, ErrConflict, old.Imported.Source)
	}
	return true, nil
}

// Import writes the record of a run that another program measured, as a finished run. It reports
// whether anything was written; importing the same figures again changes nothing. rec.Imported
// contains the digest of the log.
func (s *Store) Import(rec Record, log []Metric) (written bool, err error) {
	there, err := s.imported(rec)
	if there || err != nil {
		return false, err
	}
	dir, err := s.path(rec.Study, rec.Variant, rec.Seed)
	if err != nil {
		return false, err
	}
	if err := s.makeFolder(dir); err != nil {
		return false, err
	}
	h, err := lock(dir)
	if err != nil {
		return false, err
	}
	defer h.release()
	var text bytes.Buffer
	text.WriteString(metricsHead + "\n")
	for _, m := range Series(log) {
		m.Attempt = 1
		line, err := json.Marshal(m)
		if err != nil {
			return false, err
		}
		text.Write(append(line, '\n'))
	}
	rec.Version, rec.Status = FormatVersion, Done
	rec.Attempts = []Attempt{{Started: now().UTC(), Ended: now().UTC(), PID: os.Getpid(), Host: hostname()}}
	record, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return false, err
	}
	// The record is written last, since it means that the run is complete.
	if err := WriteFile(MetricsPath(dir), text.Bytes()); err != nil {
		return false, err
	}
	return true, WriteFile(RecordPath(dir), append(record, '\n'))
}
