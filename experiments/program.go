package experiments

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A Program describes the user's program that trained a run.
type Program struct {
	Commit   string            `json:"commit,omitempty"`
	NoCommit string            `json:"no_commit,omitempty"` // why Commit is empty
	Branch   string            `json:"branch,omitempty"`
	Dirty    bool              `json:"dirty"`
	Patch    string            `json:"patch_sha256,omitempty"` // of patch.diff, which is then the program's
	Files    map[string]string `json:"files,omitempty"`        // SHA-256 of the files that its command names
	Python   string            `json:"python,omitempty"`       // version of the interpreter, if there is one
	Packages []string          `json:"packages,omitempty"`     // what pip freeze prints
	GPUs     []string          `json:"gpus,omitempty"`         // what nvidia-smi lists
}

// CaptureProgram describes the program of a command that starts in a folder, together with this
// process.
func (p *Provenance) CaptureProgram(dir string, command []string) {
	c := program(dir, command[0])
	found := c.Program
	found.Files = map[string]string{}
	for _, word := range command {
		path := word
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			found.Files[word] = digestFile(path)
		}
	}
	p.Program, p.patch = &found, c.patch
}

// captured holds what is looked up once for all runs of a process.
type captured struct {
	Program
	patch []byte
}

var programs sync.Map // of func() captured, by folder and program

// program examines a folder's repository and an interpreter's packages, once in a process.
func program(dir, name string) captured {
	once, _ := programs.LoadOrStore(dir+"\x00"+name, sync.OnceValue(func() captured { return lookAt(dir, name) }))
	return once.(func() captured)()
}

// python returns the name of an interpreter whose packages can be listed.
var python = regexp.MustCompile(`^(python[0-9.]*|pypy[0-9.]*)(\.exe)?$`)

func lookAt(dir, name string) captured {
	c := captured{Program: Program{GPUs: gpus()}}
	if g, ok := openRepository(dir); ok {
		defer g.close()
		t := g.describe()
		c.Commit, c.Branch, c.Dirty, c.patch = t.commit, t.branch, t.dirty(), t.patch
		if len(t.patch) > 0 {
			c.Patch = fmt.Sprintf("%x", sha256.Sum256(t.patch))
		}
	} else {
		c.NoCommit = "git knows no commit of " + filepath.Base(dir)
	}
	if python.MatchString(strings.ToLower(filepath.Base(name))) {
		c.Python = strings.Join(lines(dir, name, "--version"), " ")
		if c.Packages = lines(dir, name, "-m", "pip", "freeze"); c.Packages == nil {
			c.Packages = lines(dir, name, "-c", "from importlib.metadata import distributions\n"+
				"print('\\n'.join(sorted({d.metadata['Name'] + '==' + d.version for d in distributions()})))")
		}
	}
	return c
}

var gpus = sync.OnceValue(func() []string { return lines("", "nvidia-smi", "-L") })

// Limits on commands that describe a program.
const (
	askPatience = 60 * time.Second
	maxAnswer   = 4000
)

// lines returns what a command prints, and nil if it fails.
func lines(dir, name string, args ...string) []string {
	ctx, cancel := context.WithTimeout(context.Background(), askPatience)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir, c.WaitDelay = dir, time.Second
	out, err := c.Output()
	if err != nil {
		return nil
	}
	all := strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' || r == '\r' })
	return all[:min(len(all), maxAnswer)]
}
