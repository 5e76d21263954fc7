package nvidia

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unsafe"
)

// prints prints every function's parameters by their size in bytes, or by f and d for numbers that
// travel in separate registers.
const prints = `
#include <cstdio>
#include <cuda.h>
#include <nvrtc.h>
#include <cublas_v2.h>
#include <cudnn.h>
#include <type_traits>
template <class T> char kind() {
    return std::is_same<T, float>::value ? 'f' : std::is_same<T, double>::value ? 'd' : char('0' + sizeof(T));
}
template <class... A> void show(const char *name, void (*)(A...)) {
    char kinds[] = {kind<A>()..., 0};
    printf("%s 0 %s\n", name, kinds);
}
template <class R, class... A> void show(const char *name, R (*)(A...)) {
    char kinds[] = {kind<A>()..., 0};
    printf("%s %c %s\n", name, std::is_pointer<R>::value ? 'p' : kind<R>(), kinds);
}
// C++ knows an older function by this name too.
using GemmEx = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int,
                                  const void *, const void *, cudaDataType, int, const void *, cudaDataType, int,
                                  const void *, void *, cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);
int main() {
`

// constants are the numbers that are passed, by their names in the headers.
var constants = map[string]int{
	"CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR": int(ComputeMajor),
	"CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR": int(ComputeMinor), "CU_STREAM_NON_BLOCKING": StreamNonBlocking,
	"CU_EVENT_DISABLE_TIMING": EventDisableTiming, "CU_STREAM_CAPTURE_MODE_RELAXED": CaptureRelaxed,
	"CUDA_ERROR_OUT_OF_MEMORY": int(OutOfMemory), "CUDA_ERROR_INVALID_DEVICE": int(InvalidDevice),
	"CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED": int(PeerAlreadyEnabled), "CUDA_ERROR_LAUNCH_FAILED": int(LaunchFailed),
	"CUBLAS_OP_N": int(AsIs), "CUBLAS_OP_T": int(Transposed), "CUDA_R_32F": int(BLASFloat),
	"CUDA_R_16BF":        int(BLASBFloat16),
	"CUBLAS_COMPUTE_32F": int(ComputeFloat), "CUBLAS_COMPUTE_32F_FAST_TF32": int(ComputeTF32),
	"CUBLAS_GEMM_DEFAULT": GemmDefault,
	"CUDNN_TENSOR_NCHW":   int(NCHW), "CUDNN_TENSOR_NHWC": int(NHWC), "CUDNN_DATA_FLOAT": int(DNNFloat),
	"CUDNN_DATA_BFLOAT16":     int(DNNBFloat16),
	"CUDNN_CROSS_CORRELATION": int(CrossCorrelation), "CUDNN_DEFAULT_MATH": int(DefaultMath),
	"CUDNN_TENSOR_OP_MATH":  int(TensorMath),
	"CUDNN_ACTIVATION_RELU": int(ReLU), "CUDNN_ACTIVATION_IDENTITY": int(Identity),
	"CUDNN_PROPAGATE_NAN": int(PropagateNaNs),
	"CUDNN_FMA_MATH":      int(FMAMath), "CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM": 1,
	"CUDNN_CONVOLUTION_BWD_DATA_ALGO_1": 1, "CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1": 1, "CUDNN_DETERMINISTIC": 1,
}

// Every function of the tables takes the parameters of NVIDIA's headers: as many, and each as wide as
// Go passes it. Numbers and structs are equal to those of the headers.
func TestSignatures(t *testing.T) {
	want := map[string]string{}
	var calls strings.Builder
	for _, table := range []any{Driver{}, NVRTC{}, BLAS{}, DNN{}} {
		v := reflect.TypeOf(table)
		for i := range v.NumField() {
			for name := range strings.SplitSeq(v.Field(i).Tag.Get("symbol"), ",") {
				of := "&" + name
				if name == "cublasGemmEx" {
					of = "static_cast<GemmEx>(&cublasGemmEx)"
				}
				fmt.Fprintf(&calls, "show(%q, %s);\n", name, of)
				want[name] = kinds(v.Field(i).Type)
				break // an older name takes the same
			}
		}
	}
	for name, value := range constants {
		fmt.Fprintf(&calls, "static_assert(%s == %d, \"\");\n", name, value)
	}
	for _, perf := range []string{"cudnnConvolutionFwdAlgoPerf_t", "cudnnConvolutionBwdDataAlgoPerf_t",
		"cudnnConvolutionBwdFilterAlgoPerf_t"} {
		var p AlgorithmPerf
		fmt.Fprintf(&calls, "static_assert(sizeof(%[1]s) == %[2]d && offsetof(%[1]s, memory) == %[3]d && offsetof(%[1]s, "+
			"determinism) == %[4]d && offsetof(%[1]s, mathType) == %[5]d, \"\");\n",
			perf, unsafe.Sizeof(p), unsafe.Offsetof(p.Memory), unsafe.Offsetof(p.Determinism), unsafe.Offsetof(p.Math))
	}
	out, err := compileAndRun(t, prints+calls.String()+"}\n")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(out) {
		name, got, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if seen++; got != want[name] {
			t.Errorf("%s: Go passes %s, the header says %s", name, want[name], got)
		}
	}
	if seen != len(want) || seen < 50 {
		t.Errorf("%d of %d functions", seen, len(want))
	}
}

// kinds describes a Go function as prints does a C function.
func kinds(f reflect.Type) string {
	s := "0 "
	if f.NumOut() > 0 {
		s = fmt.Sprintf("%d ", f.Out(0).Size())
	}
	for i := range f.NumIn() {
		switch in := f.In(i); in.Kind() {
		case reflect.Float32:
			s += "f"
		case reflect.Float64:
			s += "d"
		case reflect.String: // passed as a pointer to a copy
			s += "8"
		default:
			s += fmt.Sprint(in.Size())
		}
	}
	return s
}

// compileAndRun skips where there is no compiler, or where the headers are not beside the libraries.
func compileAndRun(t *testing.T, source string) (string, error) {
	t.Helper()
	compiler, err := exec.LookPath("g++")
	if err != nil {
		t.Skip("g++ is not here")
	}
	args := []string{"-std=c++17", "-w"}
	for _, f := range Look().Findings {
		if f.Path != "" {
			folder := filepath.Dir(filepath.Dir(f.Path))
			args = append(args, "-I"+filepath.Join(folder, "include"), "-I"+filepath.Join(folder, "include", "cccl"))
			others, err := filepath.Glob(filepath.Join(filepath.Dir(folder), "*", "include")) // CUDA 12's wheels
			if err != nil {
				return "", err
			}
			for _, other := range others {
				args = append(args, "-I"+other)
			}
		}
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "prints")
	if err := os.WriteFile(program+".cpp", []byte(source), 0o600); err != nil {
		return "", err
	}
	// Addresses of functions are taken, but nothing is called: they may stay undefined.
	text, err := exec.Command(compiler, append(args, "-c", "-o", program+".o", program+".cpp")...).CombinedOutput()
	if err != nil && strings.Contains(string(text), "No such file") {
		t.Skipf("NVIDIA's headers are not beside the libraries: see `just cuda-libs`")
	}
	if err != nil {
		return "", errors.New(string(text))
	}
	text, err = exec.Command(compiler, "-no-pie", "-Wl,--unresolved-symbols=ignore-all", "-o", program,
		program+".o").CombinedOutput()
	if err != nil {
		return "", errors.New(string(text))
	}
	text, err = exec.Command(program).CombinedOutput()
	return string(text), err
}
