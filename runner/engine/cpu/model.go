package cpu

import (
	"bufio"
	"os"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/cpu"
)

// Model returns the CPU's name, as far as the system reports it.
var Model = sync.OnceValue(func() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if key, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
})

// Features returns the instruction sets of this CPU that kernels can use.
func Features() string {
	var has []string
	for _, f := range []struct {
		name string
		ok   bool
	}{{"fma", cpu.X86.HasFMA}, {"avx2", cpu.X86.HasAVX2}, {"avx512f", cpu.X86.HasAVX512F},
		{"avx512bw", cpu.X86.HasAVX512BW},
		{"avx512vl", cpu.X86.HasAVX512VL}, {"avx512_bf16", cpu.X86.HasAVX512BF16}, {"asimd", cpu.ARM64.HasASIMD}} {
		if f.ok {
			has = append(has, f.name)
		}
	}
	return strings.Join(has, " ")
}

// Kernels returns the name of the instruction set whose kernels a new device would use.
func Kernels() string {
	p, err := selectISA()
	if err != nil {
		return err.Error()
	}
	return p.name
}
