package cmd

import (
	"ablate/internal/golden"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

// asAblate in the environment makes the test binary the program itself.
const asAblate = "ABLATE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asAblate) != "" {
		os.Exit(Execute(os.Args[1:], os.Stdout, os.Stderr))
	}
	testscript.Main(m, map[string]func(){
		"ablate": func() { os.Exit(Execute(os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

// The scripts under testdata are what a user types and what must come of it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: golden.Update(),
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir)
			records, err := filepath.Abs("../experiments/testdata") // of earlier formats
			e.Setenv("RECORDS", records)
			photo, err2 := filepath.Abs("../runner/data/imaging/testdata/rgb.jpg")
			e.Setenv("PHOTO", photo)
			return errors.Join(err, err2)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "replace": replace,
			"copyrecords": copyRecords},
	})
}

// exits CODE COMMAND… runs ablate and wants an exit code. Its output is for stdout and stderr to match.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("ablate", args[1:]...)
	code := "0"
	if e, ok := err.(interface{ ExitCode() int }); ok {
		code = strconv.Itoa(e.ExitCode())
	}
	if code != args[0] {
		ts.Fatalf("ablate %v: exit code %s (%v), want %s", args[1:], code, err, args[0])
	}
}

// replace OLD NEW FILE changes a file's text, which must hold it.
func replace(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[2])
	text := ts.ReadFile(path)
	if !strings.Contains(text, args[0]) {
		ts.Fatalf("%s does not hold %s", args[2], args[0])
	}
	ts.Check(os.WriteFile(path, []byte(strings.ReplaceAll(text, args[0], args[1])), 0o644))
}

// copyrecords FROM TO copies a folder of runs.
func copyRecords(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(args[0])))
}

// Every command begins its help with an example of itself.
func TestHelpBeginsWithAnExample(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "help" || c.Name() == "completion" {
			return
		}
		if example := strings.TrimSpace(c.Example); !strings.HasPrefix(example, c.Root().Name()+" ") {
			t.Errorf("%s: the example is %q", c.CommandPath(), example)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot())
}
