package experiments

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A tree is the state of the program's source tree.
type tree struct {
	commit, branch string
	patch          []byte            // tracked files against the commit
	untracked      map[string]string // path → SHA-256
}

func (t tree) dirty() bool { return len(t.patch) > 0 || len(t.untracked) > 0 }

// findTree describes the source tree of a Go module around a folder. There is
// none where the folder lies outside the module, so that the commit of a user's
// own repository is not taken for ours, or where git is missing.
func findTree(dir, module string) (tree, bool) {
	dir, ok := moduleRoot(dir, module)
	if !ok {
		return tree{}, false
	}
	var t tree
	if t.commit, ok = git(dir, "rev-parse", "HEAD"); !ok {
		return tree{}, false
	}
	t.commit = strings.TrimSpace(t.commit)
	branch, _ := git(dir, "symbolic-ref", "--short", "--quiet", "HEAD") // fails where no branch is checked out
	t.branch = strings.TrimSpace(branch)
	patch, _ := git(dir, "diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD")
	t.patch = []byte(patch)
	others, _ := git(dir, "ls-files", "--others", "--exclude-standard", "-z")
	t.untracked = digestFiles(dir, strings.FieldsFunc(others, func(c rune) bool { return c == 0 }))
	return t, true
}

// moduleRoot is the nearest folder upwards whose go.mod names the module.
func moduleRoot(dir, module string) (string, bool) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", false
	}
	for {
		if f, err := os.Open(filepath.Join(dir, "go.mod")); err == nil {
			defer f.Close()
			for s := bufio.NewScanner(f); s.Scan(); {
				if word, name, _ := strings.Cut(strings.TrimSpace(s.Text()), " "); word == "module" {
					return dir, strings.Trim(name, ` "`) == module
				}
			}
			return "", false
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", false
		}
		dir = up
	}
}

// gitPatience bounds one look at a repository; on a slow disk provenance is less important than training.
const gitPatience = 20 * time.Second

// git gives a command's output, and false where git or a repository is missing. It changes nothing there.
func git(dir string, args ...string) (string, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), gitPatience)
	defer cancel()
	c := exec.CommandContext(ctx, "git", append([]string{"-c", "core.fsmonitor=false"}, args...)...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	out, err := c.Output()
	return string(out), err == nil
}

const (
	maxUntracked     = 1000     // files that are listed
	maxUntrackedSize = 64 << 20 // bytes of a file that is hashed
)

// digestFiles gives the SHA-256 of files. Provenance must not take minutes
// because a data set lies beside the code: a large file is told by its size,
// and of very many files the first.
func digestFiles(dir string, names []string) map[string]string {
	if len(names) == 0 {
		return nil
	}
	digests := map[string]string{}
	for i, name := range names {
		if i == maxUntracked {
			digests["…"] = fmt.Sprintf("%d more", len(names)-i)
			break
		}
		digests[name] = digestFile(filepath.Join(dir, filepath.FromSlash(name)))
	}
	return digests
}

func digestFile(path string) string {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return "unreadable"
	case !info.Mode().IsRegular():
		return "not a plain file"
	case info.Size() > maxUntrackedSize:
		return fmt.Sprintf("%d bytes", info.Size())
	}
	f, err := os.Open(path)
	if err != nil {
		return "unreadable"
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "unreadable"
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
