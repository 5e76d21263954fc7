package experiments

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
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

// Why there is no tree to describe.
var (
	errElsewhere = errors.New("it did not run inside its source tree")
	errNoGit     = errors.New("git knows no commit of its source tree")
)

// findTree describes the source tree of a Go module around a folder. There is
// none where the folder lies outside the module, so that the commit of a user's
// own repository is not taken for ours, or where git is missing.
func findTree(dir, module string) (tree, error) {
	dir, ok := moduleRoot(dir, module)
	if !ok {
		return tree{}, errElsewhere
	}
	g, ok := openRepository(dir)
	if !ok {
		return tree{}, errNoGit
	}
	defer g.close()
	t := g.describe()
	others, _ := g.run("ls-files", "--others", "--exclude-standard", "-z")
	t.untracked = digestFiles(dir, strings.FieldsFunc(others, func(c rune) bool { return c == 0 }))
	return t, nil
}

// describe is the state of the tracked files.
func (r gitView) describe() tree {
	patch, _ := r.run("diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty",
		"HEAD")
	return tree{commit: r.commit, branch: r.branch, patch: []byte(patch)}
}

// maxGoMod bounds go.mod.
const maxGoMod = 1 << 20

// moduleRoot is the nearest folder upwards whose go.mod names the module.
func moduleRoot(dir, module string) (string, bool) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", false
	}
	for {
		if f, _, err := openFile(filepath.Join(dir, "go.mod"), maxGoMod); err == nil {
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

// A gitView looks at a repository through a git folder of our own, which shares the
// repository's objects and index but not its configuration, attributes and
// hooks: those may name programs that git runs (filters, fsmonitor, transports),
// and a source tree that was unpacked from somewhere may bring them along. What
// the user's own settings name still runs, as for every other git command.
type gitView struct {
	tree           string   // the working tree
	folder         string   // ours, in place of .git
	environment    []string // that makes git use it
	commit, branch string
}

// openRepository returns false where git or a repository with a commit is missing.
func openRepository(dir string) (gitView, bool) {
	r := gitView{tree: dir, environment: append(os.Environ(), "GIT_OPTIONAL_LOCKS=0", "GIT_ALLOW_PROTOCOL=", "LC_ALL=C")}
	// rev-parse reads the configuration and runs nothing that it names.
	out, ok := r.run("rev-parse", "--path-format=absolute", "--show-toplevel",
		"--git-path", "objects", "--git-path", "index", "--git-path", "info/exclude", "HEAD")
	paths := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if !ok || len(paths) != 5 {
		return gitView{}, false
	}
	top, objects, index, exclude := paths[0], paths[1], paths[2], paths[3]
	r.commit = paths[4]
	branch, _ := r.run("symbolic-ref", "--short", "--quiet", "HEAD") // fails where no branch is checked out
	r.branch = strings.TrimSpace(branch)
	var err error
	if r.folder, err = os.MkdirTemp("", "ablate-git-*"); err != nil {
		return gitView{}, false
	}
	for name, text := range map[string]string{
		"HEAD": r.commit + "\n", "config": "[core]\n\trepositoryformatversion = 0\n\tbare = false\n",
		"objects/x": "", "refs/x": "", "info/exclude": readExclude(exclude),
	} {
		path := filepath.Join(r.folder, name)
		if os.MkdirAll(filepath.Dir(path), 0o700) != nil || os.WriteFile(path, []byte(text), 0o600) != nil {
			r.close()
			return gitView{}, false
		}
	}
	r.environment = append(r.environment, "GIT_DIR="+r.folder, "GIT_WORK_TREE="+top,
		"GIT_OBJECT_DIRECTORY="+objects, "GIT_INDEX_FILE="+index)
	return r, true
}

// maxExclude bounds .git/info/exclude.
const maxExclude = 1 << 20

// readExclude reads which files the user does not want to hear of; they are patterns, not programs.
func readExclude(path string) string {
	text, err := readFile(path, maxExclude)
	if err != nil {
		return ""
	}
	return string(text)
}

func (r gitView) close() { os.RemoveAll(r.folder) }

// gitPatience bounds one look at a repository; on a slow disk provenance is less important than training.
const gitPatience = 20 * time.Second

// run returns a command's output, and false where it fails. It changes nothing in the repository.
func (r gitView) run(args ...string) (string, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), gitPatience)
	defer cancel()
	c := exec.CommandContext(ctx, "git", append([]string{"-c", "core.fsmonitor=false", "-c",
		"core.hooksPath=" + os.DevNull}, args...)...)
	c.Dir, c.Env = r.tree, r.environment
	out, err := c.Output()
	return string(out), err == nil
}

const (
	maxUntracked     = 1000     // files that are listed
	maxUntrackedSize = 64 << 20 // bytes of a file that is hashed
)

// digestFiles returns the SHA-256 of files. Provenance must not take minutes
// because a data set lies beside the code: a large file is named with its size
// instead, and of very many files only the first are listed.
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
