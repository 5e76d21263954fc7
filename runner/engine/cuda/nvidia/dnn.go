package nvidia

import (
	"fmt"
	"unsafe"
)

// Handles of cuDNN.
type (
	DNNHandle      uintptr
	TensorDesc     uintptr
	FilterDesc     uintptr
	ConvDesc       uintptr
	ActivationDesc uintptr
)

// A DNN is the part of cuDNN 9 that a device calls: convolutions of the legacy API, which NVIDIA keeps
// while the graph API has gaps. If a version lacks one of the functions, cuDNN counts as not found,
// and our own kernels run instead.
type DNN struct {
	Version func() uint64                `symbol:"cudnnGetVersion"`
	Create  func(h *DNNHandle) DNNStatus `symbol:"cudnnCreate"`
	Destroy func(h DNNHandle) DNNStatus  `symbol:"cudnnDestroy"`
	// LastError returns cuDNN's message about this thread's last error, "" for none.
	LastError          func(message *byte, size uint64)                                                                               `symbol:"cudnnGetLastErrorString"`
	SetStream          func(h DNNHandle, s Stream) DNNStatus                                                                          `symbol:"cudnnSetStream"`
	CreateTensor       func(d *TensorDesc) DNNStatus                                                                                  `symbol:"cudnnCreateTensorDescriptor"`
	DestroyTensor      func(d TensorDesc) DNNStatus                                                                                   `symbol:"cudnnDestroyTensorDescriptor"`
	SetTensor          func(d TensorDesc, format Format, t DNNType, n, c, h, w int32) DNNStatus                                       `symbol:"cudnnSetTensor4dDescriptor"`
	CreateFilter       func(d *FilterDesc) DNNStatus                                                                                  `symbol:"cudnnCreateFilterDescriptor"`
	DestroyFilter      func(d FilterDesc) DNNStatus                                                                                   `symbol:"cudnnDestroyFilterDescriptor"`
	SetFilter          func(d FilterDesc, t DNNType, format Format, k, c, h, w int32) DNNStatus                                       `symbol:"cudnnSetFilter4dDescriptor"`
	CreateConvolution  func(d *ConvDesc) DNNStatus                                                                                    `symbol:"cudnnCreateConvolutionDescriptor"`
	DestroyConvolution func(d ConvDesc) DNNStatus                                                                                     `symbol:"cudnnDestroyConvolutionDescriptor"`
	SetConvolution     func(d ConvDesc, padH, padW, strideH, strideW, dilationH, dilationW int32, mode ConvMode, t DNNType) DNNStatus `symbol:"cudnnSetConvolution2dDescriptor"`
	SetGroups          func(d ConvDesc, groups int32) DNNStatus                                                                       `symbol:"cudnnSetConvolutionGroupCount"`
	SetMath            func(d ConvDesc, m MathType) DNNStatus                                                                         `symbol:"cudnnSetConvolutionMathType"`

	CreateActivation  func(d *ActivationDesc) DNNStatus                                                    `symbol:"cudnnCreateActivationDescriptor"`
	DestroyActivation func(d ActivationDesc) DNNStatus                                                     `symbol:"cudnnDestroyActivationDescriptor"`
	SetActivation     func(d ActivationDesc, mode ActivationMode, nan NaNs, coefficient float64) DNNStatus `symbol:"cudnnSetActivationDescriptor"`

	// The algorithms that fit, with the one expected to be fastest first.
	ForwardAlgorithms func(h DNNHandle, x TensorDesc, w FilterDesc, c ConvDesc, y TensorDesc, room int32, count *int32, perf *AlgorithmPerf) DNNStatus   `symbol:"cudnnGetConvolutionForwardAlgorithm_v7"`
	DataAlgorithms    func(h DNNHandle, w FilterDesc, dy TensorDesc, c ConvDesc, dx TensorDesc, room int32, count *int32, perf *AlgorithmPerf) DNNStatus `symbol:"cudnnGetConvolutionBackwardDataAlgorithm_v7"`
	FilterAlgorithms  func(h DNNHandle, x, dy TensorDesc, c ConvDesc, dw FilterDesc, room int32, count *int32, perf *AlgorithmPerf) DNNStatus            `symbol:"cudnnGetConvolutionBackwardFilterAlgorithm_v7"`

	ForwardWorkspace func(h DNNHandle, x TensorDesc, w FilterDesc, c ConvDesc, y TensorDesc, algorithm int32, bytes *uint64) DNNStatus   `symbol:"cudnnGetConvolutionForwardWorkspaceSize"`
	DataWorkspace    func(h DNNHandle, w FilterDesc, dy TensorDesc, c ConvDesc, dx TensorDesc, algorithm int32, bytes *uint64) DNNStatus `symbol:"cudnnGetConvolutionBackwardDataWorkspaceSize"`
	FilterWorkspace  func(h DNNHandle, x, dy TensorDesc, c ConvDesc, dw FilterDesc, algorithm int32, bytes *uint64) DNNStatus            `symbol:"cudnnGetConvolutionBackwardFilterWorkspaceSize"`

	// y = alpha·x∗w + beta·y and the two gradients; alpha and beta are float32 on the host.
	Forward func(h DNNHandle, alpha unsafe.Pointer, xd TensorDesc, x Address, wd FilterDesc, w Address, c ConvDesc,
		algorithm int32,
		workspace Address, bytes uint64, beta unsafe.Pointer, yd TensorDesc, y Address) DNNStatus `symbol:"cudnnConvolutionForward"`
	// y = activation(alpha·x∗w + beta·z + bias). z may be y where beta is 0.
	ForwardFinished func(h DNNHandle, alpha unsafe.Pointer, xd TensorDesc, x Address, wd FilterDesc, w Address, c ConvDesc,
		algorithm int32,
		workspace Address, bytes uint64, beta unsafe.Pointer, zd TensorDesc, z Address, biasd TensorDesc, bias Address,
		a ActivationDesc,
		yd TensorDesc, y Address) DNNStatus `symbol:"cudnnConvolutionBiasActivationForward"`
	BackwardData func(h DNNHandle, alpha unsafe.Pointer, wd FilterDesc, w Address, dyd TensorDesc, dy Address, c ConvDesc,
		algorithm int32,
		workspace Address, bytes uint64, beta unsafe.Pointer, dxd TensorDesc, dx Address) DNNStatus `symbol:"cudnnConvolutionBackwardData"`
	BackwardFilter func(h DNNHandle, alpha unsafe.Pointer, xd TensorDesc, x Address, dyd TensorDesc, dy Address,
		c ConvDesc, algorithm int32,
		workspace Address, bytes uint64, beta unsafe.Pointer, dwd FilterDesc, dw Address) DNNStatus `symbol:"cudnnConvolutionBackwardFilter"`
}

