package cmd

import (
	"fmt"
	"math"
	"strings"
	"time"
)

const (
	day  = 24 * time.Hour
	year = 8766 * time.Hour // 365.25 days
)

// about rounds a duration to the digits that matter: 3.2 years, 12d4h, 2h59m, 36s, 1.25s.
func about(d time.Duration) string {
	switch {
	case d == math.MaxInt64:
		return fmt.Sprintf("more than %d years", int(d/year))
	case d >= year:
		return fmt.Sprintf("%.1f years", float64(d)/float64(year))
	case d >= 2*day:
		hours := d.Round(time.Hour)
		return fmt.Sprintf("%dd%dh", hours/day, hours%day/time.Hour)
	case d >= time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	case d > 10*time.Second:
		return d.Round(time.Second).String()
	default:
		return d.Round(10 * time.Millisecond).String()
	}
}

// until formats the time at which something ends that begins at start.
func until(start time.Time, takes time.Duration) string {
	end := start.Add(takes)
	switch {
	case takes >= year:
		return "until " + end.Format("2006")
	case takes >= day/2:
		return "until " + end.Format("Mon 2 Jan 2006 15:04")
	default:
		return "until " + end.Format("15:04")
	}
}
