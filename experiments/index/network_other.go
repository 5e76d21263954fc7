//go:build !linux

package index

// isNetwork is not known here.
func isNetwork(string) bool { return false }
