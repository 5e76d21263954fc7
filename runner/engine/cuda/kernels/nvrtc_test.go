package kernels_test

import (
	"regexp"
	"strings"
	"testing"

	"ablate/runner/engine/cuda/kernels"
	"ablate/runner/engine/cuda/nvidia"
)

// NVRTC makes machine code of every source, without a GPU and without a word of
// warning, every function is in it, and none spills registers into memory.
func TestNVRTCCompilesAllSources(t *testing.T) {
	compiler := nvidia.Look().NVRTC
	if compiler == nil {
		t.Skipf("NVRTC is not here: set %s to the folder that holds it, or see `just cuda-libs`", nvidia.Variable)
	}
	for _, arch := range []string{"sm_80", "sm_90"} {
		for _, s := range kernels.Sources() {
			code, log, err := compiler.Compile(s.Name, s.Text, arch, "--ptxas-options=-v")
			if err != nil {
				t.Error(err)
				continue
			}
			if strings.Contains(log, "warning") {
				t.Errorf("%s for %s:\n%s", s.Name, arch, log)
			}
			for _, spill := range regexp.MustCompile(`[1-9]\d* bytes spill.*`).FindAllString(log, -1) {
				t.Errorf("%s for %s: %s", s.Name, arch, spill)
			}
			for _, f := range s.Functions() {
				if !strings.Contains(string(code), f) {
					t.Errorf("%s for %s: no function %s in the machine code", s.Name, arch, f)
				}
			}
			if testing.Verbose() {
				t.Logf("%s for %s: %d bytes\n%s", s.Name, arch, len(code), log)
			}
		}
	}
}

// An error of the source reaches whoever reads the message.
func TestNVRTCSaysWhatIsWrong(t *testing.T) {
	compiler := nvidia.Look().NVRTC
	if compiler == nil {
		t.Skipf("NVRTC is not here: set %s", nvidia.Variable)
	}
	_, _, err := compiler.Compile("bad.cu", "extern \"C\" __global__ void f() { x = 1; }", "sm_90")
	if err == nil || !strings.Contains(err.Error(), "bad.cu(1)") ||
		!strings.Contains(err.Error(), `identifier "x" is undefined`) {
		t.Error(err)
	}
	if _, _, err := compiler.Compile("old.cu", "", "sm_10"); err == nil ||
		!strings.Contains(err.Error(), "an option it does not know") {
		t.Error(err)
	}
}
