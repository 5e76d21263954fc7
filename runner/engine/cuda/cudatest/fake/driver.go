// Package fake is NVIDIA's driver, cuBLAS and cuDNN over host memory, for tests. It emulates kernels,
// and refuses calls as NVIDIA's libraries do. It was written from the documents of the libraries, not
// from the calls of package cuda. No product code imports it.
package fake

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"unsafe"

	"ablate/runner/engine/cuda/cudatest/emulation"
	"ablate/runner/engine/cuda/nvidia"
)

// A Machine has GPUs that do not exist.
type Machine struct {
	GPUs   int
	Memory uint64 // bytes of each GPU
	// Isolated GPUs cannot reach each other's memory.
	Isolated bool
	// Instead maps kernels to the wrong kernels that run in place of them, with the same parameters.
	Instead map[string]string
	// Refuse returns the status of a function of cuDNN, by its name in nvidia.DNN, for an algorithm,
	// or −1 for a list of algorithms. If it is nil, the fake does everything that it documents.
	Refuse func(function string, algorithm int32) nvidia.DNNStatus
	// Fail returns the result of call number n, counted from 1, of the named function, or 0 for a call
	// that does not fail. If it is nil, no call fails.
	Fail func(function string, n int) nvidia.Result
	gpu  *emulation.GPU

	mutex     sync.Mutex
	called    map[string]int
	lost      nvidia.Result
	current   map[int]nvidia.Context // by thread
	retained  map[nvidia.Context]int
	blocks    map[nvidia.Address]block
	pinned    map[uintptr][]uint64
	streams   map[nvidia.Stream]*stream
	events    map[nvidia.Event]*event
	functions map[nvidia.Function]function
	started   bool // by Init
	modules   map[nvidia.Module]bool
	graphs    map[nvidia.Graph][]work
	execs     map[nvidia.Exec][]work
	peers     map[[2]nvidia.Context]bool
	used      map[nvidia.Context]uint64
	handles   uintptr
	said      string  // cuDNN's last message
	clock     float64 // milliseconds, for events
	ran       error   // the error of work that failed
}

// A block is an allocation of a device.
type block struct {
	values []uint64
	bytes  uint64
	owner  nvidia.Context
}

// A function is a function of a loaded module.
type function struct {
	name   string
	module nvidia.Module
}

// work is a piece of work that a stream does later.
type work func() error

type stream struct {
	context   nvidia.Context
	queue     []work
	capturing bool
	spoiled   bool
	captured  []work
	thread    int
}

type event struct {
	context nvidia.Context
	timing  bool
	last    *record // nil: never recorded
}

// A record is one recording of an event. A wait for the event waits for the latest record at the time
// of the call.
type record struct {
	on   nvidia.Stream
	done bool
	at   float64
}

// New returns a machine with a number of GPUs, each with the given bytes of memory.
func New(gpu *emulation.GPU, gpus int, memory uint64) *Machine {
	return &Machine{GPUs: gpus, Memory: memory, gpu: gpu, called: map[string]int{}, current: map[int]nvidia.Context{},
		retained: map[nvidia.Context]int{},
		blocks:   map[nvidia.Address]block{}, pinned: map[uintptr][]uint64{}, streams: map[nvidia.Stream]*stream{},
		events:    map[nvidia.Event]*event{},
		functions: map[nvidia.Function]function{}, modules: map[nvidia.Module]bool{}, graphs: map[nvidia.Graph][]work{},
		execs: map[nvidia.Exec][]work{},
		peers: map[[2]nvidia.Context]bool{}, used: map[nvidia.Context]uint64{}}
}

// Backwards makes blocks, and the threads of a block between two barriers, run in the opposite order.
func (m *Machine) Backwards() { m.gpu.Backwards = true }

// Libraries returns the machine's libraries, with or without cuBLAS and cuDNN.
func (m *Machine) Libraries(complete bool) *nvidia.Libraries {
	l := &nvidia.Libraries{Driver: m.Driver(), NVRTC: compiler(), CUDA: 13000,
		Findings: []nvidia.Finding{{Name: "driver"}, {Name: "NVRTC"}}}
	if complete {
		l.BLAS, l.DNN = m.BLAS(), m.DNN()
		l.Findings = append(l.Findings, nvidia.Finding{Name: nvidia.CuBLAS, Version: "13.0.0"},
			nvidia.Finding{Name: nvidia.CuDNN, Version: "9.9.9"})
	}
	return l
}

