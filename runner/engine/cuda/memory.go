package cuda

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"ablate/runner/engine"
	"ablate/runner/engine/cuda/nvidia"
)

// memory is a block of the device's float32 values. Blocks that Go can no longer reach are freed at
// the next allocation.
type memory struct {
	d       *Device
	address nvidia.Address
	n       int
}

// Alloc returns zeroed memory for n values. If there is not enough, the error is an
// engine.MemoryError.
func (d *Device) Alloc(n int) (engine.Memory, error) {
	var m *memory
	err := d.do(func() (err error) {
		m, err = d.alloc(n)
		return err
	})
	if err != nil {
		return nil, d.named(err)
	}
	return m, nil
}

func (d *Device) alloc(n int) (*memory, error) {
	m, err := d.raw(n)
	if err != nil {
		return nil, err
	}
	return m, d.driver.MemsetD32Async(m.address, 0, uint64(n), d.stream).Err()
}

// raw allocates memory without clearing it.
func (d *Device) raw(n int) (*memory, error) {
	address, err := d.take(4 * uint64(max(n, 1)))
	if err != nil {
		return nil, err
	}
	m := &memory{d, address, n}
	runtime.AddCleanup(m, d.letGo, address)
	return m, nil
}

// letGo notes that a block is no longer used. Any goroutine may call it.
func (d *Device) letGo(address nvidia.Address) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.freed = append(d.freed, address)
}

// take allocates memory that lives until it is dropped or the device is closed.
func (d *Device) take(bytes uint64) (nvidia.Address, error) {
	if err := d.freeDropped(); err != nil {
		return 0, err
	}
	var address nvidia.Address
	result := d.driver.MemAlloc(&address, bytes)
	for range collections { // programs of earlier runs may still hold some
		if result != nvidia.OutOfMemory {
			break
		}
		runtime.GC()
		time.Sleep(time.Millisecond) // a collection queues cleanups, which run soon after
		if err := d.freeDropped(); err != nil {
			return 0, err
		}
		result = d.driver.MemAlloc(&address, bytes)
	}
	if result == nvidia.OutOfMemory {
		return 0, d.outOfMemory(bytes)
	}
	if err := result.Err(); err != nil {
		return 0, err
	}
	d.inUse[address] = true
	return address, nil
}

// collections is the number of garbage collections that are tried before memory counts as short. The
// blocks that one finds unreachable may hold more memory, and its cleanups need a moment to run.
const collections = 4

func (d *Device) outOfMemory(need uint64) error {
	var free, total uint64
	if err := d.driver.MemGetInfo(&free, &total).Err(); err != nil {
		return err
	}
	return &engine.MemoryError{Need: int64(need), Free: int64(free)}
}

// freeDropped frees the memory of programs that no longer exist.
func (d *Device) freeDropped() error {
	d.mutex.Lock()
	freed, graphs := d.freed, d.freedGraphs
	d.freed, d.freedGraphs = nil, nil
	d.mutex.Unlock()
	if len(freed)+len(graphs) == 0 {
		return nil
	}
	for _, s := range []nvidia.Stream{d.images.copies, d.stream} {
		if err := d.driver.StreamSync(s).Err(); err != nil {
			return err
		}
	}
	for _, g := range graphs {
		delete(d.graphs, g)
		if err := d.driver.GraphExecDestroy(g).Err(); err != nil {
			return err
		}
	}
	for _, a := range freed {
		delete(d.inUse, a)
		if err := d.driver.MemFree(a).Err(); err != nil {
			return err
		}
	}
	return nil
}

// room returns scratch memory for the launches of one kernel. Other kernels overwrite it, since all
// run in order. A block that became too small is kept, because kernels hold its address. Doubling
// keeps the sum of all blocks below twice the largest.
func (d *Device) room(bytes uint64) (nvidia.Address, error) {
	n := int((bytes + 3) / 4)
	if d.scratch == nil || d.scratch.n < n {
		if d.scratch != nil {
			n = max(n, 2*d.scratch.n)
		}
		address, err := d.take(4 * uint64(n))
		if err != nil {
			return 0, fmt.Errorf("scratch memory of %d MiB: %w", n>>18, err)
		}
		d.scratch = &memory{d, address, n}
	}
	return d.scratch.address, nil
}