// A Format is a cudnnTensorFormat_t. Filters of NHWC are [k, h, w, c].
type Format int32

// Channels first, or last.
const (
	NCHW Format = 0
	NHWC Format = 1
)

// A DNNType is a cudnnDataType_t.
type DNNType int32

// Types of tensors.
const (
	DNNFloat    DNNType = 0
	DNNBFloat16 DNNType = 9
)

// A ConvMode is a cudnnConvolutionMode_t.
type ConvMode int32

// CrossCorrelation is the operation that networks call a convolution: the kernel is not turned.
const CrossCorrelation ConvMode = 1

// An ActivationMode is a cudnnActivationMode_t.
type ActivationMode int32

// Activations after a convolution.
const (
	ReLU     ActivationMode = 1
	Identity ActivationMode = 5
)

// NaNs is a cudnnNanPropagation_t.
type NaNs int32

// PropagateNaNs keeps a NaN, where max(0, ·) may lose it.
const PropagateNaNs NaNs = 1

// A MathType is a cudnnMathType_t: which units form the products.
type MathType int32

// DefaultMath allows TF32 for float32 tensors; FMAMath keeps float32 products.
const (
	DefaultMath MathType = 0
	TensorMath  MathType = 1
	FMAMath     MathType = 3
)

// An AlgorithmPerf is a cudnnConvolution*AlgoPerf_t, which are the same struct for all three directions.
type AlgorithmPerf struct {
	Algorithm   int32
	Status      DNNStatus
	Time        float32
	Memory      uint64
	Determinism int32 // 1: the same bits every time
	Math        MathType
	_           [3]int32
}

// A DNNStatus is a cudnnStatus_t: 0, or an error.
type DNNStatus int32

// Error returns the status's number and meaning.
func (s DNNStatus) Error() string {
	kind := map[DNNStatus]string{1: "the library is not set up", 2: "a bad parameter", 3: "not supported",
		4: "internal error", 5: "a kernel failed"}[s/1000]
	return fmt.Sprintf("cuDNN error %d, %s", int32(s), kind)
}

// Err returns nil for success.
func (s DNNStatus) Err() error {
	if s == 0 {
		return nil
	}
	return s
}
