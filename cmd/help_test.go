package cmd

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// every calls f with a command and all below it.
func every(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		every(sub, f)
	}
}

// continued matches the end of a line that goes on in the next.
var continued = regexp.MustCompile(`\\\n\s*`)

// word matches a word of a shell's command line: quoted, or without blanks.
var word = regexp.MustCompile(`(?:"[^"]*"|'[^']*'|[^\s"'])+`)

// words splits a command line as a shell does, without what is set in the environment before it. A variable is 1.
func words(line string) []string {
	var args []string
	for _, w := range word.FindAllString(line, -1) {
		if name, _, ok := strings.Cut(w, "="); ok && len(args) == 0 && name == strings.ToUpper(name) {
			continue
		}
		w = strings.NewReplacer(`"`, "", "'", "").Replace(w)
		if strings.HasPrefix(w, "$") {
			w = "1"
		}
		args = append(args, w)
	}
	return args
}

// parses checks that a command line uses commands and flags that there are.
func parses(line string) error {
	line, _, _ = strings.Cut(strings.TrimSpace(continued.ReplaceAllString(line, " ")), "  ") // a remark
	line, _, _ = strings.Cut(line, " >")
	args := words(line)
	if len(args) < 2 || args[0] != "ablate" {
		return errors.New("no command line of ablate")
	}
	c, rest, err := newRoot().Find(args[1:])
	if err != nil {
		return err
	}
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	if v := c.Flags().Lookup("version"); v != nil && v.Changed {
		return nil
	}
	return c.ValidateArgs(c.Flags().Args())
}

// Examples in the help use commands and flags that there are.
func TestExamplesParse(t *testing.T) {
	every(newRoot(), func(c *cobra.Command) {
		for line := range strings.Lines(continued.ReplaceAllString(c.Example, " ")) {
			if err := parses(line); err != nil {
				t.Errorf("%s: %q: %v", c.CommandPath(), line, err)
			}
		}
	})
}

// documented finds command lines in Markdown: in blocks, with or without a prompt, and between backquotes.
var documented = regexp.MustCompile("(?m)^(?: {4}|\\$ )(ablate (?:.*\\\\\n)*.*)|`(ablate [a-z][^`]*)`")

// unfinished matches what is said of a command line that lacks arguments.
var unfinished = regexp.MustCompile(`^(flag needs an argument|accepts|requires)`)

// So do the documents.
func TestDocumentedCommandsParse(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "../README.md", "../CONTRIBUTING.md", "../docs/results/README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range documented.FindAllStringSubmatch(string(text), -1) {
			line := m[1] + m[2]
			if strings.ContainsAny(line, "…[|") { // a form, not a command line
				continue
			}
			found++
			err := parses(line)
			if m[2] != "" && err != nil && unfinished.MatchString(err.Error()) {
				continue // within a sentence, a command may stand without its arguments
			}
			if err != nil {
				t.Errorf("%s: %q: %v", page, line, err)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d command lines were found", found)
	}
}

func TestVersion(t *testing.T) {
	build := func(version string, settings ...debug.BuildSetting) string {
		settings = append(settings,
			debug.BuildSetting{Key: "GOOS", Value: "linux"}, debug.BuildSetting{Key: "GOARCH", Value: "amd64"})
		return describeBuild(&debug.BuildInfo{
			GoVersion: "go1.26", Main: debug.Module{Path: "ablate", Version: version}, Settings: settings,
		})
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123abc"}
	for _, x := range []struct{ got, want string }{
		{build("v1.2.0"), "v1.2.0, go1.26 linux/amd64"},
		{build("(devel)", revision), "commit 0123abc, go1.26 linux/amd64"},
		{build("(devel)", revision, debug.BuildSetting{Key: "vcs.modified", Value: "true"}),
			"commit 0123abc with uncommitted changes, go1.26 linux/amd64"},
		{build(""), "unknown commit (built with -buildvcs=false, or outside a repository), go1.26 linux/amd64"},
	} {
		if x.got != x.want {
			t.Errorf("%q, want %q", x.got, x.want)
		}
	}
}
