//go:build unix

package configs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/pflag"

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
		sparse:                                 "want at most 1048576",
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

// A settings file that is a FIFO was waited for without end, and a folder of settings that
// the user may not look into failed every command.
func TestSettingsThatCannotBeRead(t *testing.T) {
	t.Chdir(t.TempDir())
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	if err := syscall.Mkfifo("ablate.yaml", 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSettings(flags); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a FIFO: %v", err)
	}
	if err := os.Remove("ablate.yaml"); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		t.Skip("root may look into any folder")
	}
	if err := os.Mkdir(filepath.Join(config, "ablate"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSettings(flags); err != nil {
		t.Errorf("a folder that cannot be looked into: %v", err)
	}
}

// What lies in the folder under the name of no study is said to be no study's file.
func TestStudiesThatAreNoFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	err := errors.Join(syscall.Mkfifo("f", 0o600), os.Mkdir("d", 0o755), os.WriteFile("study", nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]string{"f": "no regular file", "d": "a folder", "study": "a file"} {
		_, err := Load(name, nil)
		want := name + ", which is " + kind + " here"
		if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}
