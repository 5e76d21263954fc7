//go:build unix

package index

import (
	"io/fs"
	"syscall"
)

// fileNumber returns the file's number in its file system; a renamed file has another one.
func fileNumber(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino)
	}
	return 0
}
