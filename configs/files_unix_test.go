//go:build unix

package configs

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ablate/strictyaml"
)

// A study and what it extends may name anything that lies in the file system. What
// might never end is not opened, what is too long is not read.
func TestFilesThatAreNoStudies(t *testing.T) {
	dir := t.TempDir()
	fifo, sparse := filepath.Join(dir, "fifo.yaml"), filepath.Join(dir, "sparse.yaml")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip("no pipes here: ", err)
	}
	f, err := os.Create(sparse)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(1 << 40); err != nil {
		t.Skip("no sparse files here: ", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		fifo: "is not a regular file", "/dev/zero": "is not a regular file", dir + "/": "is not a regular file",
		sparse:                                 "at most 1048576 are read",
		strings.Repeat("x", 900_000) + ".yaml": "file name too long",
	} {
		for _, key := range []string{"extends", "net"} {
			study := strings.Replace(good, "net: alexnet-32", key+": "+name, 1) + "variants: {baseline: {}}\n"
			if _, err := Load(write(t, "s.yaml", study), nil); err == nil || !strings.Contains(err.Error(), want) ||
				len(err.Error()) > 450 {
				t.Errorf("%s: %.60s: %.500v", key, name, err)
			}
		}
		if _, err := strictyaml.ReadFile(name); err == nil {
			t.Errorf("%.60s was read", name)
		}
	}
	// A file that is not a net is not shown.
	secret := write(t, "secret", "root:x:0:0:hidden\nuser:y:1:1:hidden\n")
	_, err = Load(write(t, "s.yaml", strings.Replace(good, "alexnet-32", secret, 1)+"variants: {baseline: {}}\n"), nil)
	if err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("a file that is not a net: %v", err)
	}
}
