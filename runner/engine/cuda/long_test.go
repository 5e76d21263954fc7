//go:build long

package cuda_test

// long is true with the build tag of that name: nets have their full width.
const long = true