// compiler returns a compiler whose machine code is the source text.
func compiler() *nvidia.NVRTC {
	texts, handle := map[uintptr]string{}, uintptr(0)
	return &nvidia.NVRTC{
		Version: func(major, minor *int32) nvidia.CompileResult { *major, *minor = 13, 0; return 0 },
		CreateProgram: func(p *uintptr, text, _ string, _ int32, _, _ uintptr) nvidia.CompileResult {
			handle++
			*p = handle
			texts[*p] = text
			return 0
		},
		CompileProgram: func(uintptr, int32, unsafe.Pointer) nvidia.CompileResult { return 0 },
		LogSize:        func(_ uintptr, n *uint64) nvidia.CompileResult { *n = 1; return 0 },
		Log:            func(_ uintptr, to *byte) nvidia.CompileResult { *to = 0; return 0 },
		CUBINSize:      func(p uintptr, n *uint64) nvidia.CompileResult { *n = uint64(len(texts[p])); return 0 },
		CUBIN: func(p uintptr, to *byte) nvidia.CompileResult {
			copy(unsafe.Slice(to, len(texts[p])), texts[p])
			return 0
		},
		DestroyProgram: func(p *uintptr) nvidia.CompileResult { delete(texts, *p); return 0 },
	}
}

// Calls returns how often a function was called, under its name in nvidia.Driver or the library's own.
func (m *Machine) Calls(function string) int {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.called[function]
}

// Leaks lists everything that was never released.
func (m *Machine) Leaks() []string {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	var all []string
	note := func(what string, n int) {
		if n > 0 {
			all = append(all, fmt.Sprintf("%d %s", n, what))
		}
	}
	note("blocks", len(m.blocks))
	note("pinned blocks", len(m.pinned))
	note("streams", len(m.streams))
	note("events", len(m.events))
	note("modules", len(m.modules))
	note("graphs", len(m.graphs))
	note("graphs made ready", len(m.execs))
	note("contexts", len(m.retained))
	return all
}

func (m *Machine) handle() uintptr { m.handles++; return m.handles }

// dropped forgets a handle.
func dropped[K comparable, V any](known map[K]V, handle K) nvidia.Result {
	if _, ok := known[handle]; !ok {
		return 400
	}
	delete(known, handle)
	return 0
}

// enter begins a call: it counts the call and returns its failure, if it fails. The caller holds the
// mutex.
func (m *Machine) enter(function string) nvidia.Result {
	m.called[function]++
	if m.lost != 0 {
		return m.lost
	}
	if m.Fail == nil {
		return 0
	}
	r := m.Fail(function, m.called[function])
	if r != 0 && nvidia.Result.Is(r, nvidia.ErrLost) {
		m.lost = r
	}
	return r
}

// inContext begins a call that needs a current context.
func (m *Machine) inContext(function string, f func(c nvidia.Context) nvidia.Result) nvidia.Result {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if r := m.enter(function); r != 0 {
		return r
	}
	c := m.current[threadID()]
	if c == 0 || m.retained[c] == 0 {
		return 201
	}
	return f(c)
}

// currentContext returns the context of the calling thread, 0 for none.
func (m *Machine) currentContext() nvidia.Context {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.current[threadID()]
}

// refused returns the result of Refuse.
func (m *Machine) refused(function string, algorithm int32) nvidia.DNNStatus {
	if m.Refuse == nil {
		return 0
	}
	status := m.Refuse(function, algorithm)
	if status != 0 {
		m.say(status, function+" is refused")
	}
	return status
}

// say stores cuDNN's message about an error.
func (m *Machine) say(s nvidia.DNNStatus, why string) nvidia.DNNStatus {
	m.said = why
	return s
}

// enqueue adds work to a stream, or to the graph that the stream records.
func (m *Machine) enqueue(c nvidia.Context, s nvidia.Stream, w work) nvidia.Result {
	st, ok := m.streams[s]
	switch {
	case !ok || st.context != c:
		return 400
	case st.capturing && st.spoiled:
		return 901
	case st.capturing:
		st.captured = append(st.captured, w)
	default:
		st.queue = append(st.queue, w)
	}
	return 0
}

// drain runs all the work of a stream.
func (m *Machine) drain(s *stream) nvidia.Result {
	return m.runUntil(s, func() bool { return false })
}

