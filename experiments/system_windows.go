package experiments

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// alive reports whether a process exists on this host. On Windows, finding it is enough.
func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	p.Release()
	return true
}

// syncFolder does nothing: Windows makes renames durable itself and cannot sync a folder.
func syncFolder(string) error { return nil }

// guard keeps other processes out of a folder for a moment, by a file that nobody else can open and
// that the system removes when this process dies.
func guard(dir string) (release func(), err error) {
	path, err := windows.UTF16PtrFromString(filepath.Join(dir, lockFile+".guard"))
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateFile(path, windows.GENERIC_WRITE, 0, nil, windows.OPEN_ALWAYS,
		windows.FILE_FLAG_DELETE_ON_CLOSE, 0)
	if err != nil {
		return nil, err
	}
	return func() { windows.CloseHandle(h) }, nil
}

// noSpace reports whether a disk or a quota is full.
func noSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

// FreeSpace returns how many bytes this user can still write to a folder's disk, or -1 if unknown.
func FreeSpace(dir string) int64 {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return -1
	}
	var free uint64
	if windows.GetDiskFreeSpaceEx(path, &free, nil, nil) != nil {
		return -1
	}
	return int64(free)
}
