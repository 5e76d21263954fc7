package nvidia

import (
	"fmt"
	"unsafe"
)

// A BLASHandle is cuBLAS's state on a device.
type BLASHandle uintptr

// A BLAS is the part of cuBLAS that a device calls. Matrices are column-major:
// a row-major one is its transpose there.
type BLAS struct {
	// 0 major, 1 minor, 2 patch
	Property     func(kind int32, value *int32) BLASStatus                      `symbol:"cublasGetProperty"`
	Create       func(h *BLASHandle) BLASStatus                                 `symbol:"cublasCreate_v2"`
	Destroy      func(h BLASHandle) BLASStatus                                  `symbol:"cublasDestroy_v2"`
	SetStream    func(h BLASHandle, s Stream) BLASStatus                        `symbol:"cublasSetStream_v2"`
	SetWorkspace func(h BLASHandle, workspace Address, bytes uint64) BLASStatus `symbol:"cublasSetWorkspace_v2"`
	GemmEx       func(h BLASHandle, transA, transB Transpose, m, n, k int32, alpha unsafe.Pointer, a Address,
		typeA BLASType, lda int32,
		b Address, typeB BLASType, ldb int32, beta unsafe.Pointer, c Address, typeC BLASType, ldc int32, compute Compute, algorithm int32) BLASStatus `symbol:"cublasGemmEx"`
}

// A Transpose is a cublasOperation_t.
type Transpose int32

// Whether a matrix is read as it is or transposed.
const (
	AsIs       Transpose = 0
	Transposed Transpose = 1
)

// A BLASType is a cudaDataType.
type BLASType int32

// Types of matrices.
const (
	BLASFloat    BLASType = 0
	BLASBFloat16 BLASType = 14
)

// A Compute is a cublasComputeType_t: how products are formed; sums are float32.
type Compute int32

// Products of float32 values, or of their first 10 bits after the point (TF32).
const (
	ComputeFloat Compute = 68
	ComputeTF32  Compute = 77
)

// GemmDefault lets cuBLAS choose its algorithm, by the shapes alone.
const GemmDefault = -1

// A BLASStatus is a cublasStatus_t: 0, or an error.
type BLASStatus int32

var blasReasons = map[BLASStatus]string{1: "not initialised", 3: "out of memory", 7: "invalid value",
	8:  "this GPU lacks a feature",
	11: "memory could not be mapped", 13: "a kernel failed", 14: "internal error", 15: "not supported",
	16: "licence error"}

// Error returns the status's number and meaning.
func (s BLASStatus) Error() string {
	return fmt.Sprintf("cuBLAS error %d, %s", int32(s), blasReasons[s])
}

// Err returns nil for success.
func (s BLASStatus) Err() error {
	if s == 0 {
		return nil
	}
	return s
}
