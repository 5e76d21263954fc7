//go:build long

package train

// long makes the sweeps complete: every net, and every step at which a run can stop.
const long = true
