//go:build long

package train

// long runs the sweeps whole: every net, every point of a stop.
const long = true
