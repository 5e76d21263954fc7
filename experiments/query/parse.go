// Package query selects and sorts runs by anything that is recorded about them:
//
//	train.lr > 0.01 and (status = done or status = diverged) and tag = paper
//
// A name is a column of `ablate export runs`, a key of the recipe, or one of tag, note, host,
// threads and metric.NAME, the last value of a metric. The comparisons are = != < <= > >= and ~,
// which searches text; they can be combined with and, or, not and brackets.
package query

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ErrQuery reports an expression that cannot be parsed or does not fit the records.
var ErrQuery = errors.New("bad expression")

// An Expr selects runs.
type Expr struct{ root node }

// A node is a part of an expression.
type node interface {
	match(r Run) (bool, error)
	each(do func(compare))
}

type (
	both    struct{ a, b node }
	either  struct{ a, b node }
	not     struct{ a node }
	compare struct {
		name, op string
		value    literal
		at       int // position of the name, in characters from 1
	}
)

// A literal is a value as written.
type literal struct {
	text   string
	quoted bool
}

// Limits, so that a request cannot exhaust a server's memory.
const (
	longest = 10_000 // bytes of an expression
	deepest = 100    // nested brackets and nots
)

type parser struct {
	text  string
	at    int // bytes read
	depth int
}

// Parse parses an expression.
func Parse(text string) (*Expr, error) {
	if len(text) > longest {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrQuery, longest)
	}
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("%w: it is not UTF-8", ErrQuery)
	}
	p := &parser{text: text}
	root, err := p.either()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(p.text) {
		return nil, p.errorf("want and, or, or the end")
	}
	return &Expr{root}, nil
}

// errorf returns an error with its position in the text.
func (p *parser) errorf(format string, args ...any) error {
	rest := p.text[p.at:]
	if r := []rune(rest); len(r) > 20 {
		rest = string(r[:20]) + "…"
	}
	where := "at its end"
	if rest != "" {
		where = fmt.Sprintf("at character %d, %q", utf8.RuneCountInString(p.text[:p.at])+1, rest)
	}
	return fmt.Errorf("%w: %s: %s", ErrQuery, where, fmt.Sprintf(format, args...))
}

func (p *parser) space() {
	p.at = len(p.text) - len(strings.TrimLeftFunc(p.text[p.at:], unicode.IsSpace))
}

// word consumes a word if it comes next as a whole.
func (p *parser) word(w string) bool {
	p.space()
	rest := p.text[p.at:]
	if len(rest) < len(w) || !strings.EqualFold(rest[:len(w)], w) {
		return false
	}
	if next, _ := utf8.DecodeRuneInString(rest[len(w):]); len(rest) > len(w) && isName(next) {
		return false
	}
	p.at += len(w)
	return true
}

// sign consumes punctuation if it comes next.
func (p *parser) sign(s string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.at:], s) {
		return false
	}
	p.at += len(s)
	return true
}

func (p *parser) either() (node, error) {
	a, err := p.both()
	for err == nil && p.word("or") {
		var b node
		b, err = p.both()
		a = either{a, b}
	}
	return a, err
}

func (p *parser) both() (node, error) {
	a, err := p.one()
	for err == nil && p.word("and") {
		var b node
		b, err = p.one()
		a = both{a, b}
	}
	return a, err
}

func (p *parser) one() (node, error) {
	if p.depth++; p.depth > deepest {
		return nil, p.errorf("more than %d nested brackets", deepest)
	}
	defer func() { p.depth-- }()
	if p.word("not") {
		a, err := p.one()
		return not{a}, err
	}
	if p.sign("(") {
		a, err := p.either()
		if err == nil && !p.sign(")") {
			err = p.errorf("want )")
		}
		return a, err
	}
	return p.compare()
}

// operators lists the operators, longer ones first.
var operators = []string{"!=", "<=", ">=", "==", "=", "<", ">", "~"}

func (p *parser) compare() (node, error) {
	p.space()
	c := compare{at: utf8.RuneCountInString(p.text[:p.at]) + 1}
	if c.name = p.run(isName); c.name == "" {
		return nil, p.errorf("want a name, such as status or train.lr")
	}
	for _, op := range operators {
		if p.sign(op) {
			c.op = strings.Replace(op, "==", "=", 1)
			break
		}
	}
	if c.op == "" {
		return nil, p.errorf("want = != < <= > >= or ~ after %s", c.name)
	}
	var err error
	c.value, err = p.literal()
	return c, err
}

// run consumes wanted characters.
func (p *parser) run(want func(rune) bool) string {
	rest := strings.TrimLeftFunc(p.text[p.at:], want)
	taken := p.text[p.at : len(p.text)-len(rest)]
	p.at += len(taken)
	return taken
}

func isName(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_.+-", r)
}

// isBare reports whether a character may be part of a value without quotes: a time, a number, a
// share or a name.
func isBare(r rune) bool { return isName(r) || strings.ContainsRune(":/%", r) }

func (p *parser) literal() (literal, error) {
	p.space()
	for _, quote := range []string{"'", `"`} {
		if !p.sign(quote) {
			continue
		}
		text, _, ok := strings.Cut(p.text[p.at:], quote)
		if !ok {
			return literal{}, p.errorf("the quotation mark %s is not closed", quote)
		}
		p.at += len(text) + 1
		return literal{text, true}, nil
	}
	text := p.run(isBare)
	if text == "" {
		return literal{}, p.errorf("want a value: a number, a name, or text in quotation marks")
	}
	return literal{text: text}, nil
}

// number parses a number or a percentage.
func (l literal) number() (float64, bool) {
	text, percent := strings.CutSuffix(l.text, "%")
	v, err := strconv.ParseFloat(text, 64)
	if percent {
		v /= 100
	}
	return v, err == nil && !l.quoted
}

// layouts lists the forms of times, in the local zone.
var layouts = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}

// time parses a time, or today and yesterday, which begin at midnight.
func (l literal) time(now time.Time) (time.Time, bool) {
	year, month, day := now.Local().Date()
	switch strings.ToLower(l.text) {
	case "today":
		return time.Date(year, month, day, 0, 0, 0, 0, time.Local), true
	case "yesterday":
		return time.Date(year, month, day-1, 0, 0, 0, 0, time.Local), true
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, l.text, time.Local); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
