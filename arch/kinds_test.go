package arch

import (
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"ablate/strictyaml"
)

// example is a layer of a kind with the example of every key that must be written, or of all keys.
func example(t *testing.T, kind string, all bool) string {
	t.Helper()
	spec := New(kind)
	var keys []string
	for f, v := range strictyaml.Fields(reflect.ValueOf(spec).Elem()) {
		if f.Tag.Get("example") == "" {
			t.Errorf("%s: key %s has no example", kind, f.Tag.Get("yaml"))
		}
		if all || v.IsZero() && (f.Type.Kind() == reflect.Int || f.Type.Kind() == reflect.Float64 ||
			f.Type.Kind() == reflect.Pointer || f.Tag.Get("required") == "true") {
			keys = append(keys, f.Tag.Get("yaml")+": "+f.Tag.Get("example"))
		}
	}
	return fmt.Sprintf("%s: {%s}", kind, strings.Join(keys, ", "))
}

func parseLayer(t *testing.T, text string) (Layer, error) {
	t.Helper()
	n, err := strictyaml.Parse("l.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var l Layer
	return l, n.Decode(&l)
}

// Every kind that is registered has its word, a stem, words for listings, and examples that can be read.
func TestKindsAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, kind := range Kinds() {
		if seen[kind] {
			t.Errorf("two kinds are called %s", kind)
		}
		seen[kind] = true
		spec := New(kind)
		if spec.Kind() != kind || spec.stem() == "" {
			t.Errorf("%s: a new one is a %s, called %q", kind, spec.Kind(), spec.stem())
		}
		text := example(t, kind, true)
		if kind == "conv" || kind == "local" {
			text = strings.Replace(text, "groups: 2, ", "", 1) // within_column says it
		}
		l, err := parseLayer(t, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := l.Spec.Words(LayerInfo{Layer: l, Groups: 1}); !strings.HasPrefix(got, kind) {
			t.Errorf("%s: its words are %q", kind, got)
		}
		for f, v := range strictyaml.Fields(reflect.ValueOf(l.Spec).Elem()) {
			if v.Kind() == reflect.Struct {
				checkTags(t, kind, v)
			}
			checkTag(t, kind, f)
		}
	}
}

func checkTags(t *testing.T, kind string, v reflect.Value) {
	t.Helper()
	for f := range strictyaml.Fields(v) {
		checkTag(t, kind, f)
	}
}

// checkTag wants both ends of a range from every number.
func checkTag(t *testing.T, kind string, f reflect.StructField) {
	t.Helper()
	of := f.Type
	if of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if b := strictyaml.BoundsOf(f.Tag); (of.Kind() == reflect.Int || of.Kind() == reflect.Float64) &&
		(math.IsInf(b.Min, 0) || math.IsInf(b.Max, 0)) {
		t.Errorf("%s: key %s has no bounds", kind, f.Tag.Get("yaml"))
	}
}

// What the documentation says of a key's range is what is read: one beyond either end is refused.
func TestRangesAreChecked(t *testing.T) {
	for _, kind := range Kinds() {
		for f := range strictyaml.Fields(reflect.ValueOf(New(kind)).Elem()) {
			b := strictyaml.BoundsOf(f.Tag)
			key := f.Tag.Get("yaml")
			for _, beyond := range []float64{b.Min - 1, b.Max + 1} {
				if math.IsInf(beyond, 0) {
					continue
				}
				value := fmt.Sprintf("%.0f", beyond)
				if f.Type.Kind() == reflect.Slice {
					value = "[" + value + "]"
				}
				l, err := parseLayer(t, withInit(example(t, kind, false)))
				if err != nil {
					t.Fatal(err)
				}
				v, err := strictyaml.Value("test", value)
				if err != nil {
					t.Fatal(err)
				}
				if err := l.Set(key, v); err == nil {
					t.Errorf("%s: %s %s was read, the documentation says %s", kind, key, value, b.Range())
				}
			}
		}
	}
}

// withInit adds the one mapping that a gaussian start needs.
func withInit(layer string) string {
	for _, kind := range []string{"conv", "local", "dense"} {
		if strings.HasPrefix(layer, kind+":") {
			return strings.Replace(layer, "{", "{init: {kind: he}, ", 1)
		}
	}
	return layer
}

// Sizes that overflow 64 bits when they are multiplied are refused, as is what
// merely needs more memory than any machine has.
func TestHugeSizes(t *testing.T) {
	for _, layer := range []string{
		"conv: {filters: 4, kernel: 3000000000, pad: 3000000000, init: {kind: he}}",
		"conv: {filters: 1048576, kernel: 16384, pad: 16384, init: {kind: he}}",
		"conv: {filters: 4, kernel: 3, stride: 1000000000000, init: {kind: he}}",
		"conv: {filters: 4, kernel: 3, pad: 9223372036854775807, init: {kind: he}}",
		"local: {filters: 1048576, kernel: 8, pad: 1000, init: {kind: he}}",
		"lrn: {size: 9223372036854775807, alpha: 1, beta: 1, k: 1, alpha_over_size: true}",
		"maxpool: {kernel: 9223372036854775807, stride: 9223372036854775807}",
		"spatialpyramid: {levels: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]}",
		"spatialpyramid: {levels: [9223372036854775807]}",
		"dense: {outputs: 9223372036854775807, init: {kind: he}}",
		"maxout: {pieces: 9223372036854775807}",
	} {
		n, err := Parse("x.yaml", []byte(head+"  - "+
			layer+"\n  - dense: {outputs: 2, init: {kind: he}}\n  - softmax_loss: {}\n"))
		if err == nil {
			_, err = n.Infer()
		}
		if err == nil || len(err.Error()) > 300 {
			t.Errorf("%s: %v", layer, err)
		}
	}
}

// A type with the methods of a kind is registered.
func TestEveryKindIsRegistered(t *testing.T) {
	registered := map[string]bool{}
	for _, k := range kinds() {
		registered[reflect.TypeOf(k).Elem().Name()] = true
	}
	files, err := fs.Glob(source, "*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		text, err := source.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`func \(\w* ?\*(\w+)\) Kind\(\) string`).FindAllSubmatch(text, -1) {
			if found++; !registered[string(m[1])] {
				t.Errorf("%s: %s is not registered: call kind", file, m[1])
			}
		}
	}
	if found != len(kinds()) {
		t.Errorf("%d types have the methods of a kind, %d are registered", found, len(kinds()))
	}
}
