package experiments

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// contained starts a process with a table of processes of its own, as a container does.
func contained(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID} }

// Two containers on one folder have the same host name and numbers that mean
// other processes. Each took the other's lock for that of a process that is
// gone, and both trained one run.
func TestTwoContainers(t *testing.T) {
	dir := t.TempDir()
	said, _, end := holder(t, dir, contained)
	defer end()
	if said != "held\n" {
		t.Fatal(said)
	}
	for where, change := range map[string]func(*exec.Cmd){
		"outside": func(*exec.Cmd) {}, "in another container": contained,
	} {
		said, _, end := holder(t, dir, change)
		if !strings.Contains(said, ErrBusy.Error()) || !strings.Contains(said, "in a container") {
			t.Errorf("%s: %s", where, said)
		}
		end()
	}
}

// Whoever is killed in a container without a trace leaves a run that can be unlocked from outside.
func TestContainerIsGone(t *testing.T) {
	dir := t.TempDir()
	said, _, end := holder(t, dir, contained)
	if err := end(); err != nil || said != "held\n" {
		t.Fatal(said, err)
	}
	s := &Store{Root: dir}
	if _, err := s.Start(record("a"), StartOptions{}); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	if _, err := Unlock(filepath.Join(dir, "s", "v", "seed-3")); err != nil {
		t.Error(err)
	}
	finish(t, start(t, s, "a", StartOptions{}))
}

// A host that takes another name, as laptops do in another network, keeps its runs.
func TestHostRenamed(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	r := start(t, s, "a", StartOptions{})
	before := hostname
	hostname = func() string { return before() + "-elsewhere" }
	t.Cleanup(func() { hostname = before })
	if _, err := s.Start(record("a"), StartOptions{}); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	finish(t, r)
	if _, err := os.Stat(filepath.Join(r.Dir(), lockFile)); !os.IsNotExist(err) {
		t.Error("the lock is still there")
	}
}
