//go:build long

package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Jobs decode strictly into Kubernetes' own types. The types come from a module made for this
// test: the program does not depend on them.
func TestKubernetesTypes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum", "manifest_test.go"} {
		text, err := os.ReadFile(filepath.Join("testdata", "kubernetes", name+".txt"))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	manifests, err := filepath.Abs("testdata/job*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("go", "test", "-count=1", ".")
	c.Dir = dir
	c.Env = append(os.Environ(), "MANIFESTS="+manifests, "GOFLAGS=-mod=readonly")
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
