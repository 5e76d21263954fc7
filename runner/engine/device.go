// Package engine turns a graph into an immutable list of kernels bound to a
// device's memory, and runs it.
//
// Train and Evaluate take a graph through passes, each in a file of its own and in this order: compile
// (only nodes that are needed are reached, so the first layer's data gradient is never built), fuse,
// precision (see MixedPrecision), shard_columns or shard_chunks (each device gets its part of every
// op, and gathers what it needs from the others, see Placement), schedule, memory (one arena per
// device, planned by liveness), bind (every op becomes a kernel). After that a step allocates nothing
// and never looks at the graph again. A Program is a gorgonia.VM.
// and never looks at the graph again. A Program is a gorgonia.VM.
package engine

import (
	"errors"
	"fmt"
	"time"

	"ablate/recipe"
	"ablate/runner/graph"
)

// ErrNoKernel is the error for an op that a device cannot run. Compilation reports it with the op's
// name.
var ErrNoKernel = errors.New("no kernel")

// A Device owns memory and kernels. Implementations pass enginetest.Run.
type Device interface {
	// Name returns the user's name for the device: cpu, cpu:0, cuda:1.
	Name() string
	// Hardware returns the description under which speeds are compared: model, threads, instruction
	// set.
	Hardware() string
	// Alloc returns zeroed memory for n float32 values, aligned to 64 bytes.
	Alloc(n int) (Memory, error)
	// Threads returns the number of worker threads on the host, 0 where the device computes by itself.
	Threads() int
	// Limits measures the highest rates that the device reaches.
	Limits(recipe.Precision) (Limits, error)
	// Kernel binds an instruction to the tensors it names. The error wraps ErrNoKernel if the device
	// has no kernel for it.
	Kernel(Instr) (Kernel, error)
	// Close stops the device and frees what it owns.
	Close() error
}

// An Async device computes while the host carries on. Run only starts its kernels, in order. An error
// may come later, from Wait or a Read.
type Async interface {
	Device
	// CaptureGraph returns one kernel that runs several, one after the other. Starting them together
	// may take less time than starting each.
	CaptureGraph([]Kernel) Kernel
	// Wait returns when all started kernels are done.
	Wait() error
	// Time runs a kernel on the device and measures how long it takes there.
	Time(Kernel, *Context) (time.Duration, error)
}

// A MixedPrecision device forms the products of convolutions and dense layers in
// precisions other than float32. Where it does so in bfloat16, all its kernels take
// activations of that type. Any other device computes in float32 alone.
type MixedPrecision interface {
	Device
	// SupportsPrecision returns nil if the device forms products in a precision, and otherwise the
	// reason why it does not.
	SupportsPrecision(recipe.Precision) error
}

// A Fuser has a kernel that computes two gradients at once, where only one of them reads the other.
type Fuser interface {
	Device
	// FusesPool reports whether Kernel can compute the gradient of an LRN layer together with that of
	// the max pooling behind it, which is then Instr.Pool.
	FusesPool(*graph.LRNGrad, *graph.MaxPoolGrad) bool
}

// MemoryError is the error of a device that has no room for a block.
type MemoryError struct {
	Need, Free int64 // bytes
	Fixed      bool  // a smaller batch would need as much
}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("out of memory: %d MiB are needed, %d MiB are free", (e.Need+1<<20-1)>>20, e.Free>>20)
}

// ErrDeviceLost is the error of a device that will not compute again in this process.
var ErrDeviceLost = errors.New("the device is lost to this process")

// Memory is a block of a device's float32 values.
type Memory interface {
	Len() int
	// Write copies from the host to offset off.
	Write(off int, from []float32) error
	// Read copies from offset off to the host, after all earlier kernels are done.
	Read(off int, to []float32) error
}

// A Kernel is one bound step.
type Kernel interface {
	Run(*Context) error
}

// An Algorithmic kernel is one of several ways to compute an op, such as a library's algorithm.
type Algorithmic interface {
	Kernel
	Algorithm() string
}

// A Type is how values are stored.
type Type int

// Types of values. Everything that the host writes and reads is Float32. So are parameters and their
// gradients, though a library may round a gradient before it is stored.
const (
	Float32 Type = iota
	BFloat16
)

// Bytes returns the size of a value in bytes.
func (t Type) Bytes() int {
	if t == BFloat16 {
		return 2
	}
	return 4
}

// A Tensor is a piece of a device's memory with a shape. A scalar has an empty shape and one value.
type Tensor struct {
	Mem   Memory
	Off   int // in float32 values, whatever the type
	Shape []int
	Type  Type
}

// room returns how many float32 values of memory the tensor takes.
func (t Tensor) room() int { return (t.Len()*t.Type.Bytes() + 3) / 4 }

// bytes returns the memory traffic of reading or writing the tensor once, in bytes.
func (t Tensor) bytes() int64 { return int64(t.Len()) * int64(t.Type.Bytes()) }

// Len returns the number of values.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// An Instr is one op with the tensors it works on, as handed to Device.Kernel.
type Instr struct {
	Op            any // one of graph's ops, Update, EMA, Norm, Cast, or on one of several devices Gather or Reduce
	In            []Tensor
	Out           Tensor // may be In[i] where the op works in place
	Fused[Tensor]        // a Mask without memory means no mask
	// Precision is the precision of the products of a Conv, Dense or Local and their gradients.
	Precision recipe.Precision
}

// Context holds everything that changes from step to step. Kernels read it and nothing else.
type Context struct {
	Seed     uint64 // of the run: a dropout mask is a function of seed, layer, step and index
	Step     uint64
	Rate     float64 // learning rate
	Momentum float64
	Decay    float64 // weight decay
	// Factors multiplies the rate of the parameters it names. All others have a factor of 1.
	Factors map[string]float64
	// DropoutUntil makes dropout layers behave as in evaluation.
	DropoutUntil bool
}

// Factor returns the number that a parameter's rate is multiplied by; 0 freezes the parameter.
func (c *Context) Factor(param string) float64 {
	if f, ok := c.Factors[param]; ok {
		return f
	}
	return 1
}
