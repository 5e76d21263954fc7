package experiments

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func putLock(t *testing.T, dir string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, lockFile), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestForeignLocks(t *testing.T) {
	here := hostname()
	for _, c := range []struct {
		name string
		o    owner
		busy bool
	}{
		{"this process", owner{PID: os.Getpid(), Host: here, processID: processID{Process: birth(os.Getpid())}}, true},
		{"an earlier process of this number", owner{PID: os.Getpid(), Host: here,
			processID: processID{Process: "another-boot/1"}}, birth(os.Getpid()) == ""},
		{"a process that cannot be", owner{PID: 1<<31 - 2, Host: here}, false},
		{"another host", owner{PID: 1<<31 - 2, Host: here + "-not"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Store{Root: t.TempDir()}
			text, err := json.Marshal(c.o)
			if err != nil {
				t.Fatal(err)
			}
			putLock(t, filepath.Join(s.Root, "s", "v", "seed-3"), text)
			r, err := s.Start(record("a"), StartOptions{})
			if !c.busy {
				if err != nil {
					t.Fatal(err)
				}
				r.Close()
				return
			}
			if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), fmt.Sprint(c.o.PID)) ||
				!strings.Contains(err.Error(), c.o.Host) {
				t.Errorf("%v", err)
			}
		})
	}
}

