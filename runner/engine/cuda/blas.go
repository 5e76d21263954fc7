package cuda

import (
	"fmt"
	"unsafe"

	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/engine/cuda/kernels"
	"ablate/runner/engine/cuda/nvidia"
	"ablate/runner/graph"
)

// blas is cuBLAS on the device. It is nil where the library is missing.
type blas struct {
	*nvidia.BLAS
	handle    nvidia.BLASHandle
	one, zero float32 // alpha and beta of every product, read by address
}

// blasWorkspace is the size in bytes that NVIDIA recommends for Hopper (cublasSetWorkspace: 32 MiB).
// The workspace is set once, since a recorded graph keeps its address.
const blasWorkspace = 32 << 20

func (d *Device) openBLAS() error {
	if d.libs.BLAS == nil {
		return nil
	}
	b := &blas{BLAS: d.libs.BLAS, one: 1}
	if err := b.Create(&b.handle).Err(); err != nil {
		return err
	}
	d.blas = b
	if err := b.SetStream(b.handle, d.stream).Err(); err != nil {
		return err
	}
	workspace, err := d.take(blasWorkspace)
	if err != nil {
		return err
	}
	return b.SetWorkspace(b.handle, workspace, blasWorkspace).Err()
}

func (d *Device) closeBLAS() error {
	if d.blas == nil {
		return nil
	}
	return d.blas.Destroy(d.blas.handle).Err()
}

// dense adds cuBLAS's calls for a dense layer or one of its gradients. It adds none if the instruction
// is another one or cuBLAS is missing. cuBLAS reads matrices by columns: a matrix that we write row by
// row is the transpose to cuBLAS.
func (p *plan) dense(in engine.Instr) {
	if p.d.blas == nil {
		return
	}
	p.by = nvidia.CuBLAS
	switch op := in.Op.(type) {
	case *graph.Dense:
		p.denseForward(in, op.Batch, op.In.Len(), op.Outputs)
	case *graph.DenseDataGrad:
		p.denseDataGrad(in, op.Batch, op.In.Len(), op.Outputs)
	case *graph.DenseWeightGrad:
		p.denseWeightGrad(in, op.Batch, op.In.Len(), op.Outputs)
	}
}

// denseForward is y = x·W + b: by columns, yᵀ = Wᵀ·xᵀ.
func (p *plan) denseForward(in engine.Instr, batch, inputs, outputs int) {
	x, w := p.operand(in.In[0], in.Precision), p.operand(in.In[1], in.Precision)
	var sums region // float32, so that only the sum with the bias is rounded
	if in.Out.Type != engine.Float32 {
		sums = p.reserve(4 * uint64(batch*outputs))
	}
	p.place()
	to := address(in.Out)
	y := to
	if in.Out.Type != engine.Float32 {
		y = p.at(sums)
	}
	p.product(in.Precision, outputs, batch, inputs, matrix{p.read(w), outputs, false}, matrix{p.read(x), inputs, false},
		y, engine.Float32)
	p.launch(kernels.Finish(uint64(y), engine.Float32, uint64(biases(in)), uint64(to), in.Out.Type, batch*outputs,
		outputs, in.ReLU))
}

// biases returns the address of a layer's biases, 0 if it has none.
func biases(in engine.Instr) nvidia.Address {
	if len(in.In) < 3 {
		return 0
	}
	return address(in.In[2])
}

// denseDataGrad is dx = dy·Wᵀ: by columns, dxᵀ = W·dyᵀ.
func (p *plan) denseDataGrad(in engine.Instr, batch, inputs, outputs int) {
	w, dy := p.operand(in.In[0], in.Precision), p.operand(in.In[1], in.Precision)
	p.place()
	p.product(in.Precision, inputs, batch, outputs, matrix{p.read(w), outputs, true}, matrix{p.read(dy), outputs, false},
		address(in.Out), in.Out.Type)
}

// denseWeightGrad is dW = xᵀ·dy: by columns, dWᵀ = dyᵀ·x. With an update, the gradient stays in
// scratch memory until the weights have changed.
func (p *plan) denseWeightGrad(in engine.Instr, batch, inputs, outputs int) {
	x, dy := p.operand(in.In[0], in.Precision), p.operand(in.In[1], in.Precision)
	var kept region
	if in.Update != nil {
		kept = p.reserve(4 * uint64(inputs*outputs))
	}
	p.place()
	grad := &memory{d: p.d, address: p.at(kept), n: inputs * outputs}
	to := grad.address
	if in.Update == nil {
		to = address(in.Out)
	}
	p.product(in.Precision, outputs, inputs, batch, matrix{p.read(dy), outputs, false}, matrix{p.read(x), inputs, true},
		to, engine.Float32)
	if in.Update != nil {
		p.fallback(engine.Instr{Op: *in.Update, In: []engine.Tensor{in.In[2], in.In[3],
			{Mem: grad, Shape: []int{inputs, outputs}}}})
	}
}

// A matrix as cuBLAS sees it: columns that start a stride apart, not transposed or transposed.
type matrix struct {
	address nvidia.Address
	stride  int
	turned  bool
}

func (m matrix) transpose() nvidia.Transpose {
	if m.turned {
		return nvidia.Transposed
	}
	return nvidia.AsIs
}

// product adds the call of c = a·b, with a of m × k and b of k × n values. c has type tc. Sums are
// float32.
func (p *plan) product(precision recipe.Precision, m, n, k int, a, b matrix, c nvidia.Address, tc engine.Type) {
	types := map[engine.Type]nvidia.BLASType{engine.Float32: nvidia.BLASFloat, engine.BFloat16: nvidia.BLASBFloat16}
	t, to, compute := types[typeOf(precision)], types[tc], nvidia.ComputeFloat
	if precision == recipe.TF32 {
		compute = nvidia.ComputeTF32
	}
	blas := p.d.blas
	p.call(fmt.Sprintf("product of %d×%d and %d×%d", m, k, k, n), func() error {
		return blas.GemmEx(blas.handle, a.transpose(), b.transpose(), int32(m), int32(n), int32(k),
			unsafe.Pointer(&blas.one), a.address, t, int32(a.stride),
			b.address, t, int32(b.stride), unsafe.Pointer(&blas.zero), c, to, int32(m), compute, nvidia.GemmDefault).Err()
	})
}
