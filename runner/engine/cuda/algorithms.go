package cuda

import (
	"errors"
	"fmt"
	"slices"

	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/engine/cuda/nvidia"
	"ablate/runner/graph"
)

// An algorithm is one of cuDNN's, with the workspace that it needs.
type algorithm struct {
	number int32
	bytes  uint64
	math   nvidia.MathType
}

// An attempt is a way to compute a convolution.
type attempt struct {
	algorithm
	direction int
	finished  bool // cuDNN adds the bias and rectifies as it convolves
	relu      bool // a finished one rectifies
}

// String returns the name of an attempt, as in tables.
func (a attempt) String() string {
	name := fmt.Sprintf("%s %d", nvidia.CuDNN, a.number)
	if a.finished {
		name += " fused"
	}
	return name
}

// convolution adds cuDNN's calls for a convolution or one of its gradients. It adds none if the
// instruction is another one, if cuDNN is missing, or if none of its algorithms that compute the same
// bits every time works. The plan then records the reason.
func (p *plan) convolution(in engine.Instr) {
	if p.d.dnn == nil {
		return
	}
	switch op := in.Op.(type) {
	case *graph.Conv:
		p.convolve(in, geometry{batch: op.Batch, window: op.Window, precision: in.Precision,
			fold: spaceToDepth(op.Window, in.Precision)}, forward, (*plan).forward)
	case *graph.ConvDataGrad:
		p.convolve(in, geometry{batch: op.Batch, window: op.Window, precision: in.Precision, fold: 1}, backwardData,
			(*plan).backwardData)
	case *graph.ConvWeightGrad:
		p.convolve(in, geometry{batch: op.Batch, window: op.Window, precision: in.Precision,
			fold: spaceToDepth(op.Window, in.Precision)}, backwardFilter, (*plan).backwardFilter)
	}
}

// maxDense is the largest number of groups that may become one. The number of products grows by it,
// and only one in that many has no zero as a factor.
const maxDense = 4

// convolve adds the calls of the first attempt that works on the instruction's operands: cuDNN lists
// algorithms that it then cannot run (jax-ml/jax#8506). Which one works is a function of the geometry,
// the library and the GPU. A choice by time would be a choice by chance.
func (p *plan) convolve(in engine.Instr, g geometry, direction int,
	add func(*plan, engine.Instr, *convolution, attempt)) {
	p.attempts(in, g, direction, add)
	groups := g.window.Groups
	if p.err == nil && p.calls == nil && g.precision != recipe.Float32 && groups > 1 && groups <= maxDense {
		g.dense = true
		p.attempts(in, g, direction, add)
	}
}

// attempts tries a geometry's algorithms one after the other.
func (p *plan) attempts(in engine.Instr, g geometry, direction int,
	add func(*plan, engine.Instr, *convolution, attempt)) {
	n := p.d.dnn
	c, err := n.convolution(g)
	if err != nil {
		p.refuse("cuDNN", err)
		return
	}
	if c.algorithms[direction] == nil {
		if c.algorithms[direction], err = c.list(n, direction); err != nil {
			p.refuse("cuDNN's list", err)
			return
		}
	}
	for _, a := range c.attempts(direction, in) {
		tried := &plan{d: p.d, by: a.String()}
		add(tried, in, c, a)
		if tried.err != nil {
			p.err = tried.err
			return
		}
		err, known := c.tried[a]
		if !known {
			err = tried.once()
			c.tried[a] = err
		}
		if err == nil {
			tried.refused = p.refused
			*p = *tried
			return
		}
		if p.refuse(a.String(), err); p.err != nil {
			return
		}
	}
}

// refuse records that cuDNN does not do something. Any other error becomes the plan's.
func (p *plan) refuse(what string, err error) {
	if _, ok := errors.AsType[nvidia.DNNStatus](err); !ok {
		p.err = err
		return
	}
	p.refused = append(p.refused, fmt.Sprintf("%s: %v", what, err))
}

// once makes a plan's calls and waits for the work that they started.
func (p *plan) once() error {
	err := begin(p.calls)
	// Work that started before the failed call must end, and the loss of a GPU is reported here.
	if wrong := p.d.sync(); wrong != nil && err != nil {
		return fmt.Errorf("%w (%v)", wrong, err) // the loss of a GPU is not a refusal
	} else if wrong != nil {
		return wrong
	}
	return err
}

