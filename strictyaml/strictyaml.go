// Package strictyaml reads YAML that people write by hand, strictly. An unknown, repeated or
// upper-case key, a value of the wrong type and a second document are errors that name file, line
// and the nearest valid name.
//
// Values remember through merges where they were written, so an error in a study names the file
// from which the value was inherited. (viper, which reads the program's settings, lower-cases keys,
// drops empty mappings and forgets order and lines, so it cannot read studies and nets.)
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits on what Parse accepts: far above any study, far below what harms.
const (
	MaxBytes = 1 << 20
	MaxDepth = 64
	MaxNodes = 200_000
)

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

	key    string // its place in the document, dotted: train.lr
	text   string
	quoted bool // written as a string, even if it looks like a number
	items  []*Node
	keys   []string
	values map[string]*Node
}

// Parse reads one document. An empty document is Null.
func Parse(file string, text []byte) (*Node, error) {
	if len(text) > MaxBytes {
		return nil, &Error{Pos: file, Msg: fmt.Sprintf("%d bytes of YAML; want at most %d", len(text), MaxBytes)}
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
		return nil, &Error{Pos: pos(file, second.Line), Msg: "a second document; a file holds only one"}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(file, err)
	}
	c := converter{file: file}
	return c.node(doc.Content[0], "", 0)
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

func (c *converter) node(y *yaml.Node, key string, depth int) (*Node, error) {
	n := &Node{File: c.file, Line: y.Line, key: key}
	if c.count++; c.count > MaxNodes || depth > MaxDepth {
		return nil, n.Errorf("the document is too large or too deeply nested")
	}
	switch y.Kind {
	case yaml.ScalarNode:
		if y.Tag == "!!null" {
			return n, nil
		}
		const quoted = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
		n.Kind, n.text, n.quoted = Scalar, y.Value, y.Style&quoted != 0
		return n, nil
	case yaml.SequenceNode:
		n.Kind = List
		for _, item := range y.Content {
			v, err := c.node(item, key, depth+1)
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
	prefix := n.key
	if prefix != "" {
		prefix += "."
	}
	for i := 0; i < len(y.Content); i += 2 {
		k := y.Content[i]
		at := &Node{File: c.file, Line: k.Line}
		key := k.Value
		switch {
		case k.Kind != yaml.ScalarNode || key == "":
			return at.Errorf("a key must be a word")
		case key != strings.ToLower(key) && !free(n.key):
			return at.Errorf("key %q: keys are lower-case; write %s", key, strings.ToLower(key))
		case n.values[key] != nil:
			return at.Errorf("key %s appears twice, first on line %d", key, n.values[key].Line)
		}
		v, err := c.node(y.Content[i+1], prefix+key, depth+1)
		if err != nil {
			return err
		}
		v.Line = k.Line // an error about a value points at its key
		n.keys = append(n.keys, key)
		n.values[key] = v
	}
	return nil
}

// freeKeys lists the mappings with keys of the user's choice, which a user's program reads.
var freeKeys = []string{"params", "trainer.env", "metrics"}

// free reports whether the keys below a path may have any case.
func free(path string) bool {
	return slices.ContainsFunc(freeKeys, func(k string) bool { return path == k || strings.HasPrefix(path, k+".") })
}

// Value parses the value of a --set; origin takes the place of file and line.
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

// Pos returns file:line.
func (n *Node) Pos() string {
	if n.Line == 0 {
		return n.File
	}
	return pos(n.File, n.Line)
}

// Errorf returns an Error at the node's place.
func (n *Node) Errorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Pos: n.Pos(), Key: n.key, Msg: err.Error(), Err: errors.Unwrap(err)}
}

// wants returns an Error about a value of the wrong type: "epochs wants a whole number, found …".
func (n *Node) wants(what string) error {
	name := n.key[strings.LastIndexByte(n.key, '.')+1:]
	if name == "" {
		return n.Errorf("wants %s, found %s", what, n.describe())
	}
	return n.Errorf("%s wants %s, found %s", name, what, n.describe())
}

// At returns the value at a dotted path or, if that was not written, the closest mapping above it.
func (n *Node) At(path string) *Node {
	for _, key := range strings.Split(path, ".") {
		v := n.values[key]
		if v == nil {
			return n
		}
		n = v
	}
	return n
}

// under returns the node as if it had been written at another path.
func (n *Node) under(path string) *Node {
	c := *n
	c.key = path
	return &c
}

// Keys returns a mapping's keys in the order in which they were written.
func (n *Node) Keys() []string { return n.keys }

// Get returns the value of a mapping's key, and nil if it has none.
func (n *Node) Get(key string) *Node { return n.values[key] }

// Items returns a list's values.
func (n *Node) Items() []*Node { return n.items }

// Text returns a scalar as it was written.
func (n *Node) Text() string { return n.text }

// Without returns the mapping without some keys.
func (n *Node) Without(keys ...string) *Node {
	c := *n
	c.keys = slices.DeleteFunc(slices.Clone(n.keys), func(k string) bool { return slices.Contains(keys, k) })
	c.values = map[string]*Node{}
	for _, k := range c.keys {
		c.values[k] = n.values[k]
	}
	return &c
}

// One takes apart a mapping with a single key, the form `- conv: {…}`. what names the thing in
// errors.
func (n *Node) One(what string) (key string, value *Node, err error) {
	if n.Kind != Mapping || len(n.keys) != 1 {
		return "", nil, n.Errorf("%s is a mapping with one key, as in `- key: {…}`; found %s", what, n.describe())
	}
	return n.keys[0], n.values[n.keys[0]], nil
}

func (n *Node) describe() string {
	switch n.Kind {
	case Scalar:
		return Quote(n.text)
	case Mapping:
		return fmt.Sprintf("a mapping of %s", counted(len(n.keys), "key"))
	default:
		return n.Kind.String()
	}
}

// Merge merges over onto base: mappings merge key by key, null drops a key of base, and everything
// else is replaced. It changes neither.
func Merge(base, over *Node) *Node {
	if base == nil || over == nil || base.Kind != Mapping || over.Kind != Mapping {
		if over == nil {
			return base
		}
		return over
	}
	m := &Node{Kind: Mapping, File: over.File, Line: over.Line, key: over.key}
	m.keys, m.values = slices.Clone(base.keys), map[string]*Node{}
	for _, k := range base.keys {
		m.values[k] = base.values[k]
	}
	dropped := map[string]bool{}
	for _, k := range over.keys {
		_, inherited := m.values[k]
		if inherited && over.values[k].Kind == Null {
			delete(m.values, k)
			dropped[k] = true
			continue
		}
		if !inherited {
			m.keys = append(m.keys, k)
		}
		m.values[k] = Merge(base.values[k], over.values[k])
	}
	m.keys = slices.DeleteFunc(m.keys, func(k string) bool { return dropped[k] })
	return m
}

// SetPath returns a copy in which the value at a dotted path is v. It creates missing mappings on
// the way.
func (n *Node) SetPath(path string, v *Node) (*Node, error) {
	keys := strings.Split(path, ".")
	over := v.under(path)
	for i := len(keys) - 1; i >= 0; i-- {
		key := keys[i]
		if key == "" || key != strings.ToLower(key) && !free(strings.Join(keys[:i], ".")) {
			return nil, v.Errorf("%q is not a path of lower-case keys", path)
		}
		over = &Node{Kind: Mapping, File: v.File, Line: v.Line, key: strings.Join(keys[:i], "."),
			keys: []string{key}, values: map[string]*Node{key: over}}
	}
	return Merge(n, over), nil
}

// ExpandEnv replaces ${NAME} in scalars by environment variables. A variable that is not set is an
// error; $${ is a literal ${.
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

// ReadFile reads a file that a user named. Before reading, it refuses files that are not regular,
// which might never end, and files that are longer than Parse accepts.
func ReadFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, pathError(name, err)
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", Plain(name))
	case info.Size() > MaxBytes:
		return nil, fmt.Errorf("%s has %d bytes; want at most %d", Plain(name), info.Size(), MaxBytes)
	case info.Size() == 0: // such as files in /proc, which may have any content
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, pathError(name, err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxBytes+1)) // one byte more than Parse accepts, in case the file has grown
}

// pathError keeps the file name in a message short and printable.
func pathError(name string, err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return fmt.Errorf("open %s: %w", Plain(name), e.Err)
	}
	return err
}
