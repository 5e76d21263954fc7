// Package strictyaml reads YAML that people write by hand and is strict about
// it: an unknown, repeated or upper-case key, a value of the wrong type, a
// second document are errors that tell file, line and the nearest right name.
//
// Values remember where they were written through merges, so that an error in
// a study names the file it was inherited from. (viper, which reads the
// program's settings, lower-cases keys, drops empty mappings and forgets order
// and lines; none of that will do for studies and nets.)
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds on what Parse accepts: far above any study, far below what hurts.
const (
	MaxBytes = 4 << 20
	MaxDepth = 64
	MaxNodes = 200_000
)

// An Error says what is wrong and where.
type Error struct {
	Pos, Msg string
	Err      error // what it wraps, if anything
}

func (e *Error) Error() string { return e.Pos + ": " + e.Msg }
func (e *Error) Unwrap() error { return e.Err }

// A Kind is the kind of a Node.
type Kind int

// The kinds.
const (
	Null Kind = iota
	Scalar
	List
	Mapping
)

func (k Kind) String() string { return [...]string{"nothing", "a value", "a list", "a mapping"}[k] }

// A Node is a YAML value that knows where it was written.
type Node struct {
	Kind Kind
	File string
	Line int

	text   string
	quoted bool // written as a string, whatever it looks like
	items  []*Node
	keys   []string
	values map[string]*Node
}

// Parse reads one document. An empty one is Null.
func Parse(file string, text []byte) (*Node, error) {
	if len(text) > MaxBytes {
		return nil, &Error{Pos: file, Msg: fmt.Sprintf("%d bytes of YAML, at most %d are read", len(text), MaxBytes)}
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return &Node{File: file, Line: 1}, nil
	} else if err != nil {
		return nil, syntaxError(file, err)
	}
	var second yaml.Node
	if err := d.Decode(&second); err == nil {
		return nil, &Error{Pos: pos(file, second.Line), Msg: "a second document; one file holds one"}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(file, err)
	}
	c := converter{file: file}
	return c.node(doc.Content[0], 0)
}

// syntaxError rewords "yaml: line 3: …" as file:3: ….
func syntaxError(file string, err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(msg, "line "); ok {
		if line, text, ok := strings.Cut(rest, ": "); ok {
			return &Error{Pos: file + ":" + line, Msg: text}
		}
	}
	return &Error{Pos: file, Msg: msg}
}

func pos(file string, line int) string { return file + ":" + strconv.Itoa(line) }

type converter struct {
	file  string
	count int
}

func (c *converter) node(y *yaml.Node, depth int) (*Node, error) {
	n := &Node{File: c.file, Line: y.Line}
	if c.count++; c.count > MaxNodes || depth > MaxDepth {
		return nil, n.Errorf("the document is too large or too deep")
	}
	switch y.Kind {
	case yaml.ScalarNode:
		if y.Tag == "!!null" {
			return n, nil
		}
		n.Kind, n.text, n.quoted = Scalar, y.Value, y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
		return n, nil
	case yaml.SequenceNode:
		n.Kind = List
		for _, item := range y.Content {
			v, err := c.node(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, v)
		}
		return n, nil
	case yaml.MappingNode:
		return n, c.mapping(n, y, depth)
	default:
		return nil, n.Errorf("anchors and aliases are not supported; write the value out, or use extends")
	}
}

func (c *converter) mapping(n *Node, y *yaml.Node, depth int) error {
	n.Kind, n.values = Mapping, map[string]*Node{}
	for i := 0; i < len(y.Content); i += 2 {
		k := y.Content[i]
		at := &Node{File: c.file, Line: k.Line}
		key := k.Value
		switch {
		case k.Kind != yaml.ScalarNode || key == "":
			return at.Errorf("a key must be a word")
		case key != strings.ToLower(key):
			return at.Errorf("key %q: keys are lower-case; write %s", key, strings.ToLower(key))
		case n.values[key] != nil:
			return at.Errorf("key %s is given twice, first on line %d", key, n.values[key].Line)
		}
		v, err := c.node(y.Content[i+1], depth+1)
		if err != nil {
			return err
		}
		v.Line = k.Line // an error about a value points at its key
		n.keys = append(n.keys, key)
		n.values[key] = v
	}
	return nil
}

// Value parses the value of a --set; origin stands where others have file and line.
func Value(origin, text string) (*Node, error) {
	n, err := Parse(origin, []byte(text))
	if err != nil {
		return nil, &Error{Pos: origin, Msg: "not a YAML value: " + text}
	}
	n.each(func(n *Node) { n.Line = 0 })
	return n, nil
}

func (n *Node) each(f func(*Node)) {
	f(n)
	for _, v := range n.items {
		v.each(f)
	}
	for _, k := range n.keys {
		n.values[k].each(f)
	}
}

// Pos is file:line.
func (n *Node) Pos() string {
	if n.Line == 0 {
		return n.File
	}
	return pos(n.File, n.Line)
}

// Errorf is an Error at the node's place.
func (n *Node) Errorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{n.Pos(), err.Error(), errors.Unwrap(err)}
}

