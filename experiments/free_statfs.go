//go:build linux || darwin || freebsd

package experiments

import (
	"errors"
	"syscall"
)

// noSpace says that a disk or a quota is full.
func noSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// FreeSpace is how many bytes a folder's disk still takes from this user, -1 if it does not say.
func FreeSpace(dir string) int64 {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return -1
	}
	return int64(s.Bavail) * int64(s.Bsize)
}
