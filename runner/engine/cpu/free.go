package cpu

import (
	"math"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strconv"
	"strings"

	"ablate/runner/engine"
)

// largeBlock is the size from which room checks how much memory is free.
const largeBlock = 64 << 20

// room returns an engine.MemoryError if the machine has no memory for n values. Go cannot recover from
// a failed allocation, so the device checks first. A fixed block is one that a smaller batch would
// need too.
func room(n int, fixed bool) error {
	need := 4 * int64(n)
	if need < largeBlock {
		return nil
	}
	if free := freeMemory("/proc", "/sys/fs/cgroup") - promised("/proc"); need > free {
		return &engine.MemoryError{Need: need, Free: max(0, free), Fixed: fixed}
	}
	return nil
}

// freeMemory returns how many bytes the machine, or the control group that the process runs in, can
// still provide. It returns MaxInt64 where neither is known.
func freeMemory(proc, cgroup string) int64 {
	free := int64(math.MaxInt64)
	if kib, ok := field(filepath.Join(proc, "meminfo"), "MemAvailable:"); ok {
		free = kib << 10
	}
	limit, limited := number(filepath.Join(cgroup, "memory.max")) // "max" where there is no limit
	used, counted := number(filepath.Join(cgroup, "memory.current"))
	if limited && counted {
		cache, _ := field(filepath.Join(cgroup, "memory.stat"), "inactive_file") // dropped when memory is short
		free = min(free, max(0, limit-used+cache))
	}
	return free
}

// promised returns how many bytes of memory the program holds but has not touched yet. The machine
// still counts these as free.
func promised(proc string) int64 {
	live := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(live)
	text, err := os.ReadFile(filepath.Join(proc, "self", "statm"))
	if err != nil || live[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	words := strings.Fields(string(text))
	if len(words) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return 0
	}
	return max(0, int64(live[0].Value.Uint64())-pages*int64(os.Getpagesize()))
}

// field returns the number after a name in a file of names and numbers.
func field(file, name string) (int64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == name {
			n, err := strconv.ParseInt(words[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// number returns the number in a file.
func number(file string) (int64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}