// Whether an owner is gone is only said where it can be known.
func TestFate(t *testing.T) {
	id := func(boot, machine, namespace, process string) processID {
		return processID{Boot: boot, Machine: machine, Namespace: namespace, Process: process}
	}
	const first, other = initialNamespace, "pid:[4026532000]"
	if first == "" {
		t.Skip("no PID namespaces: only Linux has them")
	}
	me := owner{PID: os.Getpid(), Host: "h", processID: id("boot", "machine", first, birth(os.Getpid()))}
	contained := owner{PID: os.Getpid(), Host: "h", processID: id("boot", "machine", other, birth(os.Getpid()))}
	for name, c := range map[string]struct {
		o, me owner
		want  fate
	}{
		"itself": {me, me, running},
		"seen by a system that does not tell containers apart": {
			me, owner{PID: me.PID, Host: "h"}, unknown},
		"an earlier process of this number": {
			owner{PID: me.PID, Host: "h", processID: id("boot", "machine", first, "boot/1")}, me, gone},
		"no such process": {owner{PID: 1<<31 - 2, Host: "h", processID: id("boot", "machine", first, "boot/1")}, me, gone},
		"the host has another name since": {
			owner{PID: me.PID, Host: "before", processID: me.processID}, me, running},
		"gone since the host has another name": {
			owner{PID: 1<<31 - 2, Host: "before", processID: id("boot", "machine", first, "boot/1")}, me, gone},
		"in a container, seen from outside": {contained, me, unknown},
		"outside, seen from a container":    {me, contained, unknown},
		"in the same container":             {contained, contained, running},
		"gone from a container":             {owner{PID: 1<<31 - 2, Host: "h", processID: contained.processID}, me, unknown},
		"before the machine was started": {owner{PID: 5, Host: "h", processID: id("old", "machine", first, "old/1")},
			me, gone},
		"on another machine of this name": {owner{PID: 5, Host: "h", processID: id("old", "another", first, "old/1")},
			me, unknown},
		"on another machine": {owner{PID: 5, Host: "g", processID: id("old", "another", first, "old/1")},
			me, unknown},
		"in a container of an earlier boot": {owner{PID: 5, Host: "h", processID: id("old", "machine", other, "old/1")},
			me, unknown},
		"of a container, in an earlier boot": {owner{PID: 5, Host: "h", processID: id("old", "machine", other, "old/1")},
			contained, unknown},
	} {
		if got := c.o.fate(c.me); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// A lock that holds without need is removed by name, and says whose it was.
func TestUnlock(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	dir := filepath.Join(s.Root, "s", "v", "seed-3")
	text, err := json.Marshal(owner{PID: 7, Host: "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	putLock(t, dir, text)
	if _, err := s.Start(record("a"), StartOptions{}); !errors.Is(err, ErrBusy) ||
		!strings.Contains(err.Error(), "ablate runs unlock "+dir) {
		t.Errorf("%v", err)
	}
	if whose, err := Unlock(dir); err != nil || whose != "process 7 on elsewhere" {
		t.Errorf("%q, %v", whose, err)
	}
	if _, err := Unlock(dir); err == nil {
		t.Error("what nothing holds was unlocked")
	}
	putLock(t, dir, []byte("{torn"))
	if _, err := Unlock(dir); err != nil {
		t.Error(err)
	}
	finish(t, start(t, s, "a", StartOptions{}))
}

// A lock that cannot be read holds, and the message says how to get on. An empty
// one is of a process that died before it could write its name.
func TestUnreadableLock(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	dir := filepath.Join(s.Root, "s", "v", "seed-3")
	putLock(t, dir, []byte(`{"pid":`))
	_, err := s.Start(record("a"), StartOptions{})
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), filepath.Join(dir, lockFile)) {
		t.Errorf("%v", err)
	}
	putLock(t, dir, nil)
	finish(t, start(t, s, "a", StartOptions{}))
}

// Many find the same dead lock at once; one gets the run.
func TestOneTakesOver(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		text, err := json.Marshal(owner{PID: 1<<31 - 2, Host: hostname()})
		if err != nil {
			t.Fatal(err)
		}
		putLock(t, dir, text)
		var won [8]bool
		var wg sync.WaitGroup
		for i := range won {
			wg.Go(func() {
				_, err := lock(dir)
				won[i] = err == nil
				if err != nil && !errors.Is(err, ErrBusy) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		n := 0
		for _, w := range won {
			if w {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d took the lock", n)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("left behind: %v", entries)
		}
	}
}

// Closing twice must not let go of what another process holds by then.
func TestCloseTwice(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	r := start(t, s, "a", StartOptions{})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	other := start(t, s, "a", StartOptions{})
	defer other.Close()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Start(record("a"), StartOptions{}); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
}

// A start that is refused leaves the holder's lock alone, --fresh or not.
func TestRefusalKeepsTheLock(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	r := start(t, s, "a", StartOptions{})
	defer r.Close()
	for range 2 {
		if _, err := s.Start(record("b"), StartOptions{Fresh: true}); !errors.Is(err, ErrBusy) {
			t.Errorf("%v", err)
		}
	}
}

// What a killed attempt left half-written goes; what is whole stays.
func TestSweep(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	r := start(t, s, "a", StartOptions{})
	r.Close()
	for _, name := range []string{unfinished + weightsFile + "-1", weightsFile, "notes.txt"} {
		if err := os.WriteFile(filepath.Join(r.Dir(), name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	start(t, s, "a", StartOptions{}).Close()
	for name, want := range map[string]bool{unfinished + weightsFile + "-1": false, weightsFile: true, "notes.txt": true} {
		if _, err := os.Stat(filepath.Join(r.Dir(), name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A record that says nothing of its attempt gets one.
func TestNoAttempt(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	rec := record("a")
	rec.Attempts = nil
	r, err := s.Start(rec, StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if records, _ := s.Load("s"); len(records) != 1 || len(records[0].Attempts) != 1 ||
		records[0].Attempts[0].PID != os.Getpid() {
		t.Errorf("%+v", records)
	}
}

// A killed process that its parent has not waited for still has a number, but
// holds no run. In a container whose first process does not collect such
// orphans, every run killed by the system stayed locked.
func TestZombieIsGone(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Skip("the program sleep is missing: ", err)
	}
	o := owner{PID: child.Process.Pid, Host: hostname(), processID: processID{Process: birth(child.Process.Pid)}}
	if o.Process == "" {
		child.Process.Kill()
		child.Wait()
		t.Skip("no start times of processes: only Linux tells them")
	}
	if o.fate(self()) == gone {
		t.Error("a running process is called gone")
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); o.fate(self()) != gone; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a zombie still counts as alive")
		}
	}
	child.Wait()
}
