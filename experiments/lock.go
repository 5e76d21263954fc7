package experiments

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// An owner is the content of a lock file: which process holds the run, on which machine, and in
// which table of processes its number counts.
type owner struct {
	processID
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
	Job   *job      `json:"job,omitempty"`
}

// A processID distinguishes a process from every other one, as far as the system allows. Unknown
// parts are empty.
type processID struct {
	Process   string `json:"process,omitempty"`       // the boot, and the moment in it when the process began
	Boot      string `json:"boot,omitempty"`          // the machine's boot, the same in all its containers
	Machine   string `json:"machine,omitempty"`       // the machine, across its boots
	Namespace string `json:"pid_namespace,omitempty"` // the table of processes: a container has its own
}

func (o owner) String() string {
	said := fmt.Sprintf("process %d on %s", o.PID, o.Host)
	switch {
	case o.Job != nil:
		said += " (" + o.Job.String() + ")"
	case o.Namespace != "" && o.Namespace != initialNamespace:
		said += " (in a container, " + o.Namespace + ")"
	}
	return said
}

// self describes this process.
func self() owner {
	return owner{PID: os.Getpid(), Host: hostname(), Since: now().UTC(), processID: identify(), Job: thisJob(os.Getenv)}
}

// A fate is what is known about the owner of a lock.
type fate int

const (
	unknown fate = iota // nobody can tell from here whether it runs: the lock stays
	running
	gone
)

// fate returns whether the owner is still running, as seen by me: from the table of processes if it
// is the same, and otherwise from the batch system.
func (o owner) fate(me owner) fate {
	if f := o.seen(me); f != unknown {
		return f
	}
	return o.Job.fate(me.Job)
}

// seen judges the owner from the machine on which this process runs.
func (o owner) seen(me owner) fate {
	switch {
	case o.PID <= 0:
		return gone
	case o.Namespace == "": // a system, or an earlier ablate, that cannot distinguish containers
		if o.Host != me.Host {
			return unknown
		}
	case me.Namespace == "": // the same here
		return unknown
	case o.Boot != me.Boot:
		// The machine was restarted, unless this is a different one with the same name. A container
		// can have the name of a host and the ID of a machine, so these prove nothing there.
		contained := o.Namespace != initialNamespace || me.Namespace != initialNamespace
		if o.Host == me.Host && o.Machine == me.Machine && !contained {
			return gone
		}
		return unknown
	case o.Namespace != me.Namespace:
		return unknown
	}
	if now := birth(o.PID); o.Process != "" && now != "" {
		if now == o.Process {
			return running
		}
		return gone
	}
	if alive(o.PID) {
		return running
	}
	return gone
}

// A hold is a lock that this process holds.
type hold struct {
	path string
	text []byte
}

// lock takes a run's folder for this process. It takes over the lock of a process that has
// certainly died. All of this happens under the system's own lock on the folder, if the file system
// has one, which the system releases when a process dies. Otherwise, of two processes that find the
// same dead lock, one could remove the new lock of the other.
func lock(dir string) (hold, error) {
	release, err := guard(dir)
	if err != nil {
		return hold{}, fmt.Errorf("lock %s: %w", dir, err)
	}
	defer release()
	me, path := self(), filepath.Join(dir, lockFile)
	o, text, err := readLock(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return claim(path, me)
	case err != nil:
		return hold{}, err
	}
	if len(text) > 0 && o.fate(me) != gone { // an empty lock comes from a process that died before it wrote its name
		return hold{}, o.busy(dir, me)
	}
	if err := takeAway(path, text); err != nil {
		return hold{}, err
	}
	return claim(path, me)
}

// busy returns the error for a run that is held.
func (o owner) busy(dir string, me owner) error {
	if o.fate(me) == running {
		return fmt.Errorf("%s: %w: %s", dir, ErrBusy, o)
	}
	return fmt.Errorf("%s: %w: %s, which cannot be checked from here; if it is gone, run ablate runs unlock %s",
		dir, ErrBusy, o, dir)
}

// readLock reads the lock of a run's folder. A lock that cannot be read counts as held.
func readLock(dir string) (owner, []byte, error) {
	var o owner
	text, err := readFile(filepath.Join(dir, lockFile), maxLock)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil, err
	}
	if err == nil && len(text) > 0 {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		return o, text, fmt.Errorf("%s: %w, but its lock %s cannot be read; if no process works there, "+
			"run ablate runs unlock %s",
			dir, ErrBusy, filepath.Join(dir, lockFile), dir)
	}
	return o, text, nil
}

// takeAway removes a lock that was judged dead, but not one that has taken its place meanwhile: on
// network file systems another host may have been faster.
func takeAway(path string, judged []byte) error {
	aside := fmt.Sprintf("%s.taken-%d-%d", path, os.Getpid(), now().UnixNano())
	if err := os.Rename(path, aside); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w, which took it just now", filepath.Dir(path), ErrBusy)
		}
		return fmt.Errorf("take over the lock of a process that is gone: %w", err)
	}
	text, err := os.ReadFile(aside)
	if err == nil && !bytes.Equal(text, judged) {
		os.Link(aside, path) // put it back, unless there is a new one
		err = fmt.Errorf("%s: %w, which took it just now", filepath.Dir(path), ErrBusy)
	}
	return errors.Join(err, os.Remove(aside))
}

// claim makes the lock file. It fails if a process on another host was faster.
func claim(path string, me owner) (hold, error) {
	text, err := json.Marshal(me)
	if err != nil {
		return hold{}, err
	}
	text = append(text, '\n')
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return hold{}, fmt.Errorf("%s: %w, which took it just now", filepath.Dir(path), ErrBusy)
	}
	if err != nil {
		return hold{}, writeError(path, int64(len(text)), err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(path)
		return hold{}, writeError(path, int64(len(text)), err)
	}
	return hold{path, text}, nil
}

// check reports whether the folder still belongs to this process. It is called before anything is
// written into the folder, which may have been deleted and made again. It compares the lock with
// what was written, so a host may change its name.
func (h hold) check() error {
	dir := filepath.Dir(h.path)
	text, err := readFile(h.path, maxLock)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w: its lock is gone; run again once the folder is back", dir, ErrLost)
	case err != nil:
		return fmt.Errorf("%s: %w: %w", dir, ErrLost, err)
	case bytes.Equal(text, h.text):
		return nil
	}
	var o owner
	if json.Unmarshal(text, &o) != nil {
		return fmt.Errorf("%s: %w: its lock was overwritten", dir, ErrLost)
	}
	return fmt.Errorf("%s: %w: %s holds it now", dir, ErrLost, o)
}

// release releases the folder, unless the lock is already gone or belongs to another process.
func (h hold) release() {
	if h.check() == nil {
		os.Remove(h.path)
	}
}

// Unlock removes the lock of a run whose process has died in a way that cannot be seen from here,
// and returns its owner. It refuses if the process can be seen running.
func Unlock(dir string) (string, error) {
	release, err := guard(dir)
	if err != nil {
		return "", fmt.Errorf("lock %s: %w", dir, err)
	}
	defer release()
	o, text, err := readLock(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s: nothing holds the run", dir)
	case err != nil || len(text) == 0:
		return "a lock without a name", os.Remove(filepath.Join(dir, lockFile))
	case o.fate(self()) == running:
		return "", fmt.Errorf("%s: %w: %s, which is running; stop it first", dir, ErrBusy, o)
	}
	return o.String(), takeAway(filepath.Join(dir, lockFile), text)
}

// hostname is a variable for tests, which cannot rename the host.
var hostname = func() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return host
}
