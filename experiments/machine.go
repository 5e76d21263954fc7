package experiments

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// machineFile holds samples of the machine while a run was trained.
const machineFile = "machine.jsonl"

// machineHead is its first line.
const machineHead = `{"format":"ablate-machine","version":1}`

// A Sample is what the machine did for a run up to one moment. What a system does not tell is absent.
type Sample struct {
	Attempt      int         `json:"attempt"`
	Seconds      Number      `json:"seconds"`                // since the attempt began
	CPUSeconds   Number      `json:"cpu_seconds,omitempty"`  // of this process since then
	MachineCPU   Number      `json:"machine_cpu,omitempty"`  // share of all cores that was busy since the last sample
	Memory       int64       `json:"memory,omitempty"`       // bytes of this process that are resident
	MemoryUsed   int64       `json:"memory_used,omitempty"`  // bytes of the machine's that are in use
	DiskRead     int64       `json:"disk_read,omitempty"`    // bytes that this process read since the attempt began
	DiskWritten  int64       `json:"disk_written,omitempty"` // and wrote
	DiskFree     int64       `json:"disk_free,omitempty"`    // bytes left where the records lie
	PackageJoule Number      `json:"cpu_joules,omitempty"`   // of the machine's CPUs since the attempt began
	GPUs         []GPUSample `json:"gpus,omitempty"`
}

// A GPUSample is one GPU at a moment.
type GPUSample struct {
	Index   int    `json:"index"`
	Name    string `json:"name,omitempty"`
	Use     Number `json:"use"`    // share of the last moments in which a kernel ran
	Memory  int64  `json:"memory"` // bytes that are taken
	Watts   Number `json:"watts,omitempty"`
	Celsius int    `json:"celsius,omitempty"`
	Joules  Number `json:"joules,omitempty"` // since the attempt began
}

// A Usage is what an attempt took of the machine.
type Usage struct {
	CPUSeconds  Number `json:"cpu_seconds"`
	PeakMemory  int64  `json:"peak_memory,omitempty"` // the largest of the samples, in bytes
	DiskRead    int64  `json:"disk_read,omitempty"`
	DiskWritten int64  `json:"disk_written,omitempty"`
	CPUJoules   Number `json:"cpu_joules,omitempty"` // of the machine's CPUs, whoever used them
	GPUJoules   Number `json:"gpu_joules,omitempty"` // of the run's GPUs
}

// Joules is the energy of CPUs and GPUs, 0 where the machine tells neither.
func (u Usage) Joules() float64 { return float64(u.CPUJoules + u.GPUJoules) }

// Usage is what all attempts of a run took; nil where none of them says.
func (r Record) Usage() *Usage {
	var sum *Usage
	for _, a := range r.Attempts {
		if a.Usage == nil {
			continue
		}
		if sum == nil {
			sum = new(Usage)
		}
		u := a.Usage
		sum.CPUSeconds += u.CPUSeconds
		sum.PeakMemory = max(sum.PeakMemory, u.PeakMemory)
		sum.DiskRead += u.DiskRead
		sum.DiskWritten += u.DiskWritten
		sum.CPUJoules += u.CPUJoules
		sum.GPUJoules += u.GPUJoules
	}
	return sum
}

// Used says what the attempt has taken of the machine; Finish records it.
func (r *Recorder) Used(u Usage) { r.attempt().Usage = &u }

// A MachineLog is machine.jsonl, open for appending. It belongs to the goroutine that samples.
type MachineLog struct{ file *os.File }

// MachinePath is where a run's samples of the machine are kept.
func MachinePath(dir string) string { return filepath.Join(dir, machineFile) }

// OpenMachineLog opens the log of a run's folder.
func OpenMachineLog(dir string) (*MachineLog, error) {
	path := MachinePath(dir)
	if err := checkRegular(path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	l := &MachineLog{f}
	if info, err := f.Stat(); err == nil && info.Size() == 0 {
		if _, err := fmt.Fprintln(f, machineHead); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return l, nil
}

// Append adds a sample, in one line that begins on one of its own even if the last one was torn.
func (l *MachineLog) Append(s Sample) error {
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = l.file.Write(append(line, '\n'))
	return err
}

// Close closes the log.
func (l *MachineLog) Close() error { return l.file.Close() }

// Machine reads a run's samples. Lines that are torn are left out; there may be none at all.
func (s *Store) Machine(r Record) ([]Sample, error) {
	dir, err := s.Dir(r)
	if err != nil {
		return nil, err
	}
	f, _, err := openFile(MachinePath(dir), maxMetrics)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	var all []Sample
	for lines.Scan() {
		var one Sample
		if json.Unmarshal(lines.Bytes(), &one) == nil && one.Attempt > 0 && len(all) < maxLines {
			all = append(all, one)
		}
	}
	return all, lines.Err()
}
