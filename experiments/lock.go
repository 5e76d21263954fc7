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

// An owner is what a lock file holds: which process holds the run, and on what
// machine and in which table of processes its number counts.
type owner struct {
	processID
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
	Job   *job      `json:"job,omitempty"`
}

// A processID tells a process from every other one, as far as the system can
// tell. Empty strings are what it cannot tell.
type processID struct {
	Process   string `json:"process,omitempty"`       // the boot and the moment in it at which the process began
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

// A fate is what can be said of the owner of a lock.
type fate int

const (
	unknown fate = iota // whether it runs cannot be told from here: the lock holds
	running
	gone
)

// fate says whether the owner still runs, as seen by me: by the table of
// processes if it is mine, and by the cluster's engine otherwise.
func (o owner) fate(me owner) fate {
	if f := o.seen(me); f != unknown {
		return f
	}
	return o.Job.fate(me.Job)
}

// seen is what the machine that I run on says of the owner.
func (o owner) seen(me owner) fate {
	switch {
	case o.PID <= 0:
		return gone
	case o.Namespace == "": // a system or an earlier ablate that does not tell containers apart
		if o.Host != me.Host {
			return unknown
		}
	case me.Namespace == "": // nor do I
		return unknown
	case o.Boot != me.Boot:
		// The machine was started again, unless this is another one of the same name. A container may bring the
		// name of a host and the number of a machine with it, so it proves nothing.
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

// A hold is a lock that this process has taken.
type hold struct {
	path string
	text []byte
}

// lock takes a run's folder for this process. The lock of a process that is
// certainly gone is taken over. All of it happens under the system's own lock on
// the folder, where the file system has one, which the system lifts when a
// process dies: of two processes that find the same dead lock, one would
// otherwise remove the other's new one.
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
	if len(text) > 0 && o.fate(me) != gone { // an empty one is of a process that died before it wrote its name
		return hold{}, o.busy(dir, me)
	}
	if err := takeAway(path, text); err != nil {
		return hold{}, err
	}
	return claim(path, me)
}

// busy is the error of a run that is held.
func (o owner) busy(dir string, me owner) error {
	if o.fate(me) == running {
		return fmt.Errorf("%s: %w: %s", dir, ErrBusy, o)
	}
	return fmt.Errorf("%s: %w: %s, which cannot be looked up from here; if it is gone, ablate runs unlock %s",
		dir, ErrBusy, o, dir)
}

// readLock reads the lock of a run's folder. One that cannot be read holds.
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
		return o, text, fmt.Errorf("%s: %w, but its lock %s cannot be read; if nothing works there, ablate runs unlock %s",
			dir, ErrBusy, filepath.Join(dir, lockFile), dir)
	}
	return o, text, nil
}

// takeAway removes a lock that was judged, and none that took its place in the
// meantime: on network file systems another host may be as quick.
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
		os.Link(aside, path) // put it back, unless its place is taken again
		err = fmt.Errorf("%s: %w, which took it just now", filepath.Dir(path), ErrBusy)
	}
	return errors.Join(err, os.Remove(aside))
}

// claim makes the lock file, which fails where a process of another host was quicker.
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

// check says whether the folder is still this process's, before anything is
// written into it: a folder that was deleted and made again is another's. It
// compares the lock with what was written, so a host may change its name.
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

// release lets go of the folder, unless the lock is gone already or another's.
func (h hold) release() {
	if h.check() == nil {
		os.Remove(h.path)
	}
}

// Unlock removes the lock of a run whose process is gone without a trace that
// could be seen from here, and returns whose it was. A process that is seen to
// run keeps its lock.
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
