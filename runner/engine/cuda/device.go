// Package cuda is the engine's device for NVIDIA GPUs. cuDNN computes convolutions and cuBLAS dense
// layers. Package kernels computes everything else, and also the work of those libraries where they
// are missing. Libraries are loaded at run time (package nvidia), so building needs nothing of CUDA.
//
// A device's calls are made one after the other, on threads on which its context is current. It has
// one stream, on which all its kernels run in order. Meanwhile the images of the next batch arrive on
// another stream. A program's steps are captured in a CUDA graph the second time they run, so that the
// host starts them with one call. Algorithms are deterministic: the same run has the same bits.
package cuda

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"ablate/recipe"
	"ablate/runner/engine"
	"ablate/runner/engine/cuda/kernels"
	"ablate/runner/engine/cuda/nvidia"
	"ablate/runner/graph"
)

// SyncVariable is the name of the variable that makes every kernel end before the next begins, without
// CUDA graphs. An error then belongs to the kernel that it names.
const SyncVariable = "ABLATE_CUDA_SYNC"

// A Device is a GPU.
type Device struct {
	name     string
	libs     *nvidia.Libraries
	driver   *nvidia.Driver
	calls    sync.Mutex // held by whoever calls the driver
	closed   bool
	stepwise bool  // see SyncVariable
	number   int32 // the driver's number for the GPU
	context  nvidia.Context
	stream   nvidia.Stream
	hardware string
	modules  []nvidia.Module
	kernels  map[string]nvidia.Function
	step     *kernels.Step
	block    nvidia.Address // of StepLen bytes
	staging  staging
	blocks   staging // the host memory from which step blocks are copied
	scratch  *memory
	images   imageStaging
	events   [2]nvidia.Event // between which Time measures
	blas     *blas
	dnn      *dnn
	peers    map[*Device]bool

	wait   func() error // sync, made once: a step allocates nothing
	inUse  map[nvidia.Address]bool
	graphs map[nvidia.Exec]bool

	// Memory and graphs that Go can no longer reach, to be freed at the next allocation.
	mutex       sync.Mutex
	freed       []nvidia.Address
	freedGraphs []nvidia.Exec
}

var (
	_ engine.Async          = (*Device)(nil)
	_ engine.MixedPrecision = (*Device)(nil)
	_ engine.Fuser          = (*Device)(nil)
)

// Open starts GPU number on this machine, which is called cuda:number. If the machine lacks something,
// the error says what to install.
func Open(number int) (*Device, error) {
	libs, err := nvidia.Open()
	if err != nil {
		return nil, err
	}
	return New(libs, number)
}

// New starts a GPU with the given libraries.
func New(libs *nvidia.Libraries, number int) (*Device, error) {
	d := &Device{name: fmt.Sprintf("cuda:%d", number), libs: libs, driver: libs.Driver, number: int32(number),
		stepwise: os.Getenv(SyncVariable) != ""}
	d.prepare()
	if err := d.do(d.start); err != nil {
		d.Close() // an error of Close would follow from err
		return nil, d.named(err)
	}
	return d, nil
}

// prepare sets up everything that needs no GPU.
func (d *Device) prepare() {
	d.kernels, d.step = map[string]nvidia.Function{}, kernels.NewStep()
	d.peers, d.inUse, d.graphs = map[*Device]bool{}, map[nvidia.Address]bool{}, map[nvidia.Exec]bool{}
	d.blocks.size = kernels.StepLen
	d.wait = d.sync
}

// Devices returns the names of the GPUs of this machine, cuda:0 first, with their memory and
// architecture.
func Devices(libs *nvidia.Libraries) ([]string, error) {
	driver := libs.Driver
	var count int32
	if err := driver.Init(0).Err(); err != nil {
		return nil, err
	}
	if err := driver.DeviceGetCount(&count).Err(); err != nil {
		return nil, err
	}
	var names []string
	for i := range count {
		d := &Device{driver: driver}
		if err := driver.DeviceGet(&d.number, i).Err(); err != nil {
			return nil, err
		}
		name, err := d.model()
		if err != nil {
			return nil, err
		}
		architecture, err := d.architecture()
		if err != nil {
			return nil, err
		}
		var bytes uint64
		if err := driver.DeviceTotalMem(&bytes, d.number).Err(); err != nil {
			return nil, err
		}
		names = append(names, fmt.Sprintf("%s, %d MiB, %s", name, bytes>>20, architecture))
	}
	return names, nil
}

// start creates the context and everything that lives as long as the device.
func (d *Device) start() error {
	if err := d.driver.Init(0).Err(); err != nil {
		return err
	}
	var count int32
	if err := d.driver.DeviceGetCount(&count).Err(); err != nil {
		return err
	}
	if d.number >= count {
		return fmt.Errorf("this machine has %s", gpus(int(count)))
	}
	if err := d.driver.DeviceGet(&d.number, d.number).Err(); err != nil {
		return err
	}
	if err := d.driver.PrimaryRetain(&d.context, d.number).Err(); err != nil {
		return err
	}
	if err := d.driver.CtxSetCurrent(d.context).Err(); err != nil {
		return err
	}
	if err := d.driver.StreamCreate(&d.stream, nvidia.StreamNonBlocking).Err(); err != nil {
		return err
	}
	d.staging.stream, d.blocks.stream = d.stream, d.stream
	if err := d.images.open(d); err != nil {
		return err
	}
	for i := range d.events {
		if err := d.driver.EventCreate(&d.events[i], 0).Err(); err != nil {
			return err
		}
	}
	architecture, err := d.architecture()
	if err != nil {
		return err
	}
	if err := d.load(architecture); err != nil {
		return err
	}
	if d.block, err = d.take(kernels.StepLen); err != nil {
		return err
	}
	if err := d.openBLAS(); err != nil {
		return err
	}
	if err := d.openDNN(); err != nil {
		return err
	}
	return d.describe()
}

