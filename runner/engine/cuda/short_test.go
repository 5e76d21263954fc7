//go:build !long

package cuda_test

// long is false without the build tag of that name: nets are narrow.
const long = false