// Keys are a mapping's keys in the order written.
func (n *Node) Keys() []string { return n.keys }

// Get is the value of a mapping's key, nil if it has none.
func (n *Node) Get(key string) *Node { return n.values[key] }

// Items are a list's values.
func (n *Node) Items() []*Node { return n.items }

// Text is a scalar as written.
func (n *Node) Text() string { return n.text }

// IsNull says that nothing was written.
func (n *Node) IsNull() bool { return n.Kind == Null }

// Without is the mapping without some keys.
func (n *Node) Without(keys ...string) *Node {
	c := *n
	c.keys = slices.DeleteFunc(slices.Clone(n.keys), func(k string) bool { return slices.Contains(keys, k) })
	c.values = map[string]*Node{}
	for _, k := range c.keys {
		c.values[k] = n.values[k]
	}
	return &c
}

// One takes a mapping of a single key apart: the form `- conv: {…}`. what names the thing in errors.
func (n *Node) One(what string) (key string, value *Node, err error) {
	if n.Kind != Mapping || len(n.keys) != 1 {
		return "", nil, n.Errorf("%s is a mapping of one key, as in `- key: {…}`; found %s", what, n.describe())
	}
	return n.keys[0], n.values[n.keys[0]], nil
}

func (n *Node) describe() string {
	switch n.Kind {
	case Scalar:
		return strconv.Quote(n.text)
	case Mapping:
		return fmt.Sprintf("a mapping of %d keys", len(n.keys))
	default:
		return n.Kind.String()
	}
}

// Merge lays over on top of base: mappings merge key by key, everything else is replaced. Neither is changed.
func Merge(base, over *Node) *Node {
	if base == nil || over == nil || base.Kind != Mapping || over.Kind != Mapping {
		if over == nil {
			return base
		}
		return over
	}
	m := &Node{Kind: Mapping, File: over.File, Line: over.Line, keys: slices.Clone(base.keys), values: map[string]*Node{}}
	for _, k := range base.keys {
		m.values[k] = base.values[k]
	}
	for _, k := range over.keys {
		if _, ok := m.values[k]; !ok {
			m.keys = append(m.keys, k)
		}
		m.values[k] = Merge(base.values[k], over.values[k])
	}
	return m
}

// SetPath gives a copy in which the value at a dotted path is v, mappings on the way included.
func (n *Node) SetPath(path string, v *Node) (*Node, error) {
	keys := strings.Split(path, ".")
	over := v
	for i := len(keys) - 1; i >= 0; i-- {
		key := keys[i]
		if key == "" || key != strings.ToLower(key) {
			return nil, v.Errorf("%q is not a path of lower-case keys", path)
		}
		over = &Node{Kind: Mapping, File: v.File, Line: v.Line, keys: []string{key}, values: map[string]*Node{key: over}}
	}
	return Merge(n, over), nil
}

// ExpandEnv replaces ${NAME} in scalars by the environment's value. An unset name is an error; $${ is a literal ${.
func (n *Node) ExpandEnv(lookup func(string) (string, bool)) (*Node, error) {
	c := *n
	var err error
	switch n.Kind {
	case Scalar:
		c.text, err = n.expand(lookup)
	case List:
		c.items = make([]*Node, len(n.items))
		for i, v := range n.items {
			if c.items[i], err = v.ExpandEnv(lookup); err != nil {
				return nil, err
			}
		}
	case Mapping:
		c.values = map[string]*Node{}
		for _, k := range n.keys {
			if c.values[k], err = n.values[k].ExpandEnv(lookup); err != nil {
				return nil, err
			}
		}
	}
	return &c, err
}

func (n *Node) expand(lookup func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for rest := n.text; ; {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			b.WriteString(rest)
			return b.String(), nil
		}
		if strings.HasSuffix(before, "$") {
			b.WriteString(before + "{")
			rest = after
			continue
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed {
			return "", n.Errorf("${ without }")
		}
		value, ok := lookup(name)
		if !ok {
			return "", n.Errorf("environment variable %s is not set: export %s=…", name, name)
		}
		b.WriteString(before + value)
		rest = tail
	}
}

// An Unmarshaler reads itself from a node.
type Unmarshaler interface{ UnmarshalStrict(*Node) error }

// Decode fills a struct, map, slice or scalar. Only keys that are present are
// set, so decoding on top of defaults keeps the others.
func (n *Node) Decode(into any) error { return n.decode(reflect.ValueOf(into).Elem()) }

