package reports

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// none stands in a cell that has nothing to say.
const none = "–"

// percent writes a share in %, two decimals: 0.1231 is "12.31".
func percent(share float64) string { return fmt.Sprintf("%.2f", 100*share) }

// pValue writes two figures: "0.031", "0.0078", "< 0.0001".
func pValue(p float64) string {
	if p < 0.0001 {
		return "< 0.0001"
	}
	return strconv.FormatFloat(roundTo(p, 2), 'f', -1, 64)
}

// pWords writes a p value after the word: "= 0.031", "< 0.0001".
func pWords(p float64) string {
	if text := pValue(p); text[0] == '<' {
		return text
	}
	return "= " + pValue(p)
}

// roundTo rounds to so many figures.
func roundTo(v float64, figures int) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', figures-1, 64), 64)
	if err != nil {
		return v
	}
	return rounded
}

// metric is the short form of a count in three figures: 898, "2.11 M", "19.5 M", "724 M".
func metric(n int64) string {
	if n <= 0 {
		return none
	}
	units := []string{"", " k", " M", " G", " T", " P", " E"}
	v, unit := roundTo(float64(n), 3), 0
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

// thousands writes a positive figure with separators: "2,140"; below 10 with a decimal.
func thousands(v float64) string {
	if v != math.Trunc(v) && v < 10 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// rightToLeft are scripts that a line must isolate, or they pull the figures beside them over.
var rightToLeft = []*unicode.RangeTable{
	unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana,
	unicode.Nko, unicode.Samaritan, unicode.Mandaic, unicode.Adlam,
}

// Sanitize makes text from records safe to print: what would move the cursor,
// end the line or turn its direction is written as its escape, and words in a
// right-to-left script are isolated (Unicode Annex 9, FSI and PDI).
func Sanitize(s string) string {
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

// superscript writes a footnote's mark.
func superscript(n int) string {
	digits := []rune("⁰¹²³⁴⁵⁶⁷⁸⁹")
	var b strings.Builder
	for _, d := range strconv.Itoa(n) {
		b.WriteRune(digits[d-'0'])
	}
	return b.String()
}