// runUntil runs a stream's work in order until enough returns true.
func (m *Machine) runUntil(s *stream, enough func() bool) nvidia.Result {
	for len(s.queue) > 0 && !enough() {
		w := s.queue[0]
		s.queue = s.queue[1:]
		if err := w(); err != nil {
			m.ran, m.lost = err, 719
			return 719
		}
	}
	return 0
}

// reach runs a stream until an event's record is done.
func (m *Machine) reach(r *record) nvidia.Result {
	if r == nil || r.done { // an event that was never recorded is done
		return 0
	}
	return m.runUntil(m.streams[r.on], func() bool { return r.done })
}

// settle runs all streams of a context. It invalidates those that are capturing.
func (m *Machine) settle(c nvidia.Context) nvidia.Result {
	for _, s := range m.streams {
		if s.context != c {
			continue
		}
		if s.capturing && s.thread == threadID() {
			s.spoiled = true
			return 900
		}
		if r := m.drain(s); r != 0 {
			return r
		}
	}
	return 0
}

// Ran returns the error of work that failed on a stream. The device only learns its number.
func (m *Machine) Ran() error { return m.ran }

// holds returns the host memory of n bytes at an address, if one live block that a context may reach
// contains them.
func (m *Machine) holds(c nvidia.Context, a nvidia.Address, n uint64) bool {
	for start, b := range m.blocks {
		if a >= start && uint64(a-start)+n <= b.bytes {
			return b.owner == c || m.peers[[2]nvidia.Context{c, b.owner}]
		}
	}
	return false
}

func (m *Machine) pins(p unsafe.Pointer, n uint64) bool {
	for start, b := range m.pinned {
		if uintptr(p) >= start && uint64(uintptr(p)-start)+n <= 8*uint64(len(b)) {
			return true
		}
	}
	return false
}

func bytesAt(a nvidia.Address, n uint64) []byte {
	p := uintptr(a)
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&p))), n)
}

// Driver returns the driver API of the machine.
func (m *Machine) Driver() *nvidia.Driver {
	d := &nvidia.Driver{}
	plain := func(function string, f func() nvidia.Result) nvidia.Result {
		m.mutex.Lock()
		defer m.mutex.Unlock()
		if r := m.enter(function); r != 0 {
			return r
		}
		return f()
	}
	d.Init = func(flags uint32) nvidia.Result {
		return plain("Init", func() nvidia.Result {
			if flags != 0 {
				return 1
			}
			m.started = true
			return 0
		})
	}
	d.DriverGetVersion = func(v *int32) nvidia.Result { *v = 13000; return 0 }
	// of begins a call that names a device.
	of := func(function string, dev int32, f func()) nvidia.Result {
		return plain(function, func() nvidia.Result {
			switch {
			case !m.started:
				return 3
			case dev < 0 || int(dev) >= m.GPUs:
				return nvidia.InvalidDevice
			}
			f()
			return 0
		})
	}
	d.DeviceGetCount = func(n *int32) nvidia.Result {
		return plain("DeviceGetCount", func() nvidia.Result {
			if !m.started {
				return 3
			}
			*n = int32(m.GPUs)
			return 0
		})
	}
	d.DeviceGet = func(dev *int32, ordinal int32) nvidia.Result {
		return of("DeviceGet", ordinal, func() { *dev = ordinal })
	}
	d.DeviceGetName = func(to *byte, n, dev int32) nvidia.Result {
		return of("DeviceGetName", dev, func() { copy(unsafe.Slice(to, n), "Fake GPU\x00") })
	}
	d.DeviceTotalMem = func(n *uint64, dev int32) nvidia.Result {
		return of("DeviceTotalMem", dev, func() { *n = m.Memory })
	}
	d.DeviceGetAttr = func(v *int32, a nvidia.Attribute, dev int32) nvidia.Result {
		known, ok := map[nvidia.Attribute]int32{nvidia.ComputeMajor: 9, nvidia.ComputeMinor: 0}[a]
		if !ok {
			return 1
		}
		return of("DeviceGetAttr", dev, func() { *v = known })
	}
	d.DeviceCanAccess = func(can *int32, a, b int32) nvidia.Result {
		*can = 0
		if a != b && !m.Isolated {
			*can = 1
		}
		return 0
	}
	d.PrimaryRetain = func(c *nvidia.Context, dev int32) nvidia.Result {
		return of("PrimaryRetain", dev, func() {
			*c = nvidia.Context(dev + 1)
			m.retained[*c]++
		})
	}
	d.PrimaryRelease = func(dev int32) nvidia.Result {
		m.mutex.Lock()
		defer m.mutex.Unlock()
		c := nvidia.Context(dev + 1)
		if m.retained[c] == 0 {
			return 201
		}
		if m.retained[c]--; m.retained[c] == 0 {
			delete(m.retained, c)
		}
		return 0
	}
	d.CtxSetCurrent = func(c nvidia.Context) nvidia.Result {
		m.mutex.Lock()
		defer m.mutex.Unlock()
		if c != 0 && m.retained[c] == 0 {
			return 201
		}
		m.current[threadID()] = c
		return 0
	}
	d.CtxEnablePeer = func(peer nvidia.Context, flags uint32) nvidia.Result {
		return m.inContext("CtxEnablePeer", func(c nvidia.Context) nvidia.Result {
			switch key := [2]nvidia.Context{c, peer}; {
			case m.Isolated || peer == c || flags != 0 || m.retained[peer] == 0:
				return 217
			case m.peers[key]:
				return nvidia.PeerAlreadyEnabled
			default:
				m.peers[key] = true
				return 0
			}
		})
	}
	m.memoryAPI(d)
	m.streamAPI(d)
	m.moduleAPI(d)
	return d
}

