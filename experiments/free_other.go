//go:build !linux && !darwin && !freebsd && !windows

package experiments

func noSpace(error) bool { return false }

func FreeSpace(string) int64 { return -1 }