// address returns where a tensor begins, in the memory of this device or of another.
func address(t engine.Tensor) nvidia.Address {
	return t.Mem.(*memory).address + 4*nvidia.Address(t.Off)
}

func (m *memory) Len() int { return m.n }

func (m *memory) check(what string, off, n int) error {
	if off < 0 || off+n > m.n {
		return fmt.Errorf("%s of %d values at %d outside a block of %d", what, n, off, m.n)
	}
	return nil
}

// Write copies to the device by way of pinned memory. It returns when the values have been read from
// the slice, before they have arrived.
func (m *memory) Write(off int, from []float32) error {
	if err := m.check("write", off, len(from)); err != nil {
		return err
	}
	defer runtime.KeepAlive(m)
	return m.d.named(m.d.do(func() error {
		return m.d.staging.upload(m.d, m.address+4*nvidia.Address(off), bytesOf(from))
	}))
}

// Read waits for the work that was started and copies to the host.
func (m *memory) Read(off int, to []float32) error {
	if err := m.check("read", off, len(to)); err != nil {
		return err
	}
	defer runtime.KeepAlive(m)
	return m.d.named(m.d.do(func() error {
		return m.d.staging.download(m.d, m.address+4*nvidia.Address(off), bytesOf(to))
	}))
}

// bytesOf views values as bytes.
func bytesOf(values []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 4*len(values))
}

// staging is pinned host memory, which the GPU reads and writes by itself. It has two buffers: one is
// filled while the other is copied.
type staging struct {
	stream  nvidia.Stream
	size    uint64 // bytes of a buffer; 0 means stagingLen
	buffers [2]buffer
	next    int
}

type buffer struct {
	host    unsafe.Pointer
	arrived nvidia.Event // recorded behind the last copy from here
}

// stagingLen is long enough for the copy to hide the time that starting it takes: 4 MiB take 0.16 ms
// at 25 GB/s.
const stagingLen = 4 << 20

func (s *staging) len() uint64 {
	if s.size == 0 {
		return stagingLen
	}
	return s.size
}

// buffer returns the next buffer, once its last copy is done.
func (s *staging) buffer(d *Device) (*buffer, error) {
	b := &s.buffers[s.next]
	s.next = (s.next + 1) % len(s.buffers)
	if b.host == nil {
		if err := d.driver.MemHostAlloc(&b.host, s.len(), 0).Err(); err != nil {
			return nil, fmt.Errorf("pinned host memory of %d KiB: %w", s.len()>>10, err)
		}
		if err := d.driver.EventCreate(&b.arrived, nvidia.EventDisableTiming).Err(); err != nil {
			return nil, err
		}
	}
	return b, d.driver.EventSync(b.arrived).Err()
}

// upload copies bytes to the device, in stream order.
func (s *staging) upload(d *Device, to nvidia.Address, from []byte) error {
	for len(from) > 0 {
		b, err := s.buffer(d)
		if err != nil {
			return err
		}
		n := copy(unsafe.Slice((*byte)(b.host), s.len()), from)
		if err := d.driver.MemcpyHtoDAsync(to, b.host, uint64(n), s.stream).Err(); err != nil {
			return err
		}
		if err := d.driver.EventRecord(b.arrived, s.stream).Err(); err != nil {
			return err
		}
		to, from = to+nvidia.Address(n), from[n:]
	}
	return nil
}

// download copies bytes to the host when all earlier kernels are done.
func (s *staging) download(d *Device, from nvidia.Address, to []byte) error {
	for len(to) > 0 {
		b, err := s.buffer(d)
		if err != nil {
			return err
		}
		n := min(uint64(len(to)), s.len())
		if err := d.driver.MemcpyDtoHAsync(b.host, from, n, s.stream).Err(); err != nil {
			return err
		}
		if err := d.driver.StreamSync(s.stream).Err(); err != nil {
			return err
		}
		copy(to, unsafe.Slice((*byte)(b.host), n))
		from, to = from+nvidia.Address(n), to[n:]
	}
	return nil
}

func (s *staging) close(d *Device, note func(nvidia.Result)) {
	for i := range s.buffers {
		b := &s.buffers[i]
		if b.host != nil {
			note(d.driver.MemFreeHost(b.host))
		}
		if b.arrived != 0 {
			note(d.driver.EventDestroy(b.arrived))
		}
	}
}
