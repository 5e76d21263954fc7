package cmd

import (
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

// Examples in the help use commands and flags that there are.
func TestExamplesParse(t *testing.T) {
	every(newRoot(), func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), "   ") // a remark
			line, _, _ = strings.Cut(line, " >")
			args := strings.Fields(line)
			if len(args) == 0 || args[0] != "ablate" {
				t.Errorf("%s: %q is no command line of ablate", c.CommandPath(), line)
				continue
			}
			found, rest, err := newRoot().Find(args[1:])
			if err == nil {
				err = found.ParseFlags(rest)
			}
			if err == nil {
				err = found.ValidateArgs(found.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: %q: %v", c.CommandPath(), line, err)
			}
		}
	})
}

func TestVersion(t *testing.T) {
	build := func(version string, settings ...debug.BuildSetting) string {
		settings = append(settings, debug.BuildSetting{Key: "GOOS", Value: "linux"}, debug.BuildSetting{Key: "GOARCH", Value: "amd64"})
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
		{build(""), "of an unknown commit (built with -buildvcs=false, or outside a repository), go1.26 linux/amd64"},
	} {
		if x.got != x.want {
			t.Errorf("%q, want %q", x.got, x.want)
		}
	}
}
