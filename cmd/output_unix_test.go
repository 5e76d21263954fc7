//go:build unix

package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// report -o replaced devices, FIFOs and symbolic links by a file; as root,
// /dev/stdout and /dev/null for the whole machine.
func TestOutputStaysWhatItIs(t *testing.T) {
	dir := t.TempDir()
	name := func(n string) string { return filepath.Join(dir, n) }
	content := func(path, want string) {
		t.Helper()
		if text, err := os.ReadFile(path); err != nil || string(text) != want {
			t.Errorf("%s holds %q, %v; want %q", path, text, err, want)
		}
	}
	write := func(path string) {
		t.Helper()
		if err := writeOutput(path, []byte("table\n")); err != nil {
			t.Error(err)
		}
	}
	isLink := func(path string) {
		t.Helper()
		if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s is no link any more: %v", path, err)
		}
	}

	write(name("new"))
	content(name("new"), "table\n")
	for path, text := range map[string]string{"old": "a longer text than the table\n", "target": "another\n"} {
		if err := os.WriteFile(name(path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(name("old"))
	content(name("old"), "table\n")

	for link, to := range map[string]string{"link": "target", "dangling": "made"} {
		if err := os.Symlink(to, name(link)); err != nil {
			t.Fatal(err)
		}
		write(name(link))
		isLink(name(link))
		content(name(to), "table\n")
	}

	fifo := name("fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	end, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer end.Close()
	write(fifo)
	got := make([]byte, 100)
	if n, err := end.Read(got); err != nil || string(got[:n]) != "table\n" {
		t.Errorf("the FIFO gave %q, %v", got[:n], err)
	}
	if info, err := os.Lstat(fifo); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("the FIFO became %v, %v", info, err)
	}

	null := name("null") // a device of our own, where that is allowed
	if err := syscall.Mknod(null, syscall.S_IFCHR|0o600, 1<<8|3); err == nil {
		write(null)
		if info, err := os.Lstat(null); err != nil || info.Mode()&os.ModeCharDevice == 0 {
			t.Errorf("the device became %v, %v", info, err)
		}
	}
	if err := writeOutput(dir, nil); err == nil {
		t.Error("a folder was written")
	}
}

// A device that takes nothing is no error of usage, and a path that is wrong is named.
func TestOutputThatIsNotWritten(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err == nil {
		if err := writeOutput("/dev/full", []byte("table\n")); exitCode(err) != exitFailed {
			t.Errorf("a full device: %v, exit code %d", err, exitCode(err))
		}
	}
	path := filepath.Join(t.TempDir(), "nowhere", "table.txt")
	if err := writeOutput(path, nil); exitCode(err) != exitUsage || !strings.Contains(err.Error(), path) {
		t.Errorf("a folder that is missing: %v, exit code %d", err, exitCode(err))
	}
}
