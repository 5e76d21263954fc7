package engine

import (
	"math"

	"ablate/recipe"
)

// A Rule is how a net's parameters follow their gradients: the optimiser and what acts beside it.
type Rule struct {
	recipe.Optimizer
	L1   float64 // times sign(w), added to a gradient where weight decay acts
	Clip float64 // the most that the norm of all gradients together may be, 0 for no limit
	// EMA is the share of itself that an average of the weights keeps at every step; 0 for no average.
	EMA float64
}

// RuleOf is the rule of a recipe.
func RuleOf(t recipe.Train) Rule {
	return Rule{Optimizer: t.Optimizer, L1: t.L1, Clip: t.ClipNorm, EMA: t.EMA}
}

// State names what the rule keeps of each parameter beside its value, one or two
// tensors of its shape. Checkpoints hold them under these names.
func (r Rule) State() []string {
	switch r.Kind {
	case recipe.RMSProp:
		return []string{"velocity", "square_avg"}
	case recipe.AdaGrad:
		return []string{"sum"}
	case recipe.Adam, recipe.AdamW:
		return []string{"exp_avg", "exp_avg_sq"}
	}
	return []string{"velocity"}
}

// plain is the paper's rule and nothing beside it, for which devices have kernels of their own.
func (r Rule) plain() bool { return r == Rule{} }

// layerwise tells whether a parameter's step depends on the norms of its weights and its gradient.
func (r Rule) layerwise() bool { return r.Kind == recipe.LARS }

// of is the rule as one parameter follows it: biases and norms follow no layer-wise rates.
func (r Rule) of(bias bool) Rule {
	if r.layerwise() && bias {
		r.Optimizer = recipe.Optimizer{}
	}
	r.EMA = 0 // moves by itself, whatever the rule
	return r
}

// Update changes one parameter by g, its mean gradient over the batch. The paper's
// rule (section 5), a Rule without anything in it:
//
//	v ← momentum·v − decay·rate·w − rate·g
//	w ← w + v
//
// with rate = Context.Rate·Context.Factor(Param)·LR and decay = Context.Decay·Decay;
// recipe.Optimizer has the others. Nothing changes where that factor is 0.
//
// In is {weights, state, gradient}, then a second state where the rule has two,
// the norm of all gradients where it clips, and the norms of weights and gradient
// where it is layer-wise.
//
// A running average follows instead: w ← w + Average·(g − w), where Average is not 0.
type Update struct {
	Param     string
	LR, Decay float64
	Average   float64
	Rule      Rule
}

// Plain says that it is the paper's rule.
func (u Update) Plain() bool { return u.Rule.plain() }

// Operands are the places of an update's operands in In, 0 for those that it has not.
type Operands struct{ Second, Norm, WeightNorm, GradNorm int }

// Operands finds what comes behind weights, state and gradient.
func (u Update) Operands() Operands {
	var o Operands
	next := 3
	take := func(n *int) { *n, next = next, next+1 }
	if len(u.Rule.State()) > 1 {
		take(&o.Second)
	}
	if u.Rule.Clip > 0 {
		take(&o.Norm)
	}
	if u.Rule.layerwise() {
		take(&o.WeightNorm)
		take(&o.GradNorm)
	}
	return o
}

// Rates are the numbers of an update that change from step to step, as its kernels round them.
type Rates struct {
	Rate       float32 // the learning rate; of adam over 1 − beta1^t
	Decay      float32 // of sgd and adamw times the rate, else as it is
	Correction float32 // of adam: √(1 − beta2^t)
	Frozen     bool
}

// Rates are those of a step.
func (u Update) Rates(c *Context) Rates {
	factor := c.Factor(u.Param)
	rate := c.Rate * u.LR * factor
	r := Rates{Rate: float32(rate), Decay: float32(c.Decay * u.Decay), Correction: 1, Frozen: factor == 0}
	switch u.Rule.Kind {
	case recipe.SGD, recipe.AdamW:
		r.Decay = float32(rate * c.Decay * u.Decay)
	}
	if u.Rule.Kind == recipe.Adam || u.Rule.Kind == recipe.AdamW {
		t := float64(c.Step + 1)
		r.Rate = float32(rate / (1 - math.Pow(u.Rule.Beta1, t)))
		r.Correction = float32(math.Sqrt(1 - math.Pow(u.Rule.Beta2, t)))
	}
	return r
}

// ClipSlack is added to a norm before the limit is divided by it, as PyTorch does.
const ClipSlack = 1e-6

// An EMA moves an average of a parameter towards its value: In is {average, weights},
//
//	average ← average + (1 − Decay)·(weights − average)
//
// It begins with the weights after the first step, as PyTorch's does.
type EMA struct {
	Param string
	Decay float64
}

// A Norm is the square root of the sum of all inputs' squares. Squares are added in
// float64, in chunks that depend on nothing but the inputs' lengths.
type Norm struct{}
