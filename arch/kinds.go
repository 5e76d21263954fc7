package arch

import (
	"reflect"
	"slices"
)

// A family groups kinds by purpose, for listings and documentation.
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

// families holds the kinds of each family in the order of registration.
var families [structure + 1][]Spec

// kind registers a kind of layer; s is an example of it. The file that declares a kind calls it.
func kind(f family, s Spec) struct{} {
	families[f] = append(families[f], s)
	return struct{}{}
}

// kinds returns all kinds, family by family.
func kinds() []Spec { return slices.Concat(families[:]...) }

// Kinds lists the words for the kinds of layers in YAML.
func Kinds() []string {
	var words []string
	for _, k := range kinds() {
		words = append(words, k.Kind())
	}
	return words
}

// New returns a layer of a kind with its defaults, and nil if no kind has this name.
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
