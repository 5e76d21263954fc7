package strictyaml

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// An Error says what is wrong and where.
type Error struct {
	Pos string // file:line, "" where that is not known
	Key string // the key that is wrong, dotted (train.lr), "" if it is none
	Msg string
	Err error // what it wraps, if anything
}

// Error is one line without control characters, cut where it is very long.
func (e *Error) Error() string {
	if e.Pos == "" {
		return line(e.Msg)
	}
	return line(e.Pos + ": " + e.Msg)
}

func (e *Error) Unwrap() error { return e.Err }

// maxLine is how much of a message is shown.
const maxLine = 400

// line makes one printable line of a text.
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

// maxQuoted is how much of a word that somebody wrote a message repeats.
const maxQuoted = 80

// Quote is a word as messages show what somebody wrote: in quotation marks, on
// one line, without control characters, and cut where it is long.
func Quote(word string) string {
	if len(word) > maxQuoted {
		word = strings.ToValidUTF8(word[:maxQuoted], "") + "…"
	}
	return strconv.Quote(word)
}

// Plain is Quote without quotation marks for a word that needs none.
func Plain(word string) string {
	if word == "" || len(word) > maxQuoted || strings.ContainsFunc(word, unprintable) {
		return Quote(word)
	}
	return word
}

// Unknown is the error for a word that is none of names, with the nearest of them.
func Unknown(at *Node, what, word string, names []string) error {
	return at.Errorf("unknown %s %s%s", what, Plain(word), Suggest(word, names))
}

// Suggest ends a message about a word that is none of names: with the nearest of them, or with all.
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

// counted is "1 key", "2 keys".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Nearest is the candidate with the smallest edit distance to word, if one is near: within a third of its length, or 2.
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

// distance is Levenshtein's.
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
