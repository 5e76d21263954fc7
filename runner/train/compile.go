package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/graph"
)

// A Model is a net's training step on its devices: forward pass, loss, gradients and update.
type Model struct {
	Graph   *graph.Graph
	Params  *engine.Params
	Program *engine.Program
}

// Compile builds a net for a recipe's batches, compiles its training step and draws its initial weights.
func Compile(ctx context.Context, r recipe.Recipe, where engine.Placement, seed uint64) (*Model, error) {
	net, batch := r.Net, r.Train.Batch
	if err := where.Check(net, batch); err != nil {
		return nil, err
	}
	g, err := build(r, where.ChunkOf(batch))
	if err != nil {
		return nil, err
	}
	if err := decay(g.Params, net, r.Train); err != nil {
		return nil, err
	}
	params, err := engine.NewParamsUnder(engine.RuleOf(r.Train), where, g.Params)
	if err != nil {
		return nil, nameLargest(err, net, 0)
	}
	program, err := engine.Train(g, params)
	if err != nil {
		return nil, nameLargest(suggestBatch(err, batch), net, batch)
	}
	if err := initialise(ctx, params, g.Params, seed); err != nil { // last: a net that does not fit draws no weights
		return nil, err
	}
	if r.Train.Init.From != "" {
		values, err := initialWeights(r, g.Params)
		if err != nil {
			return nil, err
		}
		if err := load(params, values); err != nil {
			return nil, err
		}
	}
	return &Model{Graph: g, Params: params, Program: program}, nil
}

// build makes the graph of a training step, on class numbers or on shares of classes.
func build(r recipe.Recipe, batch int) (*graph.Graph, error) {
	if r.SoftTargets() {
		return graph.BuildSoft(r.Net, batch)
	}
	return graph.Build(r.Net, batch, true)
}

// decay enables weight decay for the kinds of parameters that have none by default, if a recipe
// asks for it.
func decay(params []graph.Param, net *arch.Net, t recipe.Train) error {
	layers, err := net.Infer()
	if err != nil {
		return err
	}
	norms := map[string]bool{}
	for _, l := range layers {
		norms[l.Layer.Name] = strings.HasSuffix(l.Layer.Spec.Kind(), "_norm")
	}
	for i := range params {
		p := &params[i]
		switch {
		case p.Average > 0 || !p.Bias:
		case norms[p.Layer] && t.DecayNorms, !norms[p.Layer] && t.DecayBiases && strings.HasSuffix(p.Name, ".bias"):
			p.Decay = 1
		}
	}
	return nil
}

// nameLargest adds the largest layer to the error of a net that does not fit. The size of a layer
// is that of its weights plus that of its output for a batch, which is 0 if batch is 0.
func nameLargest(err error, net *arch.Net, batch int) error {
	if memory := (*engine.MemoryError)(nil); !errors.As(err, &memory) {
		return err
	}
	layers, inferErr := net.Infer()
	if inferErr != nil {
		return err
	}
	size := func(l arch.LayerInfo) int64 { return l.Params + int64(batch)*int64(l.Out.Len()) }
	largest := slices.MaxFunc(layers, func(a, b arch.LayerInfo) int { return cmp.Compare(size(a), size(b)) })
	return fmt.Errorf("net %s does not fit, layer %s (%v, %d parameters) least of all: %w",
		net.Name, largest.Layer.Name, largest.Out, largest.Params, err)
}

// suggestBatch adds a batch size that fits to the error of a program whose activations do not fit.
// They grow with the batch.
func suggestBatch(err error, batch int) error {
	var memory *engine.MemoryError
	if !errors.As(err, &memory) || memory.Fixed {
		return err
	}
	fits := int(int64(batch) * memory.Free / memory.Need)
	if fits >= 16 {
		fits -= fits % 8
	}
	if fits < 1 {
		return fmt.Errorf("%w; not even one image fits beside the weights", err)
	}
	return fmt.Errorf("%w; a batch of %d would fit, try --set train.batch=%d", err, fits, fits)
}
