package arch

import "reflect"

// kinds are the kinds of layers, in the order of listings and documentation.
var kinds = []Spec{
	&Conv{}, &Local{}, &Dense{},
	&ReLU{}, &Tanh{}, &Sigmoid{}, &LeakyReLU{}, &RReLU{}, &PReLU{}, &ELU{}, &SELU{}, &Softplus{}, &Arcsinh{}, &Maxout{},
	&BatchNorm{}, &LRN{},
	&MaxPool{}, &AvgPool{}, &MaxAvgPool{}, &SpatialPyramid{}, &StochasticPool{},
	&Dropout{}, &SoftmaxLoss{},
}

// Kinds are the words for layers, as the YAML form uses them.
func Kinds() []string {
	words := make([]string, len(kinds))
	for i, k := range kinds {
		words[i] = k.Kind()
	}
	return words
}

// New is a layer of a kind with its defaults, nil if no kind has this word.
func New(kind string) Spec {
	for _, k := range kinds {
		if k.Kind() == kind {
			s := reflect.New(reflect.TypeOf(k).Elem()).Interface().(Spec)
			s.defaults()
			return s
		}
	}
	return nil
}
