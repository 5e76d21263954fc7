//go:build linux || darwin || freebsd

package experiments

import (
	"errors"
	"syscall"
)

// noSpace reports whether a disk or a quota is full.
func noSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// FreeSpace returns how many bytes this user can still write to a folder's disk, or -1 if unknown.
func FreeSpace(dir string) int64 {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return -1
	}
	return int64(s.Bavail) * int64(s.Bsize)
}