func gpus(n int) string {
	switch n {
	case 0:
		return "no GPU"
	case 1:
		return "one GPU, cuda:0"
	}
	return fmt.Sprintf("%d GPUs, cuda:0 to cuda:%d", n, n-1)
}

// architecture returns the name of the GPU's machine code, such as sm_90.
func (d *Device) architecture() (string, error) {
	var major, minor int32
	if err := d.driver.DeviceGetAttr(&major, nvidia.ComputeMajor, d.number).Err(); err != nil {
		return "", err
	}
	if err := d.driver.DeviceGetAttr(&minor, nvidia.ComputeMinor, d.number).Err(); err != nil {
		return "", err
	}
	return fmt.Sprintf("sm_%d%d", major, minor), nil
}

// describe sets the description under which speeds are compared: the GPU and the versions of the
// libraries.
func (d *Device) describe() error {
	name, err := d.model()
	if err != nil {
		return err
	}
	d.hardware = fmt.Sprintf("%s, CUDA %d.%d", name, d.libs.CUDA/1000, d.libs.CUDA%1000/10)
	for _, f := range d.libs.Findings {
		if f.Err == nil && (f.Name == nvidia.CuDNN && d.dnn != nil || f.Name == nvidia.CuBLAS && d.blas != nil) {
			d.hardware += fmt.Sprintf(", %s %s", f.Name, f.Version)
		}
	}
	if d.dnn == nil || d.blas == nil {
		d.hardware += ", own kernels"
	}
	return nil
}

// model returns NVIDIA's name for the GPU.
func (d *Device) model() (string, error) {
	var name [128]byte
	if err := d.driver.DeviceGetName(&name[0], int32(len(name)), d.number).Err(); err != nil {
		return "", err
	}
	return text(name[:]), nil
}

// text returns a C string as a Go string.
func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// Name returns cuda:0, cuda:1 and so on.
func (d *Device) Name() string { return d.name }

// Hardware returns the GPU's model with the versions of CUDA, cuDNN and cuBLAS.
func (d *Device) Hardware() string { return d.hardware }

// Threads returns 0: no threads of the host compute.
func (d *Device) Threads() int { return 0 }

// SupportsPrecision returns an error if a precision other than float32 needs cuDNN or cuBLAS, and they
// are missing.
func (d *Device) SupportsPrecision(p recipe.Precision) error {
	if p != recipe.Float32 && (d.dnn == nil || d.blas == nil) {
		return errors.New("cuDNN and cuBLAS form such products, and one is missing: see `ablate doctor`")
	}
	return nil
}

// FusesPool reports whether LRN's gradient can gather from the max pooling behind it: a line of
// channels must fit in a block.
func (d *Device) FusesPool(norm *graph.LRNGrad, pool *graph.MaxPoolGrad) bool {
	return kernels.FusesPool(norm, pool)
}

// Close waits for the device and frees everything it holds. Its memory must not be used afterwards.
func (d *Device) Close() error {
	err := d.do(func() error {
		if d.context == 0 {
			return nil
		}
		var errs []error
		note := func(r nvidia.Result) { errs = append(errs, r.Err()) }
		for _, s := range []nvidia.Stream{d.images.copies, d.stream} {
			if s != 0 {
				note(d.driver.StreamSync(s))
			}
		}
		errs = append(errs, d.closeDNN(), d.closeBLAS())
		d.images.close(d, note)
		d.staging.close(d, note)
		d.blocks.close(d, note)
		for a := range d.inUse {
			note(d.driver.MemFree(a))
		}
		for g := range d.graphs {
			note(d.driver.GraphExecDestroy(g))
		}
		for _, m := range d.modules {
			note(d.driver.ModuleUnload(m))
		}
		for _, e := range d.events {
			if e != 0 {
				note(d.driver.EventDestroy(e))
			}
		}
		if d.stream != 0 {
			note(d.driver.StreamDestroy(d.stream))
		}
		note(d.driver.CtxSetCurrent(0))
		note(d.driver.PrimaryRelease(d.number))
		d.context = 0
		return d.named(first(errs))
	})
	d.calls.Lock()
	defer d.calls.Unlock()
	d.closed = true
	return err
}

// first returns the first error. In a broken context the others follow from it.
func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// named adds the device to an error, and explains the loss of a device.
func (d *Device) named(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nvidia.ErrLost):
		return fmt.Errorf("device %s: %w: %w", d.name, err, engine.ErrDeviceLost)
	default:
		return fmt.Errorf("device %s: %w", d.name, err)
	}
}

var errClosed = errors.New("the device is closed")

// do calls the driver: one job at a time, on a thread on which the device's context is current. A
// panic becomes an error.
func (d *Device) do(job func() error) (err error) {
	d.calls.Lock()
	defer d.calls.Unlock()
	if d.closed {
		return errClosed
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	if d.context != 0 {
		if err := d.driver.CtxSetCurrent(d.context).Err(); err != nil {
			return err
		}
	}
	return job()
}
