package experiments

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// initialNamespace is the table of processes outside of all containers: PROC_PID_INIT_INO of
// linux/proc_ns.h.
const initialNamespace = "pid:[4026531836]"

// identify describes this process; what /proc does not tell stays empty.
func identify() processID {
	namespace, _ := os.Readlink("/proc/self/ns/pid")
	return processID{
		Process:   birth(os.Getpid()),
		Boot:      firstLine("/proc/sys/kernel/random/boot_id"),
		Machine:   firstLine("/etc/machine-id"),
		Namespace: namespace,
	}
}

func firstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

// birth returns the moment at which a process began, as the machine's boot and the clock ticks
// since. It is empty if /proc does not tell.
func birth(pid int) string {
	const starttime = 22 - 3 // proc(5): field 22, counted from the third, which follows the name in brackets
	boot := firstLine("/proc/sys/kernel/random/boot_id")
	name := strconv.Itoa(pid)
	if pid == os.Getpid() {
		name = "self"
	} else if me, _ := os.Readlink("/proc/self"); me != strconv.Itoa(os.Getpid()) {
		return "" // this /proc belongs to another namespace
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", name))
	if err != nil || boot == "" {
		return ""
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= starttime {
		return ""
	}
	if fields[0] == "Z" || fields[0] == "X" { // dead, but not yet reaped, as is common if process 1 does not reap
		return "ended"
	}
	return boot + "/" + fields[starttime]
}