func (n *Node) decode(v reflect.Value) error {
	if v.CanAddr() {
		if u, ok := v.Addr().Interface().(Unmarshaler); ok {
			return u.UnmarshalStrict(n)
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return n.decode(v.Elem())
	case reflect.Struct:
		return n.decodeStruct(v)
	case reflect.Slice:
		if n.Kind != List {
			return n.Errorf("wants a list, found %s", n.describe())
		}
		s := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
		for i, item := range n.items {
			if err := item.decode(s.Index(i)); err != nil {
				return err
			}
		}
		v.Set(s)
		return nil
	case reflect.Map:
		return n.decodeMap(v)
	default:
		return n.decodeScalar(v)
	}
}

func (n *Node) decodeStruct(v reflect.Value) error {
	if n.Kind == Null { // `relu:` means the same as `relu: {}`
		return nil
	}
	if n.Kind != Mapping {
		return n.Errorf("wants a mapping of %s, found %s", strings.Join(fieldNames(v.Type()), ", "), n.describe())
	}
	given := map[uintptr]string{}
	for _, k := range n.keys {
		f, ok := field(v, k)
		if !ok {
			return n.unknown(k, fieldNames(v.Type()))
		}
		if other, twice := given[f.Addr().Pointer()]; twice {
			return n.values[k].Errorf("%s and %s are two names of the same key; leave one out", other, k)
		}
		given[f.Addr().Pointer()] = k
		if err := n.values[k].decode(f); err != nil {
			return named(err, k)
		}
	}
	return nil
}

// named puts the key before the message of a type error about its value.
func named(err error, key string) error {
	var e *Error
	if errors.As(err, &e) && strings.HasPrefix(e.Msg, "wants ") {
		return &Error{Pos: e.Pos, Msg: key + " " + e.Msg}
	}
	return err
}

// unknown says that a key is not known and which one may have been meant.
func (n *Node) unknown(key string, names []string) error {
	at := n
	if v := n.values[key]; v != nil {
		at = v
	}
	return Unknown(at, "key", key, names)
}

// Unknown is the error for a word that is none of names, with the nearest of them.
func Unknown(at *Node, what, word string, names []string) error {
	if near, ok := Nearest(word, names); ok {
		return at.Errorf("unknown %s %s; did you mean %s?", what, word, near)
	}
	return at.Errorf("unknown %s %s; known: %s", what, word, strings.Join(names, ", "))
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("yaml"); tag != "" && tag != "-" {
			names = append(names, tag)
		}
	}
	return names
}

// field finds a struct's field by its yaml tag, or by its alias tag: the name it
// had before, which is still read but never suggested.
func field(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag; tag.Get("yaml") == key || tag.Get("alias") == key && key != "" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func (n *Node) decodeMap(v reflect.Value) error {
	if n.Kind != Mapping {
		return n.Errorf("wants a mapping, found %s", n.describe())
	}
	m := reflect.MakeMap(v.Type())
	for _, k := range n.keys {
		e := reflect.New(v.Type().Elem()).Elem()
		if err := n.values[k].decode(e); err != nil {
			return err
		}
		m.SetMapIndex(reflect.ValueOf(k), e)
	}
	v.Set(m)
	return nil
}

func (n *Node) decodeScalar(v reflect.Value) error {
	fail := func(want string) error { return n.Errorf("wants %s, found %s", want, n.describe()) }
	if n.Kind != Scalar {
		return fail(wanted(v.Kind()))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.text)
	case reflect.Bool:
		if n.quoted || n.text != "true" && n.text != "false" {
			return fail("true or false")
		}
		v.SetBool(n.text == "true")
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(strings.ReplaceAll(n.text, "_", ""), 10, 64)
		if err != nil || n.quoted {
			return fail("a whole number")
		}
		v.SetInt(i)
	case reflect.Uint64:
		i, err := strconv.ParseUint(strings.ReplaceAll(n.text, "_", ""), 10, 64)
		if err != nil || n.quoted {
			return fail("a whole number, not negative")
		}
		v.SetUint(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(strings.ReplaceAll(n.text, "_", ""), 64)
		if err != nil || n.quoted || math.IsNaN(f) || math.IsInf(f, 0) || strings.ContainsAny(n.text, "xXpP") {
			return fail("a finite number")
		}
		v.SetFloat(f)
	default:
		return n.Errorf("values of type %v are not read", v.Type())
	}
	return nil
}

func wanted(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a word"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}

// Field finds the field of a struct at a dotted path of yaml names. Pointers on
// the way are followed; at is where an unknown name is reported.
func Field(of any, path string, at *Node) (reflect.Value, error) {
	v := reflect.ValueOf(of).Elem()
	for _, key := range strings.Split(path, ".") {
		for v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return v, at.Errorf("%s: nothing lies below a value", path)
		}
		f, ok := field(v, key)
		if !ok {
			return v, Unknown(at, "key", path, paths(v.Type(), strings.TrimSuffix(path, key)))
		}
		v = f
	}
	return v, nil
}

func paths(t reflect.Type, prefix string) []string {
	names := fieldNames(t)
	for i := range names {
		names[i] = prefix + names[i]
	}
	return names
}

// SetField decodes v into the field at a dotted path.
func SetField(into any, path string, v *Node) error {
	f, err := Field(into, path, v)
	if err != nil {
		return err
	}
	return named(v.decode(f), path)
}

// Nearest is the candidate with the smallest edit distance to word, if one is near: within a third of its length, or 2.
func Nearest(word string, candidates []string) (string, bool) {
	best, dist := "", max(2, len(word)/3)+1
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
