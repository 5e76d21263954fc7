package cpu

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"ablate/runner/engine"
)

// The smaller of the machine's free memory and the control group's allowance counts, and the cache
// counts as free.
func TestFreeMemory(t *testing.T) {
	t.Parallel()
	none, machine, group := t.TempDir(), t.TempDir(), t.TempDir()
	for file, text := range map[string]string{
		machine + "/meminfo": "MemTotal: 9000 kB\nMemAvailable:    2048 kB\n", group + "/memory.max": "1048576\n",
		group + "/memory.current": "1000000\n", group + "/memory.stat": "anon 1\ninactive_file 500000\n",
	} {
		if err := os.WriteFile(filepath.FromSlash(file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		proc, cgroup string
		want         int64
	}{
		{none, none, math.MaxInt64}, {machine, none, 2048 << 10}, {none, group, 548_576}, {machine, group, 548_576},
	} {
		if got := freeMemory(c.proc, c.cgroup); got != c.want {
			t.Errorf("%d bytes are free; want %d", got, c.want)
		}
	}
}

// A block that the machine cannot hold is an error, not the end of the process.
func TestAllocAsksFirst(t *testing.T) {
	t.Parallel()
	if freeMemory("/proc", "/sys/fs/cgroup") == math.MaxInt64 {
		t.Skip("this machine does not say how much memory is free")
	}
	d, err := New("cpu", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	_, err = d.Alloc(1 << 46)
	var memory *engine.MemoryError
	if !errors.As(err, &memory) || memory.Need != 1<<48 || memory.Free <= 0 {
		t.Errorf("256 TiB: %v", err)
	}

	d.needScratch(1 << 46)
	d.needShared(8)
	if d.short == nil || len(d.scratch[0]) != 0 {
		t.Errorf("256 TiB of scratch: %v", d.short)
	}
}
