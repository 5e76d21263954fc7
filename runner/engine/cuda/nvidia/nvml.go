package nvidia

import (
	"errors"
	"fmt"
	"sync"
)

// NVML is the part of NVIDIA's management library that reports the state of a GPU. The names follow
// nvml.h, without nvmlDeviceGet.
type NVML struct {
	Init        func() NVMLResult                                                      `symbol:"nvmlInit_v2"`
	ByIndex     func(index uint32, device *NVMLDevice) NVMLResult                      `symbol:"nvmlDeviceGetHandleByIndex_v2"`
	ByUUID      func(uuid string, device *NVMLDevice) NVMLResult                       `symbol:"nvmlDeviceGetHandleByUUID"`
	Name        func(device NVMLDevice, name *byte, length uint32) NVMLResult          `symbol:"nvmlDeviceGetName"`
	Use         func(device NVMLDevice, use *NVMLUse) NVMLResult                       `symbol:"nvmlDeviceGetUtilizationRates"`
	Memory      func(device NVMLDevice, memory *NVMLMemory) NVMLResult                 `symbol:"nvmlDeviceGetMemoryInfo"`
	Power       func(device NVMLDevice, milliwatts *uint32) NVMLResult                 `symbol:"nvmlDeviceGetPowerUsage"`
	Temperature func(device NVMLDevice, sensor NVMLSensor, celsius *uint32) NVMLResult `symbol:"nvmlDeviceGetTemperature"`
	Energy      func(device NVMLDevice, millijoules *uint64) NVMLResult                `symbol:"nvmlDeviceGetTotalEnergyConsumption"`
}

// NVMLDevice is a handle. NVMLResult is 0 on success. NVMLSensor selects a temperature.
type (
	NVMLDevice uintptr
	NVMLResult int32
	NVMLSensor int32
)

// NVMLTemperatureGPU is NVML_TEMPERATURE_GPU.
const NVMLTemperatureGPU NVMLSensor = 0

// NVMLUse is nvmlUtilization_t: shares of the last moments, in per cent.
type NVMLUse struct{ GPU, Memory uint32 }

// NVMLMemory is nvmlMemory_t, in bytes.
type NVMLMemory struct{ Total, Free, Used uint64 }

// ErrNoNVML is the error of a machine that does not report the state of its GPUs.
var ErrNoNVML = errors.New("no NVML")

var nvmlLibrary = library{name: "NVML", file: "libnvidia-ml.so.1",
	dirs:    []string{"/usr/local/nvidia/lib64", "/usr/lib/wsl/lib"},
	install: "install NVIDIA's driver, which it is part of"}

// OpenNVML loads NVML, once for all runs of a process.
var OpenNVML = sync.OnceValues(func() (*NVML, error) {
	n := new(NVML)
	if _, err := open(machine.candidates(nvmlLibrary, 0), n); err != nil {
		return nil, fmt.Errorf("%w: %w; %s", ErrNoNVML, err, nvmlLibrary.install)
	}
	if r := n.Init(); r != 0 {
		return nil, fmt.Errorf("%w that answers: its code is %d", ErrNoNVML, r)
	}
	return n, nil
})
