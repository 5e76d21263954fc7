package machine

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// read reads /proc (proc(5)) and, if this user may, the energy counters of the CPUs
// (Documentation/power/powercap/powercap.rst). If programs is true, it also counts the programs
// that this process has started; the memory is then only theirs.
func read(programs bool) reading {
	var r reading
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			r.cpu += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	r.busy, r.total = cores(file("/proc/stat"))
	r.memory = pages(file("/proc/self/statm")) * int64(os.Getpagesize())
	memory := keyed(file("/proc/meminfo"))
	if memory["MemTotal"] > 0 {
		r.memoryUsed = (memory["MemTotal"] - memory["MemAvailable"]) << 10
	}
	io := keyed(file("/proc/self/io"))
	r.read, r.written = io["read_bytes"], io["write_bytes"]
	r.joules = packages("/sys/class/powercap")
	if programs {
		r.memory = 0
		for _, p := range descendants("/proc", os.Getpid()) {
			r.memory += p.pages * int64(os.Getpagesize())
			r.cpu += p.cpu
			io := keyed(file(filepath.Join("/proc", strconv.Itoa(p.id), "io")))
			r.read, r.written = r.read+io["read_bytes"], r.written+io["write_bytes"]
		}
	}
	return r
}

// A process holds the values of /proc/ID/stat. cpu is the time of the process and of its children
// that have ended.
type process struct {
	id, parent int
	cpu        time.Duration
	pages      int64 // resident
}

// descendants returns the living processes that a process has started, directly or indirectly.
func descendants(proc string, of int) []process {
	folders, _ := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	children := map[int][]process{}
	for _, folder := range folders {
		if p, ok := parseStat(file(filepath.Join(folder, "stat"))); ok { // the process may have ended by now
			children[p.parent] = append(children[p.parent], p)
		}
	}
	found := children[of]
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i].id]...)
	}
	return found
}

// parseStat reads /proc/ID/stat. The name, in brackets, may hold any character.
func parseStat(text []byte) (process, bool) {
	const tick = time.Second / 100 // USER_HZ, on every architecture that Go has
	id, _, _ := bytes.Cut(text, []byte(" "))
	end := bytes.LastIndexByte(text, ')')
	const rss = 24 - 3 // fields are counted from 1, and the third is the first after the name
	rest := strings.Fields(string(text[end+1:]))
	if end < 0 || len(rest) <= rss {
		return process{}, false
	}
	var n [5]int64
	for i, field := range []int{4, 14, 15, 16, 17} { // ppid, utime, stime, cutime, cstime
		n[i], _ = strconv.ParseInt(rest[field-3], 10, 64)
	}
	p := process{parent: int(n[0]), cpu: time.Duration(n[1]+n[2]+n[3]+n[4]) * tick}
	p.id, _ = strconv.Atoi(string(id))
	p.pages, _ = strconv.ParseInt(rest[rss], 10, 64)
	return p, p.id > 0
}

func file(path string) []byte {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return text
}

// cores reads the first line of /proc/stat: cpu user nice system idle iowait irq softirq steal …
func cores(text []byte) (busy, total float64) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0
	}
	for i, f := range fields[1:9] {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, 0
		}
		total += v
		const idle, iowait = 3, 4
		if i != idle && i != iowait {
			busy += v
		}
	}
	return busy, total
}

// pages returns the second field of /proc/self/statm: the resident pages.
func pages(text []byte) int64 {
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.ParseInt(fields[1], 10, 64) // 0 means unknown
	return n
}

// keyed reads lines of "key: number", with or without a unit.
func keyed(text []byte) map[string]int64 {
	m := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		key, rest, _ := strings.Cut(line, ":")
		if f := strings.Fields(rest); len(f) > 0 {
			if n, err := strconv.ParseInt(f[0], 10, 64); err == nil {
				m[key] = n
			}
		}
	}
	return m
}

// packages returns the energy of all CPU packages together, in joules; 0 if any cannot be read.
func packages(root string) (joules float64) {
	zones, _ := filepath.Glob(filepath.Join(root, "intel-rapl:[0-9]*")) // AMD's CPUs have it too
	for _, zone := range zones {
		if strings.Count(filepath.Base(zone), ":") != 1 { // a part of a package that is counted itself
			continue
		}
		micro, err := strconv.ParseFloat(strings.TrimSpace(string(file(filepath.Join(zone, "energy_uj")))), 64)
		if err != nil {
			return 0
		}
		joules += micro / 1e6
	}
	return joules
}
