package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ablate/cmd"
	"ablate/configs"
	"ablate/internal/golden"
)

// runStored reports whether blocks that take long run too. The build tag long sets it.
var runStored = false

// asAblate in the environment makes the test binary the program itself.
const asAblate = "ABLATE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asAblate) != "" {
		os.Exit(cmd.Execute(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// documents returns the pages whose examples are run.
func documents(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{"README.md", "CONTRIBUTING.md", "docs/results/README.md"}, pages...)
}

// A block is the part of a document between two fences.
type block struct {
	language   string
	stored     string // the file that holds the output of its commands, if they take long
	lines      []string
	start, end int // line numbers in the document
}

var storedMark = regexp.MustCompile(`^<!-- stored: (\S+) -->$`)

func blocks(text string) []block {
	var all []block
	var b *block
	stored := ""
	for i, line := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		mark := storedMark.FindStringSubmatch(line)
		switch {
		case isFence && b == nil:
			b = &block{language: fence, stored: stored, start: i + 1}
			stored = ""
		case isFence:
			b.end = i
			all = append(all, *b)
			b = nil
		case b != nil:
			b.lines = append(b.lines, line)
		case mark != nil:
			stored = mark[1]
		}
	}
	return all
}

// commands returns the command lines of a block, each with its output. It returns none if the block does not begin with
// one.
func (b block) commands() (all []command) {
	for i, line := range b.lines {
		typed, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case isCommand:
			all = append(all, command{typed: typed})
		case i == 0:
			return nil
		default:
			last := &all[len(all)-1]
			last.prints = append(last.prints, line)
		}
	}
	return all
}

type command struct {
	typed  string
	prints []string
}

// A shell runs the commands of a document in its own folder.
type shell struct{ dir, program string }

func newShell(t *testing.T) shell {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := shell{dir: t.TempDir(), program: filepath.Join(t.TempDir(), "ablate")}
	if err := os.Symlink(self, s.program); err != nil {
		t.Fatal(err)
	}
	return s
}

// run returns what a command prints on both streams. It knows programs, not
// shells: ablate with its arguments, and > FILE.
func (s shell) run(typed string) (string, error) {
	typed, file, _ := strings.Cut(typed, " > ")
	typed, _, _ = strings.Cut(typed, "  #")
	dir := s.dir
	args, isProgram := strings.CutPrefix(typed, "ablate ")
	if !isProgram {
		if args, isProgram = strings.CutPrefix(typed, "go run . "); !isProgram {
			return "", fmt.Errorf("%q is neither ablate nor go run", typed)
		}
		dir = "." // the folder of the sources
	}
	c := exec.Command(s.program, strings.Fields(args)...)
	c.Dir = dir
	c.Env = append(os.Environ(), asAblate+"=1", "HOME="+s.dir, "ABLATE_RUNS="+filepath.Join(s.dir, "runs"))
	var out, errors bytes.Buffer
	c.Stdout, c.Stderr = &out, &errors
	err := c.Run()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, errors.String())
	}
	if file != "" {
		return "", os.WriteFile(filepath.Join(s.dir, file), out.Bytes(), 0o644)
	}
	return out.String(), err
}

// transcript returns the commands and their output.
func (s shell) transcript(commands []command) (string, error) {
	var b strings.Builder
	for _, c := range commands {
		out, err := s.run(c.typed)
		if err != nil {
			return "", fmt.Errorf("%s: %w", c.typed, err)
		}
		fmt.Fprintf(&b, "$ %s\n", c.typed)
		for line := range strings.Lines(out) {
			b.WriteString(strings.TrimRight(line, " \n") + "\n")
		}
	}
	return b.String(), nil
}

// shows reports whether the lines are those of a text. A line of … stands for any number of lines.
func shows(lines []string, text string) bool {
	var pattern strings.Builder
	for _, line := range lines {
		if line == "…" {
			pattern.WriteString(`(?:.*\n)*?`)
			continue
		}
		pattern.WriteString(regexp.QuoteMeta(strings.TrimRight(line, " ")) + `\n`)
	}
	return regexp.MustCompile(`\A` + pattern.String() + `\z`).MatchString(text)
}

// The output that documents show after "$ ablate" and "$ go run ." is what these commands print. Blocks under <!--
// stored: FILE --> take long: they are compared with the file, which just docs writes, and they run with the build tag
// long.
func TestDocuments(t *testing.T) {
	s := newShell(t) // one for all pages: a page may report what an earlier one has trained
	for _, page := range documents(t) {
		t.Run(page, func(t *testing.T) {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(text), "\n")
			grown := 0 // lines added by rewritten blocks
			for _, b := range blocks(string(text)) {
				if len(b.commands()) == 0 {
					continue
				}
				if now := checkBlock(t, page, b, s); now != nil {
					lines = slices.Replace(lines, b.start+grown, b.end+grown, now...)
					grown += len(now) - len(b.lines)
				}
			}
			if now := strings.Join(lines, "\n"); now != string(text) {
				if err := os.WriteFile(page, []byte(now), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// checkBlock compares a block with the output of its commands. With -update it returns the block's new lines, nil if
// they do not change.
func checkBlock(t *testing.T, page string, b block, s shell) []string {
	t.Helper()
	var text string
	if b.stored != "" && !golden.Update() && !runStored {
		kept, err := os.ReadFile(b.stored)
		if err != nil {
			t.Errorf("%s:%d: %v; just docs makes it", page, b.start, err)
			return nil
		}
		text = string(kept)
	} else {
		var err error
		if text, err = s.transcript(b.commands()); err != nil {
			t.Errorf("%s:%d: %v", page, b.start, err)
			return nil
		}
	}
	if b.stored != "" && golden.Update() {
		if err := os.WriteFile(b.stored, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if shows(b.lines, text) {
		return nil
	}
	if golden.Update() && !strings.Contains("\n"+strings.Join(b.lines, "\n")+"\n", "\n…\n") {
		return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	t.Errorf("%s:%d: the block is not what its commands print; just docs writes it again. They print:\n%s",
		page, b.start, text)
	return nil
}

// The studies in documents can be planned.
func TestDocumentedStudies(t *testing.T) {
	t.Setenv("ABLATE_DATA", "data")
	for _, page := range documents(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks(string(text)) {
			if b.language != "yaml" || !strings.HasPrefix(b.lines[0], "study:") {
				continue
			}
			path := filepath.Join(t.TempDir(), "study.yaml")
			if err := os.WriteFile(path, []byte(strings.Join(b.lines, "\n")), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := configs.Load(path, nil); err != nil {
				t.Errorf("%s:%d: %v", page, b.start, err)
			}
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)

// Links between files of the repository lead to existing files and headings.
func TestLinks(t *testing.T) {
	for _, page := range append(documents(t), "CHANGELOG.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target := page
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(page), m[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link to %s: %v", page, m[1], err)
				continue
			}
			if m[2] != "" && !hasHeading(t, target, m[2]) {
				t.Errorf("%s: %s has no heading %s", page, target, m[2])
			}
		}
	}
}

var notInAnchors = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// hasHeading reports whether a page has the heading that an anchor names, as forges write anchors.
func hasHeading(t *testing.T, page, anchor string) bool {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if heading, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			heading = notInAnchors.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
			if "#"+strings.ReplaceAll(heading, " ", "-") == anchor {
				return true
			}
		}
	}
	return false
}
