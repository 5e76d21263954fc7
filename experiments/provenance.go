package experiments

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

// Provenance records the origin of a run: code, build, machine, data.
type Provenance struct {
	Commit      string            `json:"commit,omitempty"`
	NoCommit    string            `json:"no_commit,omitempty"` // why Commit is empty
	Branch      string            `json:"branch,omitempty"`
	Dirty       bool              `json:"dirty"`
	Patch       string            `json:"patch_sha256,omitempty"` // of patch.diff: tracked files against the commit
	Untracked   map[string]string `json:"untracked,omitempty"`    // SHA-256 of each file neither tracked nor ignored
	Go          string            `json:"go"`
	Modules     []string          `json:"modules,omitempty"` // path@version
	OS          string            `json:"os"`
	Arch        string            `json:"arch"`
	CPU         string            `json:"cpu,omitempty"`        // model
	Features    string            `json:"features,omitempty"`   // instruction sets that kernels can use
	GPUDriver   string            `json:"gpu_driver,omitempty"` // the driver's own description, if one is loaded
	Threads     int               `json:"threads"`
	Environment map[string]string `json:"environment,omitempty"` // from an allow-list, without secrets
	Data        map[string]string `json:"data"`                  // SHA-256 of each split
	Command     []string          `json:"command"`
	Program     *Program          `json:"program,omitempty"` // the user's program that trained

	patch []byte
}

// CaptureOptions is what the caller knows about the process.
type CaptureOptions struct {
	Command  []string
	Threads  int
	CPU      string            // the CPU's model
	Features string            // its instruction sets
	Data     map[string]string // SHA-256 of each split
}

// allowed lists the environment variables that may matter to a run and contain no secrets.
var allowed = []string{"ABLATE_CPU", "ABLATE_CUDA_LIBS", "ABLATE_DATA", "ABLATE_DEVICE", "ABLATE_RUNS",
	"ABLATE_THREADS",
	"CUDA_VISIBLE_DEVICES", "GOAMD64", "GODEBUG", "GOMAXPROCS"}

// Capture collects the provenance of a run. The first call looks up what is the same for the whole
// process: all of its runs come from the code with which it was started, even if files change while
// it trains.
func Capture(o CaptureOptions) *Provenance {
	p := process()
	p.Modules, p.Untracked, p.Environment = slices.Clone(p.Modules), maps.Clone(p.Untracked), environment()
	p.CPU, p.Features, p.Threads = o.CPU, o.Features, o.Threads
	p.Data, p.Command = maps.Clone(o.Data), slices.Clone(o.Command)
	return &p
}

var process = sync.OnceValue(func() Provenance {
	p := Provenance{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, GPUDriver: gpuDriver()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		p.NoCommit = "the program was built without modules"
		return p
	}
	for _, m := range info.Deps {
		p.Modules = append(p.Modules, module(m))
	}
	slices.Sort(p.Modules)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			p.Commit = s.Value
		case "vcs.modified":
			p.Dirty = s.Value == "true"
		}
	}
	// go run, go test and -buildvcs=false record no commit, and no build records the changes. The
	// source tree has both, if this program runs inside its own tree and at the commit that was
	// built.
	t, err := findTree(".", info.Main.Path)
	if err != nil && p.Commit == "" {
		p.NoCommit = "the program was built without it (-buildvcs=false, go run, or no repository), and " + err.Error()
	}
	if err == nil && (p.Commit == "" || p.Commit == t.commit) {
		p.Commit, p.Branch, p.Dirty = t.commit, t.branch, p.Dirty || t.dirty()
		p.Untracked, p.patch = t.untracked, t.patch
		if len(t.patch) > 0 {
			p.Patch = fmt.Sprintf("%x", sha256.Sum256(t.patch))
		}
	}
	return p
})

// gpuDriver returns NVIDIA's kernel module's description of itself, and nothing without it.
func gpuDriver() string {
	text, err := os.ReadFile("/proc/driver/nvidia/version")
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

func module(m *debug.Module) string {
	name := m.Path + "@" + m.Version
	if m.Replace != nil {
		name += " => " + m.Replace.Path + "@" + m.Replace.Version
	}
	return name
}

func environment() map[string]string {
	env := map[string]string{}
	for _, name := range allowed {
		if v, ok := os.LookupEnv(name); ok {
			env[name] = v
		}
	}
	return env
}
