//go:build !unix

package runner

// peakRSS returns 0: the peak is unknown here.
func peakRSS() int64 { return 0 }
