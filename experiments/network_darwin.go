package experiments

import "golang.org/x/sys/unix"

// IsNetwork reports whether a folder is on a file system that several hosts share.
func IsNetwork(dir string) bool {
	var s unix.Statfs_t
	return unix.Statfs(dir, &s) == nil && s.Flags&unix.MNT_LOCAL == 0
}
