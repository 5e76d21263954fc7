//go:build long

package cuda_test

// long runs nets at their full width.
const long = true