func (m *Machine) memoryAPI(d *nvidia.Driver) {
	d.MemGetInfo = func(free, total *uint64) nvidia.Result {
		return m.inContext("MemGetInfo", func(c nvidia.Context) nvidia.Result {
			*free, *total = m.Memory-m.used[c], m.Memory
			return 0
		})
	}
	d.MemAlloc = func(a *nvidia.Address, n uint64) nvidia.Result {
		return m.inContext("MemAlloc", func(c nvidia.Context) nvidia.Result {
			for _, s := range m.streams {
				if s.capturing && s.thread == threadID() {
					s.spoiled = true
					return 900
				}
			}
			switch {
			case n == 0:
				return 1
			case m.used[c]+n > m.Memory:
				return nvidia.OutOfMemory
			}
			m.used[c] += n
			values := make([]uint64, (n+7)/8+32)
			for i := range values { // callers must not rely on zeros
				values[i] = uint64(math.Float32bits(float32(math.NaN())))<<32 | uint64(math.Float32bits(float32(math.NaN())))
			}
			at := 0
			for uintptr(unsafe.Pointer(&values[at]))%256 != 0 {
				at++
			}
			*a = nvidia.Address(uintptr(unsafe.Pointer(&values[at])))
			m.blocks[*a] = block{values, n, c}
			return 0
		})
	}
	d.MemFree = func(a nvidia.Address) nvidia.Result {
		return m.inContext("MemFree", func(c nvidia.Context) nvidia.Result {
			b, ok := m.blocks[a]
			if !ok || b.owner != c {
				return 1
			}
			if r := m.settle(c); r != 0 { // freeing memory waits for the device
				return r
			}
			m.used[c] -= b.bytes
			delete(m.blocks, a)
			return 0
		})
	}
	d.MemHostAlloc = func(p *unsafe.Pointer, n uint64, flags uint32) nvidia.Result {
		return m.inContext("MemHostAlloc", func(nvidia.Context) nvidia.Result {
			if n == 0 || flags > 7 {
				return 1
			}
			values := make([]uint64, (n+7)/8)
			*p = unsafe.Pointer(&values[0])
			m.pinned[uintptr(*p)] = values
			return 0
		})
	}
	d.MemFreeHost = func(p unsafe.Pointer) nvidia.Result {
		return m.inContext("MemFreeHost", func(nvidia.Context) nvidia.Result {
			if _, ok := m.pinned[uintptr(p)]; !ok {
				return 1
			}
			delete(m.pinned, uintptr(p))
			return 0
		})
	}
	d.MemcpyHtoDAsync = func(to nvidia.Address, from unsafe.Pointer, n uint64, s nvidia.Stream) nvidia.Result {
		return m.inContext("MemcpyHtoDAsync", func(c nvidia.Context) nvidia.Result {
			if !m.holds(c, to, n) || !m.pins(from, n) {
				return 1
			}
			return m.enqueue(c, s, func() error { copy(bytesAt(to, n), unsafe.Slice((*byte)(from), n)); return nil })
		})
	}
	d.MemcpyDtoHAsync = func(to unsafe.Pointer, from nvidia.Address, n uint64, s nvidia.Stream) nvidia.Result {
		return m.inContext("MemcpyDtoHAsync", func(c nvidia.Context) nvidia.Result {
			if !m.holds(c, from, n) || !m.pins(to, n) {
				return 1
			}
			return m.enqueue(c, s, func() error { copy(unsafe.Slice((*byte)(to), n), bytesAt(from, n)); return nil })
		})
	}
	d.MemsetD32Async = func(to nvidia.Address, v uint32, n uint64, s nvidia.Stream) nvidia.Result {
		return m.inContext("MemsetD32Async", func(c nvidia.Context) nvidia.Result {
			if to%4 != 0 || !m.holds(c, to, 4*n) {
				return 1
			}
			return m.enqueue(c, s, func() error {
				b := bytesAt(to, 4*n)
				for i := range n {
					*(*uint32)(unsafe.Pointer(&b[4*i])) = v
				}
				return nil
			})
		})
	}
}

