package render

import (
	"fmt"
	"strconv"
	"strings"

	"ablate/reports"
)

// siCount writes a count with three significant figures: 898, "2.11 M", "19.5 M", "724 M".
func siCount(n int64) string {
	if n <= 0 {
		return reports.None
	}
	units := []string{"", " k", " M", " G", " T", " P", " E"}
	v, unit := reports.RoundTo(float64(n), 3), 0
	for v >= 1000 {
		v /= 1000
		unit++
	}
	switch {
	case unit == 0:
		return strconv.FormatInt(n, 10)
	case v < 10:
		return fmt.Sprintf("%.2f%s", v, units[unit])
	case v < 100:
		return fmt.Sprintf("%.1f%s", v, units[unit])
	}
	return fmt.Sprintf("%.0f%s", v, units[unit])
}

// superscript writes a footnote's mark.
func superscript(n int) string {
	digits := []rune("⁰¹²³⁴⁵⁶⁷⁸⁹")
	var b strings.Builder
	for _, d := range strconv.Itoa(n) {
		b.WriteRune(digits[d-'0'])
	}
	return b.String()
}
