package strictyaml

import (
	"iter"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// An Unmarshaler reads itself from a node.
type Unmarshaler interface{ UnmarshalStrict(*Node) error }

// Decode fills a struct, map, slice or scalar. It sets only keys that are present, so the others
// keep their defaults.
func (n *Node) Decode(into any) error { return n.decode(reflect.ValueOf(into).Elem()) }

func (n *Node) decode(v reflect.Value) error {
	if v.CanAddr() {
		if u, ok := v.Addr().Interface().(Unmarshaler); ok {
			return u.UnmarshalStrict(n)
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.Type() == reflect.TypeFor[*Node]() {
			v.Set(reflect.ValueOf(n))
			return nil
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return n.decode(v.Elem())
	case reflect.Struct:
		return n.decodeStruct(v)
	case reflect.Slice:
		if n.Kind != List {
			return n.wants("a list")
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
	if n.Kind == Null { // `relu:` means `relu: {}`
		return nil
	}
	if n.Kind != Mapping {
		return n.wants("a mapping of " + strings.Join(fieldNames(v.Type()), ", "))
	}
	given := map[uintptr]string{}
	for _, k := range n.keys {
		f, ok := field(v, k)
		if !ok {
			return Unknown(n.values[k], "key", k, fieldNames(v.Type()))
		}
		if other, twice := given[f.Addr().Pointer()]; twice {
			return n.values[k].Errorf("%s and %s are two names of the same key; drop one of them", other, k)
		}
		given[f.Addr().Pointer()] = k
		if err := n.values[k].decode(f); err != nil {
			return err
		}
	}
	return nil
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for f := range Fields(reflect.Zero(t)) {
		names = append(names, f.Tag.Get("yaml"))
	}
	return names
}

// field finds a struct's field by its yaml tag, or by its alias tag, a former name that is still
// read but never suggested.
func field(v reflect.Value, key string) (reflect.Value, bool) {
	for f, value := range Fields(v) {
		if f.Tag.Get("yaml") == key || f.Tag.Get("alias") == key && key != "" {
			return value, true
		}
	}
	return reflect.Value{}, false
}

// Fields returns the fields of a struct that have a key in YAML, with the fields of embedded
// structs in their place.
func Fields(v reflect.Value) iter.Seq2[reflect.StructField, reflect.Value] {
	return func(yield func(reflect.StructField, reflect.Value) bool) { fields(v, yield) }
}

func fields(v reflect.Value, yield func(reflect.StructField, reflect.Value) bool) bool {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case f.Tag.Get("yaml") != "":
			if !yield(f, v.Field(i)) {
				return false
			}
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			if !fields(v.Field(i), yield) {
				return false
			}
		}
	}
	return true
}

func (n *Node) decodeMap(v reflect.Value) error {
	if n.Kind != Mapping {
		return n.wants("a mapping")
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
	if n.Kind != Scalar {
		return n.wants(wanted(v.Kind()))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.text)
	case reflect.Bool:
		if n.quoted || n.text != "true" && n.text != "false" {
			return n.wants("true or false")
		}
		v.SetBool(n.text == "true")
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(strings.ReplaceAll(n.text, "_", ""), 10, 64)
		if err != nil || n.quoted {
			return n.wants("a whole number")
		}
		v.SetInt(i)
	case reflect.Uint64:
		i, err := strconv.ParseUint(strings.ReplaceAll(n.text, "_", ""), 10, 64)
		if err != nil || n.quoted {
			return n.wants("a whole number of at least 0")
		}
		v.SetUint(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(strings.ReplaceAll(n.text, "_", ""), 64)
		if err != nil || n.quoted || math.IsNaN(f) || math.IsInf(f, 0) || strings.ContainsAny(n.text, "xXpP") {
			return n.wants("a finite number")
		}
		v.SetFloat(f)
	default:
		return n.Errorf("cannot read values of type %v", v.Type())
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

// Field finds the field of a struct at a dotted path of yaml names. It follows pointers; an unknown
// name is reported at the node at.
func Field(of any, path string, at *Node) (reflect.Value, error) {
	v := reflect.ValueOf(of).Elem()
	for _, key := range strings.Split(path, ".") {
		for v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return v, at.Errorf("%s: a value has no keys", path)
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
	return v.under(path).decode(f)
}
