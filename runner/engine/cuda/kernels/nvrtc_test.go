package kernels_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"ablate/runner/engine/cuda/kernels"
	"ablate/runner/engine/cuda/nvidia"
)

// compiler returns NVRTC and its CUDA version. Tests skip without it.
func compiler(t *testing.T) (*nvidia.NVRTC, int32) {
	t.Helper()
	c := nvidia.Look().NVRTC
	if c == nil {
		if dirs := os.Getenv(nvidia.Variable); dirs != "" {
			t.Fatalf("no NVRTC in %s", dirs)
		}
		t.Skipf("NVRTC is not here: set %s to the folder that holds it, or see `just cuda-libs`", nvidia.Variable)
	}
	var major, minor int32
	if r := c.Version(&major, &minor); r != 0 {
		t.Fatal(r)
	}
	t.Logf("NVRTC %d.%d", major, minor)
	return c, major
}

// widest is the largest number of threads in one of our blocks (maxLine of layers.go). registers is
// the number of registers that a GPU has for them.
const (
	widest    = 512
	registers = 65536
)

// NVRTC compiles every source to machine code, without a GPU and without warnings. Every function is
// in the result, none spills registers into memory, and all leave enough registers for the blocks that
// we launch. NVRTC 12 and 13 do not accept the same C++: 12 refused norm.cu for its generic lambdas,
// so no GPU could be opened with it.
func TestNVRTCCompilesAllSources(t *testing.T) {
	c, major := compiler(t)
	architectures := []string{"sm_80", "sm_90"}
	if major == 12 { // 13 does not support Volta
		architectures = append(architectures, "sm_70")
	}
	for _, arch := range architectures {
		for _, s := range kernels.Sources() {
			t.Run(arch+" "+s.Name, func(t *testing.T) {
				t.Parallel()
				code, log, err := c.Compile(s.Name, s.Text, arch, "--ptxas-options=-v")
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(strings.ReplaceAll(log, deprecated, ""), "warning") {
					t.Error(log)
				}
				uses := resources(t, log)
				for _, f := range s.Functions() {
					if !strings.Contains(string(code), f) {
						t.Errorf("no function %s in the machine code", f)
					}
					r, ok := uses[f]
					if !ok || r.registers == 0 {
						t.Errorf("%s: the compiler does not tell its registers:\n%s", f, log)
					}
					if r.spilled > 0 || r.registers*widest > registers {
						t.Errorf("%s: %d registers, %d bytes spilled", f, r.registers, r.spilled)
					}
					t.Logf("%-24s %3d registers %6d bytes shared", f, r.registers, r.shared)
				}
			})
		}
	}
}

// deprecated is the warning of NVRTC 12.8 and later about sm_70, which they still compile for.
const deprecated = "warning: Architectures prior to '<compute/sm>_75' are deprecated"

// A use holds the resources of a GPU that a function takes.
type use struct{ registers, shared, spilled int }

var (
	ofFunction = regexp.MustCompile(`Function properties for (\w+)|Compiling entry function '(\w+)'`)
	spilled    = regexp.MustCompile(`(\d+) bytes spill`)
	used       = regexp.MustCompile(`Used (\d+) registers`)
	sharing    = regexp.MustCompile(`(\d+) bytes smem`)
)

// resources parses the output of ptxas for each function.
func resources(t *testing.T, log string) map[string]use {
	t.Helper()
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(fmt.Errorf("ptxas: %w", err))
		}
		return n
	}
	all, name := map[string]use{}, ""
	for line := range strings.Lines(log) {
		if m := ofFunction.FindStringSubmatch(line); m != nil {
			name = m[1] + m[2]
		}
		u := all[name]
		for _, m := range spilled.FindAllStringSubmatch(line, -1) {
			u.spilled += number(m[1])
		}
		if m := used.FindStringSubmatch(line); m != nil {
			u.registers = number(m[1])
		}
		if m := sharing.FindStringSubmatch(line); m != nil {
			u.shared = number(m[1])
		}
		all[name] = u
	}
	return all
}

// An error in the source is part of the message that the user reads.
func TestNVRTCSaysWhatIsWrong(t *testing.T) {
	c, _ := compiler(t)
	_, _, err := c.Compile("bad.cu", "extern \"C\" __global__ void f() { x = 1; }", "sm_90")
	if err == nil || !strings.Contains(err.Error(), "bad.cu(1)") ||
		!strings.Contains(err.Error(), `identifier "x" is undefined`) {
		t.Error(err)
	}
	if _, _, err := c.Compile("old.cu", "", "sm_10"); err == nil ||
		!strings.Contains(err.Error(), "an option it does not know") {
		t.Error(err)
	}
}
