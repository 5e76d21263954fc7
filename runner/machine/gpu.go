package machine

import (
	"os"
	"strconv"
	"strings"

	"ablate/experiments"
	"ablate/runner/engine/cuda/nvidia"
)

// gpus are the GPUs of a run. They are queried through NVML.
type gpus struct {
	nvml *nvidia.NVML
	list []gpu
}

type gpu struct {
	index  int // in CUDA's numbering
	handle nvidia.NVMLDevice
	name   string
	first  uint64 // mJ when the attempt began
}

// openGPUs finds GPUs by CUDA's numbers. It leaves out GPUs that NVML does not know.
func openGPUs(numbers []int) *gpus {
	if len(numbers) == 0 {
		return nil
	}
	nvml, err := nvidia.OpenNVML()
	if err != nil {
		return nil
	}
	return find(nvml, numbers, os.Getenv("CUDA_VISIBLE_DEVICES"))
}

// find maps CUDA's numbers, which index the list in CUDA_VISIBLE_DEVICES, to NVML's GPUs.
func find(nvml *nvidia.NVML, numbers []int, visible string) *gpus {
	g := &gpus{nvml: nvml}
	var list []string
	if visible != "" {
		list = strings.Split(visible, ",")
	}
	for _, n := range numbers {
		one := gpu{index: n}
		id := strconv.Itoa(n)
		if list != nil {
			if n >= len(list) {
				continue
			}
			id = strings.TrimSpace(list[n])
		}
		var r nvidia.NVMLResult
		if number, err := strconv.ParseUint(id, 10, 32); err == nil {
			r = nvml.ByIndex(uint32(number), &one.handle)
		} else {
			r = nvml.ByUUID(id, &one.handle)
		}
		if r != 0 {
			continue
		}
		var name [96]byte
		if nvml.Name(one.handle, &name[0], uint32(len(name))) == 0 {
			one.name, _, _ = strings.Cut(string(name[:]), "\x00")
		}
		_ = nvml.Energy(one.handle, &one.first) // 0 if it is not available
		g.list = append(g.list, one)
	}
	return g
}

func (g *gpus) sample() []experiments.GPUSample {
	if g == nil {
		return nil
	}
	var all []experiments.GPUSample
	for _, one := range g.list {
		s := experiments.GPUSample{Index: one.index, Name: one.name}
		var use nvidia.NVMLUse
		if g.nvml.Use(one.handle, &use) == 0 {
			s.Use = experiments.Number(float64(use.GPU) / 100)
		}
		var memory nvidia.NVMLMemory
		if g.nvml.Memory(one.handle, &memory) == 0 {
			s.Memory = int64(memory.Used)
		}
		var milliwatts, celsius uint32
		if g.nvml.Power(one.handle, &milliwatts) == 0 {
			s.Watts = experiments.Number(float64(milliwatts) / 1e3)
		}
		if g.nvml.Temperature(one.handle, nvidia.NVMLTemperatureGPU, &celsius) == 0 {
			s.Celsius = int(celsius)
		}
		var millijoules uint64
		if g.nvml.Energy(one.handle, &millijoules) == 0 && millijoules >= one.first {
			s.Joules = experiments.Number(float64(millijoules-one.first) / 1e3)
		}
		all = append(all, s)
	}
	return all
}
