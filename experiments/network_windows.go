package experiments

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// IsNetwork reports whether a folder is on a file system that several hosts share.
func IsNetwork(dir string) bool {
	full, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	root, err := windows.UTF16PtrFromString(filepath.VolumeName(full) + `\`)
	return err == nil && windows.GetDriveType(root) == windows.DRIVE_REMOTE
}
