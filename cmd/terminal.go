package cmd

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable is the standard output of every command. Text from records and files may contain bytes
// that make a terminal move its cursor, change its title or answer. printable writes such bytes as
// escapes.
type printable struct {
	w    io.Writer
	held bool  // the last write ended in what may be the first byte of a C1 control
	err  error // error of the first write that failed
}

// Write escapes the controls C0, except line feed and tab, and C1 (ECMA-48).
func (p *printable) Write(text []byte) (int, error) {
	const c1 = 0xC2 // first byte of U+0080 to U+009F in UTF-8
	var b []byte
	for _, c := range text {
		held := p.held
		p.held = false
		switch {
		case held && c >= 0x80 && c < 0xA0:
			b = fmt.Appendf(b, `\u%04x`, c)
			continue
		case held:
			b = append(b, c1)
		}
		switch {
		case c == c1:
			p.held = true
		case c < ' ' && c != '\n' && c != '\t', c == 0x7F:
			b = fmt.Appendf(b, `\x%02x`, c)
		default:
			b = append(b, c)
		}
	}
	if _, err := p.w.Write(b); err != nil {
		if p.err == nil {
			p.err = err
		}
		return 0, err
	}
	return len(text), nil
}

// asFile returns the file that a command prints to, which may be a terminal.
func asFile(w io.Writer) (*os.File, bool) {
	if p, ok := w.(*printable); ok {
		w = p.w
	}
	f, ok := w.(*os.File)
	return f, ok
}

// Limits on what is printed of one text from a record or a file.
const (
	longestCell    = 500  // characters of a table's cell
	longestMessage = 2000 // characters of an error
)

// plain returns a text on one line without controls. If it is longer than limit characters, the
// middle is left out.
func plain(text string, limit int) string {
	var b strings.Builder
	for _, r := range shorten(text, limit) {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case unicode.IsPrint(r) || r == '\u200c' || r == '\u200d' || r == '\u2068' || r == '\u2069':
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteToASCII(string(r)), `"`))
		}
	}
	return b.String()
}

// shorten leaves out the middle of a text that is longer than limit characters.
func shorten(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit || utf8.RuneCountInString(text) <= limit {
		return text
	}
	r := []rune(text)
	head, tail := limit*2/3, limit/3
	return fmt.Sprintf("%s … (%d characters) … %s", string(r[:head]), len(r)-head-tail, string(r[len(r)-tail:]))
}

// complain prints an error or a warning.
func complain(w io.Writer, err error) {
	var lines []string
	for _, line := range strings.Split(shorten(strings.TrimSpace(err.Error()), longestMessage), "\n") {
		lines = append(lines, plain(line, longestMessage))
	}
	fmt.Fprintln(w, "ablate:", strings.Join(lines, "\n"))
}
