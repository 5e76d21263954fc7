//go:build !linux

package fake

// threadID is not asked for: kernels are emulated on Linux.
func threadID() int { return 0 }
