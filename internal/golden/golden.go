// Package golden compares the output of tests with files beside them.
// `go test PACKAGE -update` rewrites a package's files; `just golden` rewrites all.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false,
	"write what tests are compared with again: golden files, tables, blocks of documents")

// Update reports whether golden files are to be rewritten.
func Update() bool { return *update }

// Check compares a test's output with a file, or writes the file.
func Check(t testing.TB, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; -update writes it", err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got; -update accepts):\n%s", file, d)
	}
}
