package cuda

import (
	"fmt"
	"runtime"
	"unsafe"

	"ablate/runner/engine"
	"ablate/runner/engine/cuda/kernels"
	"ablate/runner/input"
)

var _ engine.ImageMemory = (*memory)(nil)

// imageRoom is where stored images wait on the device to become an input. One
// stream does all, so the next batch overwrites the last when that was used.
type imageRoom struct {
	pixels, views, mean *memory
	meanOf              *float32 // what mean is a copy of: a pipeline keeps its slice
}

// WriteImages sends the images as bytes and finishes them on the device.
func (m *memory) WriteImages(to engine.Tensor, images input.Images) error {
	if err := m.check("input", to.Off, to.Len()); err != nil {
		return err
	}
	defer runtime.KeepAlive(m)
	return m.d.named(m.d.thread.do(func() error { return m.d.show(to, images) }))
}

// show uploads a batch and begins the kernel that cuts, mirrors and colours it.
func (d *Device) show(to engine.Tensor, images input.Images) error {
	views := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(images.Views))), input.ViewLen*len(images.Views))
	mean, err := d.mean(images.Mean)
	if err != nil {
		return err
	}
	if err := d.send(&d.images.pixels, images.Pixels); err != nil {
		return err
	}
	if err := d.send(&d.images.views, views); err != nil {
		return err
	}
	p := &plan{d: d}
	p.launch(kernels.Input(kernels.Batch{Images: uint64(d.images.pixels.address), Views: uint64(d.images.views.address), Mean: uint64(mean.address),
		Out: to, Shape: images.Shape, MeanAt: images.MeanAt}, func(t engine.Tensor) uint64 { return uint64(address(t)) }))
	if p.err != nil {
		return fmt.Errorf("images: %w", p.err)
	}
	return p.calls[0]()
}

// mean is the device's copy of a mean image.
func (d *Device) mean(values []float32) (*memory, error) {
	if d.images.meanOf != unsafe.SliceData(values) {
		if err := d.send(&d.images.mean, bytesOf(values)); err != nil {
			return nil, err
		}
		d.images.meanOf = unsafe.SliceData(values)
	}
	return d.images.mean, nil
}

// send copies bytes to a block of the device, a larger one where it is too small.
func (d *Device) send(to **memory, from []byte) error {
	n := (len(from) + 3) / 4
	if *to == nil || (*to).n < n {
		m, err := d.alloc(n)
		if err != nil {
			return err
		}
		*to = m
	}
	return d.staging.upload(d, (*to).address, from)
}

// The kernel reads views as they lie in Go's memory.
var _ = [input.ViewLen]byte([unsafe.Sizeof(input.View{})]byte{})
