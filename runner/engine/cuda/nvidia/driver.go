package nvidia

import (
	"errors"
	"fmt"
	"unsafe"
)

// Handles of the driver, and addresses in a device's memory.
type (
	Context  uintptr
	Stream   uintptr
	Event    uintptr
	Module   uintptr
	Function uintptr
	Graph    uintptr
	Exec     uintptr // a graph made ready to run
	Address  uint64
)

// A Driver is the part of the driver API that a device calls. Each thread has its own current context.
// The names follow NVIDIA's, without cu.
//
// Host memory that an asynchronous copy reads or writes must not belong to Go: see MemHostAlloc.
type Driver struct {
	Init             func(flags uint32) Result                                            `symbol:"cuInit"`
	DriverGetVersion func(version *int32) Result                                          `symbol:"cuDriverGetVersion"`
	DeviceGetCount   func(count *int32) Result                                            `symbol:"cuDeviceGetCount"`
	DeviceGet        func(device *int32, ordinal int32) Result                            `symbol:"cuDeviceGet"`
	DeviceGetName    func(name *byte, n int32, device int32) Result                       `symbol:"cuDeviceGetName"`
	DeviceTotalMem   func(bytes *uint64, device int32) Result                             `symbol:"cuDeviceTotalMem_v2"`
	DeviceGetAttr    func(value *int32, attribute Attribute, device int32) Result         `symbol:"cuDeviceGetAttribute"`
	DeviceCanAccess  func(can *int32, device, peer int32) Result                          `symbol:"cuDeviceCanAccessPeer"`
	PrimaryRetain    func(context *Context, device int32) Result                          `symbol:"cuDevicePrimaryCtxRetain"`
	PrimaryRelease   func(device int32) Result                                            `symbol:"cuDevicePrimaryCtxRelease_v2"`
	CtxSetCurrent    func(context Context) Result                                         `symbol:"cuCtxSetCurrent"`
	CtxEnablePeer    func(peer Context, flags uint32) Result                              `symbol:"cuCtxEnablePeerAccess"`
	MemGetInfo       func(free, total *uint64) Result                                     `symbol:"cuMemGetInfo_v2"`
	MemAlloc         func(address *Address, bytes uint64) Result                          `symbol:"cuMemAlloc_v2"`
	MemFree          func(address Address) Result                                         `symbol:"cuMemFree_v2"`
	MemHostAlloc     func(host *unsafe.Pointer, bytes uint64, flags uint32) Result        `symbol:"cuMemHostAlloc"`
	MemFreeHost      func(host unsafe.Pointer) Result                                     `symbol:"cuMemFreeHost"`
	MemcpyHtoDAsync  func(to Address, from unsafe.Pointer, bytes uint64, s Stream) Result `symbol:"cuMemcpyHtoDAsync_v2"`
	MemcpyDtoHAsync  func(to unsafe.Pointer, from Address, bytes uint64, s Stream) Result `symbol:"cuMemcpyDtoHAsync_v2"`
	MemsetD32Async   func(to Address, value uint32, n uint64, s Stream) Result            `symbol:"cuMemsetD32Async"`
	StreamCreate     func(s *Stream, flags uint32) Result                                 `symbol:"cuStreamCreate"`
	StreamSync       func(s Stream) Result                                                `symbol:"cuStreamSynchronize"`
	StreamWaitEvent  func(s Stream, e Event, flags uint32) Result                         `symbol:"cuStreamWaitEvent"`
	StreamDestroy    func(s Stream) Result                                                `symbol:"cuStreamDestroy_v2"`
	BeginCapture     func(s Stream, mode uint32) Result                                   `symbol:"cuStreamBeginCapture_v2"`
	EndCapture       func(s Stream, graph *Graph) Result                                  `symbol:"cuStreamEndCapture"`
	GraphInstantiate func(exec *Exec, graph Graph, flags uint64) Result                   `symbol:"cuGraphInstantiateWithFlags"`
	GraphLaunch      func(exec Exec, s Stream) Result                                     `symbol:"cuGraphLaunch"`
	GraphExecDestroy func(exec Exec) Result                                               `symbol:"cuGraphExecDestroy"`
	GraphDestroy     func(graph Graph) Result                                             `symbol:"cuGraphDestroy"`
	EventCreate      func(e *Event, flags uint32) Result                                  `symbol:"cuEventCreate"`
	EventRecord      func(e Event, s Stream) Result                                       `symbol:"cuEventRecord"`
	EventSync        func(e Event) Result                                                 `symbol:"cuEventSynchronize"`
	EventElapsed     func(milliseconds *float32, from, to Event) Result                   `symbol:"cuEventElapsedTime_v2,cuEventElapsedTime"`
	EventDestroy     func(e Event) Result                                                 `symbol:"cuEventDestroy_v2"`
	ModuleLoadData   func(m *Module, image unsafe.Pointer) Result                         `symbol:"cuModuleLoadData"`
	ModuleGet        func(f *Function, m Module, name string) Result                      `symbol:"cuModuleGetFunction"`
	ModuleUnload     func(m Module) Result                                                `symbol:"cuModuleUnload"`
	// LaunchKernel's params are an array of pointers to the parameters, which it copies.
	LaunchKernel func(f Function, gridX, gridY, gridZ, blockX, blockY, blockZ, shared uint32, s Stream, params, extra unsafe.Pointer) Result `symbol:"cuLaunchKernel"`
}

