package engine

import (
	"math"

	"ablate/recipe"
)

// A Rule determines how a net's parameters follow their gradients: the optimiser and the methods that
// act beside it.
type Rule struct {
	recipe.Optimizer
	L1   float64 // times sign(w), added to a gradient where weight decay acts
	Clip float64 // the largest norm that all gradients together may have, 0 for no limit
	// EMA is the share of its old value that an average of the weights keeps at every step; 0 for no
	// average.
	EMA float64
}

// RuleOf returns the rule of a recipe.
func RuleOf(t recipe.Train) Rule {
	return Rule{Optimizer: t.Optimizer, L1: t.L1, Clip: t.ClipNorm, EMA: t.EMA}
}

// State returns the names of the tensors that the rule keeps for each parameter beside its value, one
// or two of the parameter's shape. Checkpoints store them under these names.
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

// plain reports whether r is the paper's rule with nothing beside it, for which devices have separate
// kernels.
func (r Rule) plain() bool { return r == Rule{} }

// layerwise reports whether a parameter's step depends on the norms of its weights and its gradient.
func (r Rule) layerwise() bool { return r.Kind == recipe.LARS }

// of returns the rule that one parameter follows: biases and norms follow no layer-wise rates.
func (r Rule) of(bias bool) Rule {
	if r.layerwise() && bias {
		r.Optimizer = recipe.Optimizer{}
	}
	r.EMA = 0 // the average is updated by an EMA, whatever the rule
	return r
}

// Update changes one parameter by g, its mean gradient over the batch. The paper's rule (section 5) is
// a Rule with all fields zero:
//
//	v ← momentum·v − decay·rate·w − rate·g
//	w ← w + v
//
// with rate = Context.Rate·Context.Factor(Param)·LR and decay = Context.Decay·Decay. The other rules
// are in recipe.Optimizer. Nothing changes where that factor is 0.
//
// In is {weights, state, gradient}, then a second state if the rule has two, the norm of all gradients
// if it clips, and the norms of weights and gradient if it is layer-wise.
//
// If Average is not 0, the parameter is a running average, which instead follows w ← w + Average·(g −
// w).
type Update struct {
	Param     string
	LR, Decay float64
	Average   float64
	Rule      Rule
}

// Plain reports whether the update follows the paper's rule.
func (u Update) Plain() bool { return u.Rule.plain() }

// Operands holds the indices in In of an update's optional operands, 0 for those that it does not
// have.
type Operands struct{ Second, Norm, WeightNorm, GradNorm int }

// Operands returns the indices of the operands after weights, state and gradient.
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

// Rates are the numbers of an update that change from step to step, rounded as its kernels round them.
type Rates struct {
	Rate       float32 // the learning rate; for adam divided by 1 − beta1^t
	Decay      float32 // for sgd and adamw times the rate, otherwise unchanged
	Correction float32 // for adam: √(1 − beta2^t)
	Frozen     bool
}

// Rates returns the rates of a step.
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
