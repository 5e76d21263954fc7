package recipe

import (
	"fmt"
	"slices"
	"strings"

	"ablate/strictyaml"
)

// An Optimizer turns gradients into steps. `optimizer: adam` is short for {kind: adam}. In these
// formulas d is the gradient plus weight_decay·w (plus l1·sign(w)), and lr is the learning rate of
// the step:
//
//	sgd       v ← momentum·v − lr·d; w ← w + v (the paper, section 5)
//	nesterov  v ← momentum·v − lr·d; w ← w + momentum·v − lr·d
//	rmsprop   s ← alpha·s + (1 − alpha)·d²; v ← momentum·v − lr·d/(√s + epsilon); w ← w + v
//	adagrad   s ← s + d²; w ← w − lr·d/(√s + epsilon)
//	adam      m ← beta1·m + (1 − beta1)·d; s ← beta2·s + (1 − beta2)·d²
//	          w ← w − lr·m̂/(√ŝ + epsilon), m̂ = m/(1 − beta1^t), ŝ = s/(1 − beta2^t) at step t
//	adamw     adam where d is only the gradient, after w ← w − lr·weight_decay·w
//	lars      sgd with the lr of each layer's weights times trust·‖w‖/(‖g‖ + weight_decay·‖w‖ + epsilon);
//	          biases and norms follow sgd
//
// They are PyTorch's optimisers, except that the velocity v includes the learning rate, as in the
// paper; the two differ in the steps after the rate changes. Momentum is train.momentum, by default
// 0.9; adagrad, adam and adamw do not read it.
type Optimizer struct {
	// the rule
	Kind OptimizerKind `yaml:"kind" json:"kind,omitempty" oneof:"sgd nesterov rmsprop adagrad adam adamw lars" example:"adam"`
	// adam, adamw: share of the mean gradient that a step keeps; default 0.9
	Beta1 float64 `yaml:"beta1" json:"beta1,omitempty" min:"0" below:"1" example:"0.9"`
	// adam, adamw: share of the mean square that a step keeps; default 0.999
	Beta2 float64 `yaml:"beta2" json:"beta2,omitempty" min:"0" below:"1" example:"0.999"`
	// rmsprop: share of the mean square that a step keeps; default 0.99
	Alpha float64 `yaml:"alpha" json:"alpha,omitempty" min:"0" below:"1" example:"0.99"`
	// lars: the trust coefficient; default 0.001
	Trust float64 `yaml:"trust" json:"trust,omitempty" min:"0" max:"1e6" example:"0.001"`
	// keeps the denominator above 0; default 1e-8 for rmsprop, adam, adamw and lars, 1e-10 for
	// adagrad
	Epsilon float64 `yaml:"epsilon" json:"epsilon,omitempty" min:"0" max:"1e6" example:"1.0e-8"`
}

// An OptimizerKind is a rule of Optimizer.
type OptimizerKind string

// The kinds of optimisers.
const (
	SGD      OptimizerKind = ""
	Nesterov OptimizerKind = "nesterov"
	RMSProp  OptimizerKind = "rmsprop"
	AdaGrad  OptimizerKind = "adagrad"
	Adam     OptimizerKind = "adam"
	AdamW    OptimizerKind = "adamw"
	LARS     OptimizerKind = "lars"
)

// String returns the word that a user writes.
func (k OptimizerKind) String() string {
	if k == SGD {
		return "sgd"
	}
	return string(k)
}

// Momentum reports whether the rule reads train.momentum.
func (k OptimizerKind) Momentum() bool {
	return slices.Contains([]OptimizerKind{SGD, Nesterov, RMSProp, LARS}, k)
}

// UnmarshalStrict reads one of the kinds.
func (k *OptimizerKind) UnmarshalStrict(n *strictyaml.Node) error {
	return word(n, k, "optimizer", SGD.String(), string(Nesterov), string(RMSProp), string(AdaGrad), string(Adam),
		string(AdamW), string(LARS))
}

// standard returns the optimiser of a kind with its default values.
func (k OptimizerKind) standard() Optimizer {
	switch k {
	case RMSProp:
		return Optimizer{Kind: k, Alpha: 0.99, Epsilon: 1e-8}
	case AdaGrad:
		return Optimizer{Kind: k, Epsilon: 1e-10}
	case Adam, AdamW:
		return Optimizer{Kind: k, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8}
	case LARS:
		return Optimizer{Kind: k, Trust: 0.001, Epsilon: 1e-8}
	}
	return Optimizer{Kind: k}
}

// UnmarshalStrict reads a kind, or a mapping that changes the default values of its kind.
func (o *Optimizer) UnmarshalStrict(n *strictyaml.Node) error {
	if n.Kind != strictyaml.Mapping {
		var kind OptimizerKind
		if err := kind.UnmarshalStrict(n); err != nil {
			return err
		}
		*o = kind.standard()
		return nil
	}
	if kind := n.Get("kind"); kind != nil {
		if err := kind.Decode(&o.Kind); err != nil {
			return err
		}
		*o = o.Kind.standard()
	}
	type plain Optimizer
	return n.Decode((*plain)(o))
}

// Describe returns the schema of a kind or a mapping.
func (o Optimizer) Describe(c strictyaml.Comments) *strictyaml.Schema {
	mapping := c.Describe(o)
	word := *mapping.Properties.Get("kind")
	word.Description, word.Examples, word.Default = "", nil, nil
	return &strictyaml.Schema{AnyOf: []*strictyaml.Schema{&word, mapping}, Default: SGD.String()}
}

// rules refuse values that the kind needs but does not have, and values that it never reads.
func (o Optimizer) rules(key string) []rule {
	keys := []struct {
		name  string
		value float64
		of    []OptimizerKind
		zero  bool // 0 is a valid value
	}{
		{"beta1", o.Beta1, []OptimizerKind{Adam, AdamW}, true},
		{"beta2", o.Beta2, []OptimizerKind{Adam, AdamW}, true},
		{"alpha", o.Alpha, []OptimizerKind{RMSProp}, true},
		{"trust", o.Trust, []OptimizerKind{LARS}, false},
		{"epsilon", o.Epsilon, []OptimizerKind{RMSProp, AdaGrad, Adam, AdamW}, false},
	}
	var rules []rule
	for _, k := range keys {
		reads := slices.Contains(k.of, o.Kind) || k.name == "epsilon" && o.Kind == LARS
		var kinds []string
		for _, kind := range k.of {
			kinds = append(kinds, string(kind))
		}
		rules = append(rules,
			rule{k.value != 0 && !reads, key + "." + k.name,
				fmt.Sprintf("is for %s, not %s", strings.Join(kinds, ", "), o.Kind)},
			rule{k.value == 0 && slices.Contains(k.of, o.Kind) && !k.zero, key + "." + k.name,
				fmt.Sprintf("is 0; %s needs a value above 0. Set the whole optimizer, as in optimizer: %s", o.Kind, o.Kind)})
	}
	return rules
}
