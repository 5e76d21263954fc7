package cmd

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Whoever gets the program gets the licence of every module that is linked, on each system.
func TestNotices(t *testing.T) {
	lines := strings.Split(notices, "\n")
	named := map[string]bool{}
	for _, l := range lines {
		named[l] = true
	}
	for _, system := range []string{"linux", "darwin", "windows"} {
		c := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}",
			"..")
		c.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		c.Stderr = os.Stderr
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		modules := strings.Fields(strings.ReplaceAll(string(out), " ", "@"))
		if len(modules) < 50 {
			t.Errorf("%s: only %d packages of modules", system, len(modules))
		}
		for _, m := range modules {
			if !named[strings.ReplaceAll(m, "@", " ")] {
				t.Errorf("cmd/notices.txt lacks %s: go generate ./cmd", m)
				return
			}
		}
	}
}
