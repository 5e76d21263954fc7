package arch

import (
	"reflect"
	"slices"
)

// A family is what kinds are for; listings and documentation go by it.
type family int

const (
	learned family = iota
	activation
	normalisation
	pooling
	regularisation
	loss
	structure
)

// families hold the kinds, each in the order of registration.
var families [structure + 1][]Spec

// kind registers a kind of layers, of which s is one. The file that declares a kind calls it.
func kind(f family, s Spec) struct{} {
	families[f] = append(families[f], s)
	return struct{}{}
}

// kinds are all kinds, family by family.
func kinds() []Spec { return slices.Concat(families[:]...) }

// Kinds are the words for layers, as the YAML form uses them.
func Kinds() []string {
	var words []string
	for _, k := range kinds() {
		words = append(words, k.Kind())
	}
	return words
}

// New is a layer of a kind with its defaults, nil if no kind has this word.
func New(kind string) Spec {
	for _, k := range kinds() {
		if k.Kind() == kind {
			s := reflect.New(reflect.TypeOf(k).Elem()).Interface().(Spec)
			s.defaults()
			return s
		}
	}
	return nil
}
