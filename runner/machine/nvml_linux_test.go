package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ablate/experiments"
	"ablate/runner/engine/cuda/nvidia"
)

// nvml is the source of a library with NVML's functions, as nvml.h declares them, for a machine
// with one GPU.
const nvml = `
#include <string.h>
typedef void *device;
static unsigned long long energy = 5000;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int i, device *d) { *d = (void *)7; return i == 0 ? 0 : 2; }
int nvmlDeviceGetHandleByUUID(const char *id, device *d) { *d = (void *)7; return strcmp(id, "GPU-abc") ? 6 : 0; }
int nvmlDeviceGetName(device d, char *name, unsigned int n) {
	strncpy(name, "NVIDIA Imagined", n);
	return d != (void *)7;
}
int nvmlDeviceGetUtilizationRates(device d, unsigned int *u) { u[0] = 93; u[1] = 40; return d != (void *)7; }
int nvmlDeviceGetMemoryInfo(device d, unsigned long long *m) { m[0] = 8; m[1] = 5; m[2] = 3ull << 30; return 0; }
int nvmlDeviceGetPowerUsage(device d, unsigned int *mw) { *mw = 250500; return 0; }
int nvmlDeviceGetTemperature(device d, int sensor, unsigned int *c) { *c = 64; return sensor; }
int nvmlDeviceGetTotalEnergyConsumption(device d, unsigned long long *mj) { *mj = energy; energy += 1500; return 0; }
`

// Values of a library with NVML's C interface are read through its symbols, structs and pointers.
func TestNVMLLibrary(t *testing.T) {
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no C compiler to make the library with")
	}
	dir := t.TempDir()
	source, library := filepath.Join(dir, "nvml.c"), filepath.Join(dir, "libnvidia-ml.so.1")
	if err := os.WriteFile(source, []byte(nvml), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(compiler, "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil {
		t.Skipf("%v: %s", err, out)
	}
	t.Setenv(nvidia.Variable, dir)
	for _, visible := range []string{"", "GPU-abc"} {
		t.Setenv("CUDA_VISIBLE_DEVICES", visible)
		got := openGPUs([]int{0, 1}).sample()
		want := experiments.GPUSample{Name: "NVIDIA Imagined", Use: 0.93, Memory: 3 << 30, Watts: 250.5, Celsius: 64,
			Joules: 1.5}
		if len(got) != 1 || got[0] != want {
			t.Errorf("CUDA_VISIBLE_DEVICES=%q: %+v, want %+v", visible, got, want)
		}
	}
}
