package cmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// An export onto a full disk ends with one line and exit code 75, leaves no half of a file under its name, and is
// completed by the same command once there is room. What is recorded is as it was.
func TestExportsOntoFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=4k"); err != nil {
		t.Skipf("no small disk to fill: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
	runs := filepath.Join(t.TempDir(), "runs")
	ablate := func(want int, args ...string) string {
		t.Helper()
		var out, said bytes.Buffer
		if code := Execute(append(args, "--runs", runs), &out, &said); code != want {
			t.Fatalf("ablate %v: exit code %d, want %d: %s", args, code, want, said.String())
		}
		return said.String()
	}
	ablate(0, "run", "quickstart", "--only", "baseline/1", "--set", "train.epochs=1", "--set", "data.train=20",
		"--set", "data.test=200")
	const run = "quickstart/baseline/1"
	at := func(name string) string { return filepath.Join(disk, name) }
	for _, args := range [][]string{
		{"export", "predictions", "quickstart", "-o", at("predictions.csv")},
		{"export", "predictions", "quickstart", "--format", "parquet", "-o", at("predictions.parquet")},
		{"export", "onnx", run, at("model.onnx")},
		{"export", "torch", run, at("model")},
		{"export", "tensorboard", "quickstart", at("logs")},
		{"report", "quickstart", "--format", "html", "-o", at("page.html")},
	} {
		if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=4k"); err != nil {
			t.Fatal(err)
		}
		// Folders and small files take pages too: the only one is taken.
		if err := os.WriteFile(at("filler"), make([]byte, 4096), 0o644); err != nil {
			t.Fatal(err)
		}
		said := ablate(exitLater, args...)
		if strings.Count(strings.TrimSpace(said), "\n") > 0 || !strings.Contains(said, "no space left on device") {
			t.Errorf("ablate %v says %q", args, said)
		}
		filepath.Walk(disk, func(path string, info os.FileInfo, err error) error {
			name := filepath.Base(path)
			if err == nil && info.Mode().IsRegular() && name != "filler" && !strings.HasPrefix(name, "events.") {
				t.Errorf("ablate %v leaves %s of %d bytes", args, path, info.Size())
			}
			return nil
		})
		if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
			t.Fatal(err)
		}
		ablate(0, args...)
		var kept []string
		entries, _ := os.ReadDir(disk)
		for _, e := range entries {
			if e.Name() == "filler" {
				continue
			}
			kept = append(kept, e.Name())
			if err := os.RemoveAll(at(e.Name())); err != nil {
				t.Fatal(err)
			}
		}
		if len(kept) != 1 {
			t.Errorf("ablate %v writes %v", args, kept)
		}
		os.Remove(at("filler"))
	}
	ablate(0, "verify", run, "--steps", "1")
}
