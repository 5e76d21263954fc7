package strictyaml

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// JSON returns the value as encoding/json would read it with UseNumber: nil, bool, json.Number,
// string, []any or map[string]any. A float stays a float (1.0), for programs that distinguish the
// two.
func (n *Node) JSON() (any, error) {
	switch n.Kind {
	case List:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			v, err := item.JSON()
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	case Mapping:
		m := make(map[string]any, len(n.keys))
		for _, k := range n.keys {
			v, err := n.values[k].JSON()
			if err != nil {
				return nil, err
			}
			m[k] = v
		}
		return m, nil
	case Scalar:
		return n.scalar()
	}
	return nil, nil
}

func (n *Node) scalar() (any, error) {
	if n.quoted {
		return n.text, nil
	}
	switch n.text {
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	case "":
		return "", nil
	}
	if strings.IndexByte("+-.0123456789", n.text[0]) < 0 {
		return n.text, nil
	}
	text := strings.ReplaceAll(n.text, "_", "")
	base := 0
	if octal(text) {
		base = 10
	}
	if i, err := strconv.ParseInt(strings.TrimPrefix(text, "+"), base, 64); err == nil {
		return json.Number(strconv.FormatInt(i, 10)), nil
	}
	switch strings.ToLower(strings.TrimLeft(text, "+-")) {
	case ".inf", ".nan":
		return nil, n.Errorf("%s is %s, which JSON cannot express", n.key, n.text)
	}
	if strings.ContainsAny(text, "xXpPoObBiInN") {
		return n.text, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return n.text, nil
	}
	return Float(f), nil
}

// octal reports whether a number begins with 0 like an octal number in C. YAML 1.2 reads 010 as
// ten; people may mean either.
func octal(text string) bool {
	digits := strings.TrimLeft(text, "+-")
	return len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9'
}

// Float formats a finite number so that it reads back as the same float: 1.0, 0.001, 1e-07.
func Float(f float64) json.Number {
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return json.Number(text)
}
