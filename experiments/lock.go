package experiments

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const lockFile = "lock"

// An owner is what a lock file holds.
type owner struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Process string    `json:"process,omitempty"` // tells the process from a later one of the same number, where the system can
	Since   time.Time `json:"since"`
}

// gone says that the owner certainly no longer runs: only its own host can tell.
func (o owner) gone(host string) bool {
	if o.Host != host {
		return false
	}
	if o.PID <= 0 {
		return true
	}
	if now := birth(o.PID); o.Process != "" && now != "" {
		return now != o.Process
	}
	return !alive(o.PID)
}

// lock takes a run's folder for this process. The lock of a process that is
// gone from this host is taken over. All of it happens under the system's own
// lock on the folder, which it lifts when a process dies: of two processes that
// find the same dead lock, one would else remove the other's new one.
func lock(dir string) error {
	release, err := guard(dir)
	if err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	defer release()
	host, path := hostname(), filepath.Join(dir, lockFile)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return claim(path, host)
	case err != nil:
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	var o owner
	if len(text) == 0 { // its process died before it could write its name
		o = owner{Host: host}
	} else if err := json.Unmarshal(text, &o); err != nil {
		return fmt.Errorf("%s: %w, but its lock cannot be read; remove %s if nothing works there", dir, ErrBusy, path)
	}
	switch {
	case o.gone(host):
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("take over the lock of a process that is gone: %w", err)
		}
		return claim(path, host)
	case o.Host != host:
		return fmt.Errorf("%s: %w: process %d on %s; remove %s if it is gone", dir, ErrBusy, o.PID, o.Host, path)
	}
	return fmt.Errorf("%s: %w: process %d on %s", dir, ErrBusy, o.PID, o.Host)
}

// claim makes the lock file, which fails where a process of another host was quicker.
func claim(path, host string) error {
	text, err := json.Marshal(owner{os.Getpid(), host, birth(os.Getpid()), now().UTC()})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w, which took it just now", filepath.Dir(path), ErrBusy)
	}
	if err != nil {
		return fmt.Errorf("lock the run: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(path)
		return fmt.Errorf("lock the run: %w", err)
	}
	return nil
}

// held says whether the folder is still this run's, before anything is written
// into it: a folder that was deleted and made again is another's.
func (r *Recorder) held() error {
	text, err := os.ReadFile(filepath.Join(r.dir, lockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: its lock is gone; run again once the folder is back", r.dir, ErrLost)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", r.dir, ErrLost, err)
	}
	var o owner
	if json.Unmarshal(text, &o) != nil || o.PID != os.Getpid() || o.Host != hostname() {
		return fmt.Errorf("%s: %w: the lock is another's, process %d on %s", r.dir, ErrLost, o.PID, o.Host)
	}
	return nil
}

func unlock(dir string) { os.Remove(filepath.Join(dir, lockFile)) }

func hostname() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return host
}

// birth names the moment a process began, by the machine's boot and its clock
// ticks since, on systems with a Linux /proc; elsewhere it is empty.
func birth(pid int) string {
	const starttime = 22 - 3 // proc(5): field 22, counted from the third, which follows the name in brackets
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= starttime {
		return ""
	}
	if fields[0] == "Z" || fields[0] == "X" { // killed, and nobody has asked how it ended: common where process 1 does not
		return "ended"
	}
	return strings.TrimSpace(string(boot)) + "/" + fields[starttime]
}
