package machine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ablate/experiments"
	"ablate/runner/engine/cuda/nvidia"
)

// A meter counts what this process did.
func TestMeter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s", "v", "seed-1")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m := Start(dir, 2, nil, false)
	sum := 0.0
	for (read(false).cpu - m.first.cpu) < 50*time.Millisecond {
		sum += 1 / (1 + sum)
	}
	u := m.Stop()
	if u.CPUSeconds < 0.05 || u.CPUSeconds > 3600 || u.Joules() < 0 {
		t.Errorf("%+v after %v", u, sum)
	}
	store := &experiments.Store{Root: filepath.Dir(filepath.Dir(filepath.Dir(dir)))}
	samples, err := store.Machine(experiments.Record{Study: "s", Variant: "v", Seed: 1})
	if err != nil || len(samples) == 0 || samples[len(samples)-1].Attempt != 2 {
		t.Errorf("%v, %v", samples, err)
	}
	if _, err := json.Marshal(u); err != nil {
		t.Error(err)
	}
}

// A log that cannot be written does not stop anything.
func TestMeterWithoutLog(t *testing.T) {
	m := Start(filepath.Join(t.TempDir(), "gone"), 1, nil, false)
	if u := m.Stop(); u.CPUSeconds < 0 {
		t.Error(u)
	}
}

// GPUs are queried by CUDA's numbers, which CUDA_VISIBLE_DEVICES may change.
func TestGPUs(t *testing.T) {
	energy := uint64(1000)
	nvml := &nvidia.NVML{
		ByIndex: func(i uint32, d *nvidia.NVMLDevice) nvidia.NVMLResult {
			*d = nvidia.NVMLDevice(i)
			return nvidia.NVMLResult(i / 8) // eight GPUs
		},
		ByUUID: func(id string, d *nvidia.NVMLDevice) nvidia.NVMLResult {
			*d = 5
			if id != "GPU-5" {
				return 6
			}
			return 0
		},
		Name: func(_ nvidia.NVMLDevice, name *byte, _ uint32) nvidia.NVMLResult { *name = 'H'; return 0 },
		Use: func(_ nvidia.NVMLDevice, u *nvidia.NVMLUse) nvidia.NVMLResult {
			u.GPU = 87
			return 0
		},
		Memory: func(_ nvidia.NVMLDevice, m *nvidia.NVMLMemory) nvidia.NVMLResult { m.Used = 1 << 30; return 0 },
		Power:  func(_ nvidia.NVMLDevice, mw *uint32) nvidia.NVMLResult { *mw = 412_500; return 0 },
		Temperature: func(_ nvidia.NVMLDevice, _ nvidia.NVMLSensor, c *uint32) nvidia.NVMLResult {
			*c = 61
			return 0
		},
		Energy: func(_ nvidia.NVMLDevice, mj *uint64) nvidia.NVMLResult { *mj = energy; return 0 },
	}
	for visible, want := range map[string]nvidia.NVMLDevice{"": 1, "3,4": 4, "GPU-1, GPU-5": 5} {
		g := find(nvml, []int{1}, visible)
		if len(g.list) != 1 || g.list[0].handle != want {
			t.Errorf("CUDA_VISIBLE_DEVICES=%s: %+v, want %d", visible, g.list, want)
		}
	}
	if g := find(nvml, []int{1, 9}, "0"); len(g.list) != 0 {
		t.Errorf("GPUs that are not there: %+v", g.list)
	}
	g := find(nvml, []int{0}, "")
	energy = 413_500
	got := g.sample()
	want := experiments.GPUSample{Name: "H", Use: 0.87, Memory: 1 << 30, Watts: 412.5, Celsius: 61, Joules: 412.5}
	if len(got) != 1 || got[0] != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// BenchmarkSample measures what sampling costs per ten seconds of training.
func BenchmarkSample(b *testing.B) {
	m := newMeter(b.TempDir(), 1, nil, false)
	defer m.log.Close()
	for b.Loop() {
		m.record()
	}
}