// An Attribute is a CUdevice_attribute.
type Attribute int32

// Attributes of a device that package cuda queries.
const (
	ComputeMajor Attribute = 75
	ComputeMinor Attribute = 76
)

// Flags of the driver's functions.
const (
	StreamNonBlocking  = 1 // StreamCreate
	EventDisableTiming = 2 // EventCreate
	CaptureRelaxed     = 2 // BeginCapture: a library may allocate meanwhile
)

// A Result is a CUresult: 0, or an error.
type Result int32

// Results that callers handle.
const (
	Success            Result = 0
	OutOfMemory        Result = 2
	InvalidDevice      Result = 101
	PeerAlreadyEnabled Result = 704
	LaunchFailed       Result = 719
)

// ErrLost is a result after which every call fails in this process: the context
// is broken, or the GPU has left the machine.
var ErrLost = errors.New("the GPU is lost")

// reasons are the results that users meet, from cuda.h.
var reasons = map[Result]string{
	1: "invalid value", 2: "out of memory", 3: "the driver is not initialised", 34: "the library is a stub",
	46:  "the GPU is used exclusively by another process",
	100: "no CUDA device", 101: "no such device", 201: "invalid context", 209: "no machine code for this GPU",
	214: "uncorrectable memory error (ECC)",
	217: "no access between these GPUs", 218: "invalid PTX", 222: "code newer than the driver", 400: "invalid handle",
	401: "illegal state", 500: "not found",
	600: "not ready", 700: "a kernel reached an illegal address",
	701: "a kernel needs more registers or threads than there are", 702: "a kernel ran too long",
	704: "access between the GPUs is on already",
	705: "access between the GPUs is off", 709: "the context is destroyed", 715: "illegal instruction",
	716: "misaligned address", 718: "invalid program counter", 719: "a kernel failed",
	800: "not permitted", 801: "not supported", 802: "the system is not ready (is the fabric manager running?)",
	803: "driver and kernel module differ in version: restart the machine",
	804: "this GPU does not run with a newer CUDA than the driver's", 900: "not allowed in a graph",
	901: "the graph that was being recorded is invalid", 999: "unknown error",
}

// broken are the results after which every call of the context fails.
var broken = map[Result]bool{46: true, 214: true, 220: true, 700: true, 702: true, 709: true, 710: true, 714: true,
	715: true, 716: true, 717: true, 718: true, 719: true}

// Error returns the result's number and meaning.
func (r Result) Error() string {
	if reason, ok := reasons[r]; ok {
		return fmt.Sprintf("CUDA error %d, %s", int32(r), reason)
	}
	return fmt.Sprintf("CUDA error %d", int32(r))
}

// Is reports whether target is ErrLost and the result breaks the context.
func (r Result) Is(target error) bool { return target == ErrLost && broken[r] }

// Err returns nil for Success.
func (r Result) Err() error {
	if r == Success {
		return nil
	}
	return r
}
