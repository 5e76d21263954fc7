package strictyaml

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Bounds hold what a field's tags allow:
//
//	min:"1" max:"1024"      a number in this range, both ends included
//	above:"0" below:"1"     the same, without the ends
//	oneof:"gaussian he"     one of these words
//	items:"64"              a list no longer than this
//
// If JSON leaves an empty word out (omitempty), it stands for the first word of oneof. On a list,
// the numbers apply to its items. The documentation and the schema of a key show the same tags.
type Bounds struct {
	Min, Max     float64 // -∞ and +∞ if there is no bound
	Above, Below bool    // the bound itself is not allowed
	OneOf        []string
	Zero         string // the word for which the empty string stands
	Items        int    // 0 means no bound
}

// BoundsOf reads a field's tags.
func BoundsOf(tag reflect.StructTag) Bounds {
	b := Bounds{Min: math.Inf(-1), Max: math.Inf(1)}
	for key, set := range map[string]func(float64){
		"min":   func(x float64) { b.Min = x },
		"max":   func(x float64) { b.Max = x },
		"above": func(x float64) { b.Min, b.Above = x, true },
		"below": func(x float64) { b.Max, b.Below = x, true },
		"items": func(x float64) { b.Items = int(x) },
	} {
		text, ok := tag.Lookup(key)
		if !ok {
			continue
		}
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			panic(fmt.Sprintf("tag %s:%q: %v", key, text, err)) // a test reads every tag
		}
		set(x)
	}
	if words, ok := tag.Lookup("oneof"); ok {
		b.OneOf = strings.Fields(words)
		if strings.HasSuffix(tag.Get("json"), ",omitempty") {
			b.Zero = b.OneOf[0]
		}
	}
	return b
}

// Range describes the allowed numbers: "from 1 to 1024", "above 0", or "" for all.
func (b Bounds) Range() string {
	low, high := "", ""
	if b.Below {
		high = "below " + short(b.Max)
	}
	switch {
	case b.Above:
		low = "above " + short(b.Min)
	case b.Min > math.Inf(-1) && b.Below:
		return fmt.Sprintf("from %s to %s", short(b.Min), high)
	case b.Min > math.Inf(-1) && b.Max < math.Inf(1):
		return fmt.Sprintf("from %s to %s", short(b.Min), short(b.Max))
	case b.Min > math.Inf(-1):
		low = "at least " + short(b.Min)
	}
	if b.Max < math.Inf(1) && !b.Below {
		high = "at most " + short(b.Max)
	}
	if low != "" && high != "" {
		return low + " and " + high
	}
	return low + high
}

// Allow reports whether a number lies within the bounds.
func (b Bounds) Allow(x float64) bool {
	return (x > b.Min || !b.Above && x == b.Min) && (x < b.Max || !b.Below && x == b.Max)
}

// short formats numbers as in 1,048,576 and 0.5.
func short(x float64) string {
	if x != math.Trunc(x) || math.Abs(x) >= 1e15 {
		return strconv.FormatFloat(x, 'g', -1, 64)
	}
	s := strconv.FormatFloat(math.Abs(x), 'f', -1, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if x < 0 {
		s = "−" + s
	}
	return s
}

// CheckBounds returns the error of the first value in a struct, or in a struct inside it, that the
// field's tags do not allow. The key in the error is dotted and begins with prefix; the message
// begins with the key.
func CheckBounds(of any, prefix string) error {
	return checkStruct(reflect.Indirect(reflect.ValueOf(of)), prefix)
}

func checkStruct(v reflect.Value, prefix string) error {
	if prefix != "" {
		prefix += "."
	}
	for f, value := range Fields(v) {
		if value.IsZero() && strings.HasSuffix(f.Tag.Get("json"), ",omitzero") {
			continue // a missing mapping
		}
		if err := checkValue(value, prefix+f.Tag.Get("yaml"), BoundsOf(f.Tag)); err != nil {
			return err
		}
	}
	return nil
}

func checkValue(v reflect.Value, key string, b Bounds) error {
	switch v.Kind() {
	case reflect.Int:
		// Bounds are far below 2^53, so that no whole number is rounded into them.
		if !b.Allow(float64(v.Int())) {
			return outside(key, fmt.Sprint(v.Int()), b)
		}
	case reflect.Float64:
		if x := v.Float(); !b.Allow(x) || math.IsNaN(x) || math.IsInf(x, 0) {
			return outside(key, fmt.Sprint(x), b)
		}
	case reflect.String:
		if b.OneOf != nil && !slices.Contains(b.OneOf, v.String()) && (v.String() != "" || b.Zero == "") {
			return &Error{Key: key, Msg: fmt.Sprintf("%s is %s; known: %s", key, Quote(v.String()), strings.Join(b.OneOf, ", "))}
		}
	case reflect.Struct:
		return checkStruct(v, key)
	case reflect.Slice:
		if b.Items > 0 && v.Len() > b.Items {
			return &Error{Key: key, Msg: fmt.Sprintf("%s has %d entries; want at most %d", key, v.Len(), b.Items)}
		}
		for i := range v.Len() {
			if err := checkValue(v.Index(i), key, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func outside(key, value string, b Bounds) error {
	want := b.Range()
	if want == "" {
		want = "a finite number"
	}
	return &Error{Key: key, Msg: fmt.Sprintf("%s is %s; it must be %s", key, value, want)}
}
