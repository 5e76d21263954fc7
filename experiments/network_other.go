//go:build !linux

package experiments

// IsNetwork returns false, since it is not implemented for this system.
func IsNetwork(string) bool { return false }
