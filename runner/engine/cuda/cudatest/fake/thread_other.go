//go:build !linux

package fake

// threadID is never called: kernels are emulated on Linux only.
func threadID() int { return 0 }
