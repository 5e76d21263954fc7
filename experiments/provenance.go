package experiments

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// Provenance is where a run comes from: code, build, machine, data.
type Provenance struct {
	Commit      string            `json:"commit,omitempty"`
	Dirty       bool              `json:"dirty"`
	Go          string            `json:"go"`
	Modules     []string          `json:"modules,omitempty"` // path@version
	OS          string            `json:"os"`
	Arch        string            `json:"arch"`
	Threads     int               `json:"threads"`
	Environment map[string]string `json:"environment,omitempty"` // of an allow-list: never secrets
	Data        map[string]string `json:"data"`                  // SHA-256 of each split
	Command     []string          `json:"command"`
}

// CaptureOptions are what a process must tell about itself.
type CaptureOptions struct {
	Command []string
	Threads int
	Data    map[string]string
}

// allowed are the environment variables that may bear on a run and hold no secret.
var allowed = []string{"ABLATE_CPU", "ABLATE_DATA", "ABLATE_DEVICE", "ABLATE_RUNS", "ABLATE_THREADS", "CUDA_VISIBLE_DEVICES", "GOAMD64", "GOMAXPROCS"}

// Capture collects the provenance of this process.
func Capture(o CaptureOptions) *Provenance {
	p := &Provenance{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Threads: o.Threads, Data: o.Data, Command: o.Command}
	for _, name := range allowed {
		if v, ok := os.LookupEnv(name); ok {
			if p.Environment == nil {
				p.Environment = map[string]string{}
			}
			p.Environment[name] = v
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			p.Modules = append(p.Modules, m.Path+"@"+m.Version)
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
	}
	if p.Commit == "" { // go run and go test record none: ask git where we stand
		p.Commit = git("rev-parse", "HEAD")
		p.Dirty = git("status", "--porcelain") != ""
	}
	return p
}

// git gives a command's output, nothing where git or a repository is missing.
func git(args ...string) string {
	out, err := exec.Command("git", args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
