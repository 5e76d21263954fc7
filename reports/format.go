package reports

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// None stands where there is nothing to say.
const None = "–"

// Percent writes a share in %, two decimals: 0.1231 is "12.31".
func Percent(share float64) string { return fmt.Sprintf("%.2f", 100*share) }

// PValue writes two figures: "0.031", "0.0078", "< 0.0001".
func PValue(p float64) string {
	if p < 0.0001 {
		return "< 0.0001"
	}
	return strconv.FormatFloat(RoundTo(p, 2), 'f', -1, 64)
}

// pWords writes a p value as it follows the letter p: "= 0.031", "< 0.0001".
func pWords(p float64) string {
	if text := PValue(p); text[0] == '<' {
		return text
	}
	return "= " + PValue(p)
}

// RoundTo rounds to a number of significant figures.
func RoundTo(v float64, figures int) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', figures-1, 64), 64)
	if err != nil {
		return v
	}
	return rounded
}

// Thousands writes a figure that is not negative with separators: "2,140". A figure below 10 that is not whole has one
// decimal.
func Thousands[N int | int64 | float64](n N) string {
	v := float64(n)
	if v != math.Trunc(v) && v < 10 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// rightToLeft are scripts that a line must isolate, or they pull the figures beside them over.
var rightToLeft = []*unicode.RangeTable{
	unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana,
	unicode.Nko, unicode.Samaritan, unicode.Mandaic, unicode.Adlam,
}

// Sanitize makes text from records safe to print. It escapes what would move the cursor, end the line or turn its
// direction, and isolates words in a right-to-left script (Unicode Annex 9, FSI and PDI).
func Sanitize(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) { // most text
		return strings.TrimSpace(s)
	}
	var b strings.Builder
	isolate := false
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case r == '\u200c' || r == '\u200d': // joiners that Persian and emoji need
			b.WriteRune(r)
		case unicode.IsPrint(r):
			isolate = isolate || unicode.In(r, rightToLeft...)
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteToASCII(string(r)), `"`))
		}
	}
	text := strings.TrimSpace(b.String())
	if isolate {
		return "\u2068" + text + "\u2069"
	}
	return text
}