// gemm is the algorithm that is tried first, in all three directions: a matrix product that forms its
// left side while it runs (IMPLICIT_PRECOMP_GEMM, ALGO_1 of the gradients). It is deterministic, and
// it is the one that tensor cores compute. The algorithms that cuDNN's heuristic puts before it on
// NHWC images are slower (apache/tvm#9600).
const gemm = 1

// list returns a direction's algorithms that compute the same bits every time, on units that the
// precision allows, in a workspace that fits: gemm first, then the others, those that cuDNN expects to
// be fastest first.
func (c *convolution) list(n *dnn, direction int) ([]algorithm, error) {
	listed, err := c.perf(n, direction)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(listed, func(a, b nvidia.AlgorithmPerf) int { return c.rank(a) - c.rank(b) })
	algorithms := []algorithm{}
	for _, p := range listed {
		if p.Status != 0 || p.Determinism != 1 || c.math == nvidia.FMAMath && p.Math != nvidia.FMAMath &&
			p.Math != nvidia.DefaultMath {
			continue
		}
		a := algorithm{number: p.Algorithm, math: p.Math}
		if c.math == nvidia.FMAMath {
			a.math = nvidia.FMAMath // DefaultMath would allow TF32
		}
		if c.workspace(n, direction, &a) == nil && a.bytes <= n.workspace && !slices.Contains(algorithms, a) {
			algorithms = append(algorithms, a)
		}
	}
	return algorithms, nil
}

// perf returns cuDNN's list of algorithms for a direction.
func (c *convolution) perf(n *dnn, direction int) ([]nvidia.AlgorithmPerf, error) {
	if err := n.err(n.SetMath(c.conv, c.math)); err != nil {
		return nil, err
	}
	perf, count := make([]nvidia.AlgorithmPerf, 16), int32(0)
	var status nvidia.DNNStatus
	switch direction {
	case forward:
		status = n.ForwardAlgorithms(n.handle, c.x, c.w, c.conv, c.y, int32(len(perf)), &count, &perf[0])
	case backwardData:
		status = n.DataAlgorithms(n.handle, c.w, c.y, c.conv, c.x, int32(len(perf)), &count, &perf[0])
	case backwardFilter:
		status = n.FilterAlgorithms(n.handle, c.x, c.y, c.conv, c.w, int32(len(perf)), &count, &perf[0])
	}
	return perf[:min(max(int(count), 0), len(perf))], n.err(status)
}

// rank orders algorithms: gemm first, on the units that were asked for, then on any units except those
// for float32.
func (c *convolution) rank(p nvidia.AlgorithmPerf) int {
	switch {
	case p.Algorithm != gemm:
		return 3
	case p.Math == c.math:
		return 0
	case p.Math != nvidia.FMAMath:
		return 1
	}
	return 2
}

// workspace stores the size of the workspace that an algorithm needs.
func (c *convolution) workspace(n *dnn, direction int, a *algorithm) error {
	// The math type changes the workspace that an algorithm needs. Without the math type that cuDNN
	// listed for the algorithm, group convolutions can be ten times slower (pytorch#15881).
	if err := n.err(n.SetMath(c.conv, a.math)); err != nil {
		return err
	}
	switch direction {
	case forward:
		return n.err(n.ForwardWorkspace(n.handle, c.x, c.w, c.conv, c.y, a.number, &a.bytes))
	case backwardData:
		return n.err(n.DataWorkspace(n.handle, c.w, c.y, c.conv, c.x, a.number, &a.bytes))
	default:
		return n.err(n.FilterWorkspace(n.handle, c.x, c.y, c.conv, c.w, a.number, &a.bytes))
	}
}

// moreWorkspace is the number of bytes that a finished convolution gets beyond a plain one's
// workspace: cuDNN has no function that returns the size it needs.
const moreWorkspace = 32 << 20

// attempts returns the ways to compute a direction, in the order in which they are tried. A forward
// one may be finished if cuDNN stores the output that we keep. cuDNN adds a bias without a ReLU in
// gemm only.
func (c *convolution) attempts(direction int, in engine.Instr) []attempt {
	var all []attempt
	for _, a := range c.algorithms[direction] {
		plain := attempt{algorithm: a, direction: direction}
		if direction == forward && len(in.In) > 2 && c.stores(in.Out) && (in.ReLU || a.number == gemm) {
			finished := plain
			finished.finished, finished.relu = true, in.ReLU
			all = append(all, finished)
			if finished.bytes += moreWorkspace; finished.bytes <= c.most {
				all = append(all, finished)
			}
		}
		all = append(all, plain)
	}
	return all
}
