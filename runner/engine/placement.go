package engine

import (
	"errors"
	"fmt"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/graph"
)

// ErrPlacement is the error for a net or a batch that cannot be divided among the devices.
var ErrPlacement = errors.New("cannot be divided")

// A Placement decides what runs where. Devices divide a net's columns or, with Chunks, a batch's
// images. With columns, each holds the weights of its column, and transfers are needed where columns
// cross. With chunks, each holds all weights, and gradients are summed.
type Placement struct {
	Group *Group
	// Chunks is the number of equal parts that a batch is cut into, a power of 2; 0 if it is not cut.
	// Graphs are built for the images of one chunk. The gradients of the parts are added in pairs,
	// pairs of pairs and so on, so the result depends only on the number of chunks and not on the
	// number of devices. A function of the batch, such as batch norm's statistics, is computed for
	// each chunk.
	Chunks int
	// Precision is the precision of the products of convolutions and dense layers. With BF16 a single
	// device that holds the whole net also stores activations as bfloat16.
	Precision recipe.Precision
}

// single returns the device that holds everything, nil where a net or a batch is divided.
func (p Placement) single() Device {
	if p.Chunks > 0 || p.Group.Len() > 1 {
		return nil
	}
	return p.Group.devices[0]
}

// Check returns nil if a net can be placed with batches of that size, and otherwise the reason why
// not.
func (p Placement) Check(net *arch.Net, batch int) error {
	if err := p.checkPrecision(); err != nil {
		return err
	}
	devices := p.Group.Len()
	switch {
	case p.Chunks == 0 && devices > 1:
		return p.checkColumns(net)
	case p.Chunks == 0:
		return nil
	case p.Chunks < 2 || p.Chunks&(p.Chunks-1) != 0:
		return fmt.Errorf("a batch in %d chunks: %w; their number must be a power of 2", p.Chunks, ErrPlacement)
	case batch%p.Chunks != 0:
		return fmt.Errorf("a batch of %d images in %d equal chunks: %w", batch, p.Chunks, ErrPlacement)
	case p.Chunks%devices != 0:
		return fmt.Errorf("%d chunks of a batch among %d devices (%s): %w; set train.micro_batches to a power of 2 that is "+
			"a multiple of the devices",
			p.Chunks, devices, p.Group.Name(), ErrPlacement)
	}
	return nil
}

// checkPrecision returns an error if a device does not form products in the placement's precision.
func (p Placement) checkPrecision() error {
	if p.Precision == recipe.Float32 {
		return nil
	}
	for _, dev := range p.Group.devices {
		precise, ok := dev.(MixedPrecision)
		if !ok {
			return fmt.Errorf("%w on %s: it forms products in float32; leave the precision out, or name a GPU, as in cuda:0",
				&precisionError{p.Precision}, dev.Name())
		}
		if err := precise.SupportsPrecision(p.Precision); err != nil {
			return fmt.Errorf("%w on %s: %w", &precisionError{p.Precision}, dev.Name(), err)
		}
	}
	return nil
}

// A precisionError is an ErrPlacement with another message.
type precisionError struct{ recipe.Precision }

func (e *precisionError) Error() string        { return fmt.Sprintf("no precision %s", e.Precision) }
func (e *precisionError) Is(target error) bool { return target == ErrPlacement }

// checkColumns returns an error if the net has an op that devices cannot share.
func (p Placement) checkColumns(net *arch.Net) error {
	devices, columns := p.Group.Len(), max(net.Columns, 1)
	refused := func(why string) error {
		return fmt.Errorf("net %s among %d devices (%s): %s: %w; name fewer devices, or train with parallel: data",
			net.Name, devices, p.Group.Name(), why, ErrPlacement)
	}
	switch {
	case columns == 1:
		return refused("it has no columns")
	case columns%devices != 0:
		return refused(fmt.Sprintf("it has %d columns", columns))
	}
	g, err := graph.Build(net, 1, true)
	if err != nil {
		return err
	}
	for _, n := range g.Expr.AllNodes() {
		if g.Expr.From(n.ID()).Len() == 0 { // an input or a constant
			continue
		}
		op, err := g.Op(n)
		if err == nil {
			_, err = op.Shard(graph.Split{I: 0, Of: devices})
		}
		if err != nil {
			return refused(err.Error())
		}
	}
	return nil
}

// ChunkOf returns the number of a batch's images that a graph is made for.
func (p Placement) ChunkOf(batch int) int { return batch / max(p.Chunks, 1) }

// home returns how a parameter's weights and its rule's state are divided. If every device has all
// weights of a net, each device updates an equal part.
func (p Placement) home(param graph.Param) (weights, state graph.Sharding) {
	switch {
	case p.Group.Len() == 1:
		return graph.Sharding{}, graph.Sharding{}
	case p.Chunks == 0:
		return param.ByChannels(), param.ByChannels()
	default:
		return graph.Sharding{}, flat(param.Shape)
	}
}

// flat cuts a tensor's values without regard to its shape. A single value stays whole.
func flat(shape []int) graph.Sharding {
	n := Tensor{Shape: shape}.Len()
	if n == 1 {
		return graph.Sharding{}
	}
	return graph.Sharding{Outer: 1, Length: n, Inner: 1}
}
