package experiments

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// repository makes one of the module example.com/net with one commit.
func repository(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is missing")
	}
	for _, name := range []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	dir := t.TempDir()
	put(t, filepath.Join(dir, "go.mod"), "module example.com/net\n\ngo 1.26\n")
	put(t, filepath.Join(dir, "a.go"), "package a\n")
	put(t, filepath.Join(dir, ".gitignore"), "/runs/\n")
	for _, args := range [][]string{{"init", "--quiet", "--initial-branch=work"}, {"add", "."},
		{"-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false", "commit", "--quiet",
			"--message=first"}} {
		c := exec.Command("git", args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return dir
}

func TestTree(t *testing.T) {
	dir := repository(t)
	clean, err := findTree(dir, "example.com/net")
	if err != nil || len(clean.commit) < 40 || clean.branch != "work" || clean.dirty() {
		t.Fatalf("%+v, %v", clean, err)
	}
	put(t, filepath.Join(dir, "a.go"), "package changed\n")
	put(t, filepath.Join(dir, "sub", "new file.yaml"), "study: x\n")
	put(t, filepath.Join(dir, "runs", "ignored"), "x")
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Log(err)
	}
	got, err := findTree(filepath.Join(dir, "sub"), "example.com/net")
	if err != nil || got.commit != clean.commit || !got.dirty() ||
		!strings.Contains(string(got.patch), "+package changed") {
		t.Errorf("%+v, %v\n%s", got, err, got.patch)
	}
	if want := fmt.Sprintf("%x", sha256.Sum256([]byte("study: x\n"))); got.untracked["sub/new file.yaml"] != want {
		t.Errorf("%v", got.untracked)
	}
	if _, ok := got.untracked["runs/ignored"]; ok {
		t.Errorf("an ignored file is listed: %v", got.untracked)
	}
}

// The commit of somebody else's repository says nothing of this program.
func TestForeignTree(t *testing.T) {
	dir := repository(t)
	if got, err := findTree(dir, "ablate"); !errors.Is(err, errElsewhere) {
		t.Errorf("%+v", got)
	}
	if got, err := findTree(t.TempDir(), "ablate"); !errors.Is(err, errElsewhere) {
		t.Errorf("%+v", got)
	}
	bare := t.TempDir() // a module, but no repository
	put(t, filepath.Join(bare, "go.mod"), "module ablate\n")
	if got, err := findTree(bare, "ablate"); !errors.Is(err, errNoGit) {
		t.Errorf("%+v", got)
	}
}

// The patch lies beside the run, until an attempt without one.
func TestPatch(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	rec := record("a")
	rec.Provenance = &Provenance{patch: []byte("--- a\n+++ b\n")}
	r, err := s.Start(rec, StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	path := filepath.Join(r.Dir(), patchFile)
	if text, err := os.ReadFile(path); err != nil || string(text) != "--- a\n+++ b\n" {
		t.Errorf("%q, %v", text, err)
	}
	rec.Provenance = &Provenance{}
	if r, err = s.Start(rec, StartOptions{}); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the first attempt's patch is still there: %v", err)
	}
}

// A source tree that was unpacked from somewhere may configure git to run
// programs. Asking it for its state ran its filters.
func TestTreeRunsNothing(t *testing.T) {
	dir := repository(t)
	t.Setenv("TMPDIR", t.TempDir())
	pwned := filepath.Join(t.TempDir(), "pwned")
	script := filepath.Join(dir, ".git", "run.sh")
	put(t, script, "#!/bin/sh\necho \"$0 $*\" >>"+pwned+"\ncat\n")
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"filter.x.clean": script, "filter.x.smudge": script, "filter.x.process": script, "filter.x.required": "true",
		"core.fsmonitor": script, "core.hooksPath": filepath.Join(dir, ".git", "hooks"), "core.sshCommand": script,
		"diff.external": script, "diff.x.textconv": script, "diff.x.command": script, "core.pager": script,
		"core.editor": script, "core.gitProxy": script, "core.alternateRefsCommand": script,
		"core.attributesFile": ".git/more",
		"alias.diff":          "!" + script, "alias.ls-files": "!" + script, "remote.origin.url": "ext::" + script,
		"remote.origin.promisor": "true", "extensions.partialClone": "origin", "protocol.ext.allow": "always",
	} {
		c := exec.Command("git", "config", key, value)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", key, err, out)
		}
	}
	for _, hook := range []string{"post-index-change", "fsmonitor-watchman", "post-checkout"} {
		if err := os.Symlink(script, filepath.Join(dir, ".git", "hooks", hook)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(dir, ".gitattributes"), "* filter=x diff=x\n")
	put(t, filepath.Join(dir, ".git", "info", "attributes"), "* filter=x diff=x\n")
	put(t, filepath.Join(dir, ".git", "more"), "* filter=x diff=x\n")
	put(t, filepath.Join(dir, ".git", "info", "exclude"), "secret\n")
	put(t, filepath.Join(dir, "a.go"), "package changed\n")
	put(t, filepath.Join(dir, "secret"), "x")
	got, err := findTree(dir, "example.com/net")
	if err != nil || got.branch != "work" || !strings.Contains(string(got.patch), "+package changed") {
		t.Errorf("%+v, %v\n%s", got, err, got.patch)
	}
	if _, ok := got.untracked["secret"]; ok || got.untracked[".gitattributes"] == "" {
		t.Errorf("untracked: %v", got.untracked)
	}
	if text, err := os.ReadFile(pwned); err == nil {
		t.Errorf("git ran:\n%s", text)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "ablate-git-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Another working tree of a repository has its index elsewhere.
func TestLinkedWorktree(t *testing.T) {
	dir := repository(t)
	other := filepath.Join(t.TempDir(), "other")
	c := exec.Command("git", "worktree", "add", "--quiet", "-b", "side", other)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	clean, err := findTree(other, "example.com/net")
	if err != nil || clean.branch != "side" || clean.dirty() {
		t.Errorf("%+v, %v", clean, err)
	}
	put(t, filepath.Join(other, "a.go"), "package changed\n")
	if got, err := findTree(other, "example.com/net"); err != nil ||
		!strings.Contains(string(got.patch), "+package changed") {
		t.Errorf("%+v, %v", got, err)
	}
}
