package cuda

import (
	"fmt"
	"runtime"
	"unsafe"

	"ablate/runner/augment"
	"ablate/runner/engine"
	"ablate/runner/engine/cuda/kernels"
	"ablate/runner/engine/cuda/nvidia"
)

var _ engine.ImageMemory = (*memory)(nil)

// imageStaging holds stored images on the device until they become an input. They travel on a separate
// stream, into one of two slots, while kernels run.
type imageStaging struct {
	copies  nvidia.Stream
	staging staging // on the stream of copies
	slots   [2]imageBuffer
	next    int
	mean    *memory
	meanOf  *float32 // the slice that mean is a copy of: a pipeline keeps its slice
}

// An imageBuffer has room for a batch.
type imageBuffer struct {
	pixels, views *memory
	arrived       nvidia.Event // the batch is here, on the stream of copies
	used          nvidia.Event // it has been turned into an input, on the device's stream
}

func (r *imageStaging) open(d *Device) error {
	if err := d.driver.StreamCreate(&r.copies, nvidia.StreamNonBlocking).Err(); err != nil {
		return err
	}
	r.staging.stream = r.copies
	for i := range r.slots {
		for _, e := range []*nvidia.Event{&r.slots[i].arrived, &r.slots[i].used} {
			if err := d.driver.EventCreate(e, nvidia.EventDisableTiming).Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *imageStaging) close(d *Device, note func(nvidia.Result)) {
	r.staging.close(d, note)
	for _, s := range r.slots {
		for _, e := range []nvidia.Event{s.arrived, s.used} {
			if e != 0 {
				note(d.driver.EventDestroy(e))
			}
		}
	}
	if r.copies != 0 {
		note(d.driver.StreamDestroy(r.copies))
	}
}

// WriteImages sends the images as bytes. The device turns them into the input.
func (m *memory) WriteImages(to engine.Tensor, images augment.Images) error {
	if err := m.check("input", to.Off, to.Len()); err != nil {
		return err
	}
	defer runtime.KeepAlive(m)
	return m.d.named(m.d.do(func() error { return m.d.show(to, images) }))
}

// show uploads a batch and starts the kernel that cuts, mirrors and colours it.
func (d *Device) show(to engine.Tensor, images augment.Images) error {
	r := &d.images
	mean, err := d.mean(images.Mean)
	if err != nil {
		return err
	}
	slot := &r.slots[r.next]
	r.next = (r.next + 1) % len(r.slots)
	if err := d.driver.StreamWaitEvent(r.copies, slot.used, 0).Err(); err != nil {
		return err
	}
	if err := d.send(&slot.pixels, &r.staging, images.Pixels); err != nil {
		return err
	}
	views := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(images.Transforms))),
		augment.TransformLen*len(images.Transforms))
	if err := d.send(&slot.views, &r.staging, views); err != nil {
		return err
	}
	if err := d.driver.EventRecord(slot.arrived, r.copies).Err(); err != nil {
		return err
	}
	if err := d.driver.StreamWaitEvent(d.stream, slot.arrived, 0).Err(); err != nil {
		return err
	}
	p := &plan{d: d}
	p.launch(kernels.Input(kernels.Batch{Images: uint64(slot.pixels.address), Views: uint64(slot.views.address),
		Mean: uint64(mean.address),
		Out:  to, Shape: images.Shape, MeanAt: images.MeanAt}, func(t engine.Tensor) uint64 { return uint64(address(t)) }))
	if p.err != nil {
		return fmt.Errorf("images: %w", p.err)
	}
	if err := p.calls[0](); err != nil {
		return err
	}
	return d.driver.EventRecord(slot.used, d.stream).Err()
}

// mean returns the device's copy of a mean image.
func (d *Device) mean(values []float32) (*memory, error) {
	if d.images.meanOf != unsafe.SliceData(values) {
		if err := d.send(&d.images.mean, &d.staging, bytesOf(values)); err != nil {
			return nil, err
		}
		d.images.meanOf = unsafe.SliceData(values)
	}
	return d.images.mean, nil
}

// send copies bytes to a block of the device. It allocates a larger block if this one is too small.
func (d *Device) send(to **memory, by *staging, from []byte) error {
	n := (len(from) + 3) / 4
	if *to == nil || (*to).n < n {
		m, err := d.raw(n)
		if err != nil {
			return err
		}
		*to = m
	}
	return by.upload(d, (*to).address, from)
}

// The kernel reads views in the layout that they have in Go's memory.
var _ = [augment.TransformLen]byte([unsafe.Sizeof(augment.Transform{})]byte{})