func (m *Machine) streamAPI(d *nvidia.Driver) {
	d.StreamCreate = func(s *nvidia.Stream, flags uint32) nvidia.Result {
		return m.inContext("StreamCreate", func(c nvidia.Context) nvidia.Result {
			if flags > nvidia.StreamNonBlocking {
				return 1
			}
			*s = nvidia.Stream(m.handle())
			m.streams[*s] = &stream{context: c}
			return 0
		})
	}
	sync := func(function string, s nvidia.Stream) nvidia.Result {
		return m.inContext(function, func(c nvidia.Context) nvidia.Result {
			st, ok := m.streams[s]
			switch {
			case !ok:
				return 400
			case st.capturing:
				st.spoiled = true
				return 900
			}
			return m.drain(st)
		})
	}
	d.StreamSync = func(s nvidia.Stream) nvidia.Result { return sync("StreamSync", s) }
	d.StreamDestroy = func(s nvidia.Stream) nvidia.Result {
		return m.inContext("StreamDestroy", func(nvidia.Context) nvidia.Result { return dropped(m.streams, s) })
	}
	d.StreamWaitEvent = func(s nvidia.Stream, e nvidia.Event, flags uint32) nvidia.Result {
		return m.inContext("StreamWaitEvent", func(c nvidia.Context) nvidia.Result {
			ev, ok := m.events[e]
			if !ok || flags > 1 {
				return 400
			}
			r := ev.last
			return m.enqueue(c, s, func() error {
				if m.reach(r) != 0 {
					return m.ran
				}
				return nil
			})
		})
	}
	d.BeginCapture = func(s nvidia.Stream, mode uint32) nvidia.Result {
		return m.inContext("BeginCapture", func(c nvidia.Context) nvidia.Result {
			st, ok := m.streams[s]
			if !ok || st.capturing || mode > 2 {
				return 400
			}
			st.capturing, st.spoiled, st.captured, st.thread = true, false, nil, threadID()
			return 0
		})
	}
	d.EndCapture = func(s nvidia.Stream, g *nvidia.Graph) nvidia.Result {
		return m.inContext("EndCapture", func(c nvidia.Context) nvidia.Result {
			st, ok := m.streams[s]
			if !ok || !st.capturing {
				return 401
			}
			st.capturing = false
			if st.thread != threadID() {
				return 908
			}
			if st.spoiled {
				return 901
			}
			*g = nvidia.Graph(m.handle())
			m.graphs[*g] = st.captured
			return 0
		})
	}
	d.GraphInstantiate = func(e *nvidia.Exec, g nvidia.Graph, _ uint64) nvidia.Result {
		return m.inContext("GraphInstantiate", func(c nvidia.Context) nvidia.Result {
			w, ok := m.graphs[g]
			if !ok {
				return 400
			}
			*e = nvidia.Exec(m.handle())
			m.execs[*e] = w
			return 0
		})
	}
	d.GraphLaunch = func(e nvidia.Exec, s nvidia.Stream) nvidia.Result {
		return m.inContext("GraphLaunch", func(c nvidia.Context) nvidia.Result {
			all, ok := m.execs[e]
			if !ok {
				return 400
			}
			for _, w := range all {
				if r := m.enqueue(c, s, w); r != 0 {
					return r
				}
			}
			return 0
		})
	}
	d.GraphExecDestroy = func(e nvidia.Exec) nvidia.Result {
		return m.inContext("GraphExecDestroy", func(nvidia.Context) nvidia.Result { return dropped(m.execs, e) })
	}
	d.GraphDestroy = func(g nvidia.Graph) nvidia.Result {
		return m.inContext("GraphDestroy", func(nvidia.Context) nvidia.Result { return dropped(m.graphs, g) })
	}
	d.EventCreate = func(e *nvidia.Event, flags uint32) nvidia.Result {
		return m.inContext("EventCreate", func(c nvidia.Context) nvidia.Result {
			*e = nvidia.Event(m.handle())
			m.events[*e] = &event{context: c, timing: flags&nvidia.EventDisableTiming == 0}
			return 0
		})
	}
	d.EventRecord = func(e nvidia.Event, s nvidia.Stream) nvidia.Result {
		return m.inContext("EventRecord", func(c nvidia.Context) nvidia.Result {
			ev, ok := m.events[e]
			if !ok || ev.context != c {
				return 400
			}
			r := &record{on: s}
			ev.last = r
			return m.enqueue(c, s, func() error {
				m.clock++
				r.done, r.at = true, m.clock
				return nil
			})
		})
	}
	d.EventSync = func(e nvidia.Event) nvidia.Result {
		return m.inContext("EventSync", func(c nvidia.Context) nvidia.Result {
			ev, ok := m.events[e]
			switch {
			case !ok:
				return 400
			case ev.last != nil && m.streams[ev.last.on].capturing:
				return 900
			}
			return m.reach(ev.last)
		})
	}
	d.EventElapsed = func(ms *float32, from, to nvidia.Event) nvidia.Result {
		return m.inContext("EventElapsed", func(nvidia.Context) nvidia.Result {
			a, b := m.events[from], m.events[to]
			switch {
			case a == nil || b == nil || !a.timing || !b.timing || a.last == nil || b.last == nil:
				return 400
			case !a.last.done || !b.last.done:
				return 600
			}
			*ms = float32(b.last.at - a.last.at)
			return 0
		})
	}
	d.EventDestroy = func(e nvidia.Event) nvidia.Result {
		return m.inContext("EventDestroy", func(nvidia.Context) nvidia.Result { return dropped(m.events, e) })
	}
}

