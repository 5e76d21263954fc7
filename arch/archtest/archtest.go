// Package archtest makes nets for tests that must hold for every kind of layer.
package archtest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ablate/arch"
	"ablate/strictyaml"
)

// Layer is the name of the layer under test.
const Layer = "it"

// Net returns a net with a layer of a kind between two learned layers, called first and last.
// Required keys have the values of their examples.
func Net(t testing.TB, kind string) *arch.Net {
	t.Helper()
	keys := []string{"name: " + Layer}
	for f, v := range strictyaml.Fields(reflect.ValueOf(arch.New(kind)).Elem()) {
		required := slices.Contains([]reflect.Kind{reflect.Int, reflect.Float64, reflect.Pointer, reflect.Slice},
			f.Type.Kind())
		switch key := f.Tag.Get("yaml"); {
		case key == "init":
			keys = append(keys, "init: {kind: he}")
		case required && v.IsZero() && key != "groups":
			keys = append(keys, key+": "+f.Tag.Get("example"))
		}
	}
	const last = "  - dense: {name: last, outputs: 8, init: {kind: he}}\n"
	layer := fmt.Sprintf("  - %s: {%s}\n", kind, strings.Join(keys, ", "))
	text := "net: kinds\ninput: {height: 12, width: 13, channels: 3}\ncolumns: 2\nlayers:\n" +
		"  - conv: {name: first, filters: 8, kernel: 1, init: {kind: he}}\n"
	if kind == "softmax_loss" {
		text += last + layer
	} else {
		text += layer + last + "  - softmax_loss: {}\n"
	}
	net, err := arch.Parse("kinds.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return net
}
