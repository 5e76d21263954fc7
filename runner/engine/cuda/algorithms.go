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

// An algorithm is one of cuDNN's, with the workspace it needs.
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

// String names an attempt as tables do.
func (a attempt) String() string {
	name := fmt.Sprintf("%s %d", nvidia.CuDNN, a.number)
	if a.finished {
		name += " fused"
	}
	return name
}

// convolution adds cuDNN's calls for a convolution or one of its gradients, none
// where the instruction is another, cuDNN is missing, or none of its algorithms that
// compute the same bits every time works for it: the plan then knows why.
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

// maxDense is how many groups may become one: the products grow by their number, and all
// but one in so many are with zeros.
const maxDense = 4

// convolve adds the calls of the first attempt that works on the instruction's operands:
// cuDNN lists algorithms that it then cannot run (jax-ml/jax#8506). Which one works is a
// function of the geometry, the library and the GPU; to choose by time would be to choose by chance.
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

// refuse notes that cuDNN does not do something. Any other error stays the plan's.
func (p *plan) refuse(what string, err error) {
	if _, ok := errors.AsType[nvidia.DNNStatus](err); !ok {
		p.err = err
		return
	}
	p.refused = append(p.refused, fmt.Sprintf("%s: %v", what, err))
}

// once makes a plan's calls and waits for what they began.
func (p *plan) once() error {
	err := begin(p.calls)
	// What began before the call that failed must end, and a GPU that is lost says so here.
	if wrong := p.d.sync(); wrong != nil && err != nil {
		return fmt.Errorf("%w (%v)", wrong, err) // a lost GPU refuses nothing
	} else if wrong != nil {
		return wrong
	}
	return err
}

// gemm is the algorithm that is tried first, in all three directions: a matrix
// product that forms its left side as it goes (IMPLICIT_PRECOMP_GEMM, ALGO_1 of the
// gradients). It is deterministic and the one that tensor cores compute; what
// cuDNN's heuristic puts before it on NHWC images is slower (apache/tvm#9600).
const gemm = 1

// list asks for a direction's algorithms: gemm first, then as cuDNN expects them to be
// fast, those that compute the same bits every time, with units that the precision allows, in a workspace
// that there is room for.
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

// perf is what cuDNN lists for a direction.
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

// rank orders algorithms: gemm first, on the units that were asked for, then on any but those for float32.
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

// workspace asks what an algorithm needs.
func (c *convolution) workspace(n *dnn, direction int, a *algorithm) error {
	// The math type changes what an algorithm needs, and without the one that was
	// promised for it group convolutions can be ten times slower (pytorch#15881).
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

// moreWorkspace is what a finished convolution is offered beyond a plain one's workspace:
// cuDNN has no question for what it needs.
const moreWorkspace = 32 << 20

// attempts are the ways to compute a direction, in the order in which they are tried. A
// forward one may be finished where cuDNN stores what we keep; a bias without a ReLU it adds in gemm alone.
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
