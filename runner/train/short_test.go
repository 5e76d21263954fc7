//go:build !long

package train

// long is false without the build tag of that name: sweeps take samples.
const long = false
