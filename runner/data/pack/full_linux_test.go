package pack

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// When the disk fills up, packing stops with one error that names the file, and the folder does
// not count as a pack. With more room, the same command finishes it with the bytes of an
// uninterrupted pack.
func TestPackOnAFullDisk(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole")
	set := list(t, folder(t, 40))
	o := Options{Fit: small.Fit, Workers: 2}
	o.Fit.ShortSide = 32
	if _, err := Write(t.Context(), set, whole, o); err != nil {
		t.Fatal(err)
	}
	disk := t.TempDir()
	mount := func(flags uintptr, options string) {
		if err := syscall.Mount("tmpfs", disk, "tmpfs", flags, options); err != nil {
			t.Skipf("mount a small disk: %v", err)
		}
	}
	mount(0, "size=16k")
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(disk, "pack")
	refused := 0
	for _, size := range []string{"size=16k", "size=64k", "size=128k", "size=192k", "size=256k"} {
		mount(syscall.MS_REMOUNT, size)
		_, err := Write(t.Context(), set, dir, o)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("%s: %v", size, err)
		}
		refused++
		if p, err := Open(dir); err == nil {
			p.Close()
			t.Fatalf("%s: half a pack was opened", size)
		}
	}
	if refused == 0 {
		t.Fatal("the disk never was full")
	}
	mount(syscall.MS_REMOUNT, "size=8m")
	if _, err := Write(t.Context(), set, dir, o); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, whole, dir)
}
