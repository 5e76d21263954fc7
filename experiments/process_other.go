//go:build !linux

package experiments

// initialNamespace has no counterpart on this system.
const initialNamespace = ""

// identify returns nothing beyond the number and the host of a process on this system.
func identify() processID { return processID{} }

func birth(int) string { return "" }
