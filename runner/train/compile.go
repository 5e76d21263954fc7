package train

import (
	"errors"
	"fmt"

	"ablate/arch"
	"ablate/runner/engine"
	"ablate/runner/graph"
)

// A Model is a net's training step on its devices: forward, loss, gradients, update.
type Model struct {
	Graph   *graph.Graph
	Params  *engine.Params
	Program *engine.Program
}

// Compile builds a net for batches of the given size, draws its initial weights
// and compiles its training step.
func Compile(net *arch.Net, where engine.Placement, batch int, seed uint64) (*Model, error) {
	if err := where.Check(net, batch); err != nil {
		return nil, err
	}
	g, err := graph.Build(net, where.ChunkOf(batch), true)
	if err != nil {
		return nil, err
	}
	params, err := engine.NewParams(where, g.Params)
	if err != nil {
		return nil, err
	}
	if err := initialise(params, g.Params, seed); err != nil {
		return nil, err
	}
	program, err := engine.Train(g, params)
	if err != nil {
		return nil, suggestBatch(err, batch)
	}
	return &Model{Graph: g, Params: params, Program: program}, nil
}

// suggestBatch adds the batch that would fit to the error of a program whose
// activations, which grow with the batch, do not.
func suggestBatch(err error, batch int) error {
	var memory *engine.MemoryError
	if !errors.As(err, &memory) {
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
