package page

// advances holds the widths of the printable ASCII signs, starting with the blank, in thousandths of the font size.
// They are from Adobe's font metrics for Helvetica.
var advances = [...]int{
	278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, // blank to /
	556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, // 0 to ?
	1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, // @ to O
	667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, // P to _
	333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, // ` to o
	556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584, // p to ~
}

const (
	labelSize = 13  // of the style sheet's svg text
	slack     = 1.3 // DejaVu Sans in bold, the widest of the usual system fonts, beside Helvetica
)

// advance returns the width of a sign, in thousandths of the font size. A sign that the table lacks counts as a full
// square.
func advance(r rune) float64 {
	thousandths := 1000
	if i := int(r) - ' '; i >= 0 && i < len(advances) {
		thousandths = advances[i]
	}
	return float64(thousandths) / 1000 * labelSize * slack
}

// textWidth returns the width that a label needs, whatever the reader's system font is.
func textWidth(words string) float64 {
	width := 0.0
	for _, r := range words {
		width += advance(r)
	}
	return width
}

// widest returns the width that the widest of some labels needs, at most limit.
func widest(labels []string, limit float64) float64 {
	width := 0.0
	for _, l := range labels {
		width = max(width, textWidth(l))
	}
	return min(width, limit)
}

// fit shortens words that are wider than the room, and marks the cut.
func fit(words string, room float64) string {
	if textWidth(words) <= room {
		return words
	}
	width := advance('…')
	for i, r := range words {
		if width += advance(r); width > room {
			return words[:i] + "…"
		}
	}
	return words
}
