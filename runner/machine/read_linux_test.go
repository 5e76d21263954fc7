package machine

import (
	"os"
	"path/filepath"
	"testing"
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
	r := read()
	if r.cpu <= 0 || r.memory <= 0 || r.memoryUsed <= 0 || r.total <= 0 {
		t.Errorf("%+v", r)
	}
}

// Packages are added, their parts are not, and one that cannot be read makes the sum unknown.
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
