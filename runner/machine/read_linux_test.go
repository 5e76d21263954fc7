package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestProc(t *testing.T) {
	stat := "cpu  100 5 20 800 40 3 2 30 0 0\ncpu0 1 2 3\n"
	if busy, total := cores([]byte(stat)); busy != 160 || total != 1000 {
		t.Errorf("%v of %v", busy, total)
	}
	for _, bad := range []string{"", "cpu 1 2", "intr 1 2 3 4 5 6 7 8 9", "cpu a b c d e f g h"} {
		if busy, total := cores([]byte(bad)); busy != 0 || total != 0 {
			t.Errorf("%q: %v of %v", bad, busy, total)
		}
	}
	if n := pages([]byte("900 300 100 1 0 1 0")); n != 300 {
		t.Error(n)
	}
	m := keyed([]byte("MemTotal:       100 kB\nMemAvailable:    60 kB\nodd\nread_bytes: 7\n"))
	if m["MemTotal"] != 100 || m["MemAvailable"] != 60 || m["read_bytes"] != 7 || len(m) != 3 {
		t.Error(m)
	}
	r := read(false)
	if r.cpu <= 0 || r.memory <= 0 || r.memoryUsed <= 0 || r.total <= 0 {
		t.Errorf("%+v", r)
	}
}

// Packages are added up and their parts are not. If one cannot be read, the sum is unknown.
func TestPackages(t *testing.T) {
	root := t.TempDir()
	for zone, micro := range map[string]string{"intel-rapl:0": "2500000\n", "intel-rapl:1": "500000\n",
		"intel-rapl:0:0": "1000000\n"} {
		if err := os.Mkdir(filepath.Join(root, zone), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, zone, "energy_uj"), []byte(micro), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if j := packages(root); j != 3 {
		t.Errorf("%v J, want 3", j)
	}
	if err := os.WriteFile(filepath.Join(root, "intel-rapl:1", "energy_uj"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if j := packages(root); j != 0 {
		t.Errorf("%v J of a machine that does not tell", j)
	}
}

// A sleeping program counts as one of this process's programs, and so does what it started; its
// memory is not counted as this process's.
func TestPrograms(t *testing.T) {
	if r := read(true); r.memory != 0 {
		t.Errorf("%d bytes of no program", r.memory)
	}
	c := exec.Command("sh", "-c", "sleep 60 & sleep 60; wait")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	var all []process
	for range 1000 {
		if all = descendants("/proc", os.Getpid()); len(all) == 3 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if len(all) != 3 || all[0].id != c.Process.Pid || all[2].parent != c.Process.Pid {
		t.Fatalf("%+v, want a shell and two that it started", all)
	}
	own := read(false)
	if r := read(true); r.memory <= 0 || r.memory >= own.memory {
		t.Errorf("%d bytes of three small programs; this process has %d", r.memory, own.memory)
	}
}

func TestStat(t *testing.T) {
	line := "42 (a) b (c) S 7 42 42 0 -1 4194304 100 0 0 0 150 50 25 25 20 0 1 0 1 1000 99 18446744073709551615\n"
	p, ok := parseStat([]byte(line))
	if want := (process{id: 42, parent: 7, cpu: 2500 * time.Millisecond, pages: 99}); !ok || p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
	for _, bad := range []string{"", "42", "42 (sh) S 1 2", ") S 7 42 42 0 -1"} {
		if p, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q: %+v", bad, p)
		}
	}
}