func (m *Machine) moduleAPI(d *nvidia.Driver) {
	d.ModuleLoadData = func(mod *nvidia.Module, image unsafe.Pointer) nvidia.Result {
		return m.inContext("ModuleLoadData", func(nvidia.Context) nvidia.Result {
			if image == nil {
				return 1
			}
			*mod = nvidia.Module(m.handle())
			m.modules[*mod] = true
			return 0
		})
	}
	d.ModuleGet = func(f *nvidia.Function, mod nvidia.Module, name string) nvidia.Result {
		return m.inContext("ModuleGet", func(nvidia.Context) nvidia.Result {
			if !m.modules[mod] {
				return 400
			}
			*f = nvidia.Function(m.handle())
			m.functions[*f] = function{name, mod}
			return 0
		})
	}
	d.ModuleUnload = func(mod nvidia.Module) nvidia.Result {
		return m.inContext("ModuleUnload", func(nvidia.Context) nvidia.Result { return dropped(m.modules, mod) })
	}
	d.LaunchKernel = func(f nvidia.Function, gx, gy, gz, bx, by, bz, shared uint32, s nvidia.Stream, params,
		extra unsafe.Pointer) nvidia.Result {
		return m.inContext("LaunchKernel", func(c nvidia.Context) nvidia.Result {
			loaded, ok := m.functions[f]
			name := loaded.name
			switch {
			case !ok || !m.modules[loaded.module]:
				return 400
			case params == nil || extra != nil || gx == 0 || gy == 0 || gz == 0 || gx > math.MaxInt32 || gy > math.MaxUint16 ||
				gz > math.MaxUint16 || bx*by*bz == 0 || bx*by*bz > 1024 || bz > 64 || shared > 0:
				return 1
			}
			runs := name
			if wrong, ok := m.Instead[name]; ok {
				runs = wrong
			}
			call, err := m.gpu.Copy(runs, [3]uint32{gx, gy, gz}, [3]uint32{bx, by, bz}, params)
			if err != nil {
				m.ran = err
				return 1
			}
			return m.enqueue(c, s, func() error {
				defer runtime.KeepAlive(call)
				if !m.modules[loaded.module] {
					return fmt.Errorf("%s runs after its module was unloaded", name)
				}
				for _, a := range call.Addresses() {
					if !m.holds(c, nvidia.Address(a), 1) {
						return fmt.Errorf("%s reaches %#x, which is not this GPU's", name, a)
					}
				}
				return call.Run()
			})
		})
	}
}
