//go:build !linux && !darwin && !windows

package experiments

// IsNetwork returns false: on the other systems, which no release is built for, folders are taken for local ones.
func IsNetwork(string) bool { return false }
