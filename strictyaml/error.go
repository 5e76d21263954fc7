package strictyaml

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// An Error says what is wrong and where.
type Error struct {
	Pos string // file:line, or "" if unknown
	Key string // the wrong key, dotted (train.lr), or "" if it is not about a key
	Msg string
	Err error // the wrapped error, if any
}

// Error returns one line without control characters; a very long one is cut.
func (e *Error) Error() string {
	if e.Pos == "" {
		return line(e.Msg)
	}
	return line(e.Pos + ": " + e.Msg)
}

func (e *Error) Unwrap() error { return e.Err }

// maxLine limits the shown length of a message.
const maxLine = 400

// line turns a text into one printable line.
func line(text string) string {
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	if !strings.ContainsFunc(text, unprintable) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unprintable(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }

// maxQuoted limits how much of a user's word a message repeats.
const maxQuoted = 80

// Quote formats a user's word for messages: in quotation marks, on one line, without control
// characters, and cut if it is long.
func Quote(word string) string {
	if len(word) > maxQuoted {
		word = strings.ToValidUTF8(word[:maxQuoted], "") + "…"
	}
	return strconv.Quote(word)
}

// Plain is like Quote, but leaves out the quotation marks if the word needs none.
func Plain(word string) string {
	if word == "" || len(word) > maxQuoted || strings.ContainsFunc(word, unprintable) {
		return Quote(word)
	}
	return word
}

// Unknown returns the error for a word that is none of names, with the nearest of them.
func Unknown(at *Node, what, word string, names []string) error {
	return at.Errorf("unknown %s %s%s", what, Plain(word), Suggest(word, names))
}

// Suggest returns the end of a message about a word that is none of names: the nearest name, or all
// of them.
func Suggest(word string, names []string) string {
	if near, ok := Nearest(word, names); ok {
		return "; did you mean " + near + "?"
	}
	const most = 16
	if len(names) > most {
		return fmt.Sprintf("; known: %s … (%d in all)", strings.Join(names[:most], ", "), len(names))
	}
	return "; known: " + strings.Join(names, ", ")
}

// counted formats a count: "1 key", "2 keys".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Nearest returns the candidate with the smallest edit distance to word, if it is at most a third
// of the word's length, or 2.
func Nearest(word string, candidates []string) (string, bool) {
	best, dist := "", max(2, min(len(word), maxQuoted)/3)+1
	if len(word) > maxQuoted {
		return "", false
	}
	for _, c := range candidates {
		if d := distance(word, c); d < dist {
			best, dist = c, d
		}
	}
	return best, best != ""
}

// distance returns the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
