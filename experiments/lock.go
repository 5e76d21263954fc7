package experiments

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const lockFile = "lock"

// An owner is what a lock file holds.
type owner struct {
	PID  int    `json:"pid"`
	Host string `json:"host"`
}

// lock takes a run's folder for this process. The lock of a process that is
// gone from this host is taken over.
func lock(dir string) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	path := filepath.Join(dir, lockFile)
	text, err := json.Marshal(owner{os.Getpid(), host})
	if err != nil {
		return err
	}
	for range 2 {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = f.Write(text)
			return errors.Join(err, f.Close())
		}
		if !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("lock %s: %w", dir, err)
		}
		held, err := os.ReadFile(path)
		if err != nil {
			continue // let go in between
		}
		var o owner
		if err := json.Unmarshal(held, &o); err == nil && (o.Host != host || alive(o.PID)) {
			return fmt.Errorf("%s: %w: process %d on %s", dir, ErrBusy, o.PID, o.Host)
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("take over the lock of a process that is gone: %w", err)
		}
	}
	return fmt.Errorf("%s: %w", dir, ErrBusy)
}

func unlock(dir string) { os.Remove(filepath.Join(dir, lockFile)) }
