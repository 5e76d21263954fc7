// Package emulation runs the GPU's kernels on the host, for tests: the same sources, compiled by a C++
// compiler behind a shim, over host memory. It shows what the kernels compute and how they are
// launched, not how fast they are. No product code imports it.
package emulation

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"

	"ablate/runner/engine/cuda/kernels"
)

// ErrNoCompiler is the error of a machine that cannot compile the kernels.
var ErrNoCompiler = errors.New("no g++ on this machine, or not Linux: the kernels cannot be emulated")

//go:embed shim.h
var shim string

//go:embed launch.h
var launch string

// A GPU runs launches on addresses of host memory, one at a time.
type GPU struct {
	// Backwards runs blocks, and the threads of a block between two barriers, in
	// the opposite order. A kernel without races computes the same bits.
	Backwards bool
	emulate   uintptr
	kinds     uintptr
	mutex     *sync.Mutex
}

// options are those of the compiler. Without contraction a product is rounded before it is added, as
// on the CPU device. A load or store at an address that its type does not allow calls a function of
// the shim, as a GPU would stop the kernel.
var options = []string{"-std=c++17", "-O2", "-ffp-contract=off", "-U_FORTIFY_SOURCE", "-fPIC", "-fsanitize=alignment"}

// compiled is the library, built once for all tests of a process and kept for later processes:
// compiling takes g++ longer than most tests take.
var compiled = sync.OnceValues(func() (*GPU, error) {
	compiler, err := exec.LookPath("g++")
	if err != nil || runtime.GOOS != "linux" {
		return nil, ErrNoCompiler
	}
	version, err := exec.Command(compiler, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("g++: %w", err)
	}
	source := []byte(program())
	library := cached(string(version), source)
	if _, err := os.Stat(library); err == nil {
		if gpu, err := open(library); err == nil {
			return gpu, nil
		}
	}
	dir, err := os.MkdirTemp("", "ablate-emulation-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // the loader keeps the files that it has mapped
	object, fresh := filepath.Join(dir, "kernels.o"), filepath.Join(dir, "kernels.so")
	build := exec.Command(compiler, append(options, "-x", "c++", "-", "-c", "-o", object)...)
	build.Stdin = bytes.NewReader(source)
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("g++: %w\n%s", err, out)
	}
	// The library is linked without the sanitizer, whose own library is not needed.
	if out, err := exec.Command(compiler, "-shared", object, "-o", fresh).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("g++: %w\n%s", err, out)
	}
	keep(fresh, library)
	return open(fresh)
})

// cached returns the path of the library of a source, "" if the user has no cache. The name changes
// with everything that a library depends on.
func cached(compiler string, source []byte) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n%s", runtime.GOARCH, compiler, options, source)
	return filepath.Join(dir, "ablate", "emulation", fmt.Sprintf("%x.so", h.Sum(nil)[:16]))
}

// keep copies a library into the cache, either completely or not at all. Without a cache the next
// process compiles again.
func keep(fresh, library string) {
	if library == "" {
		return
	}
	text, err := os.ReadFile(fresh)
	if err != nil || os.MkdirAll(filepath.Dir(library), 0o700) != nil {
		return
	}
	part, err := os.CreateTemp(filepath.Dir(library), "part-")
	if err != nil {
		return
	}
	_, err = part.Write(text)
	if errors.Join(err, part.Close()) == nil {
		err = os.Rename(part.Name(), library)
	}
	if err != nil {
		os.Remove(part.Name())
	}
}

// New returns a GPU. The error is ErrNoCompiler if there is no C++ compiler; tests then skip.
func New() (*GPU, error) {
	shared, err := compiled()
	if err != nil {
		return nil, err
	}
	own := *shared
	return &own, nil
}

// program returns the text that is compiled. Each source has a separate namespace.
func program() string {
	var text, table strings.Builder
	text.WriteString(shim)
	table.WriteString("static const Function functions[] = {\n")
	for i, s := range kernels.Sources() {
		// Macros of one source must not reach the next.
		fmt.Fprintf(&text, "namespace source%d {\n%s\n}\n", i, s.Text)
		for _, m := range regexp.MustCompile(`(?m)^#define (\w+)`).FindAllStringSubmatch(s.Text, -1) {
			fmt.Fprintf(&text, "#undef %s\n", m[1])
		}
		for _, f := range s.Functions() {
			fmt.Fprintf(&table, "KERNEL(source%d, %s),\n", i, f)
		}
	}
	return text.String() + table.String() + "};\n" + launch
}

// A Call is a prepared launch. Running it allocates nothing.
type Call struct {
	gpu  *GPU
	args []uintptr // of ablate_emulate
	held []any     // the memory that args point to: the heap does not move
}

// Prepare prepares a launch. The caller keeps alive the memory at its addresses.
func (g *GPU) Prepare(l kernels.Launch) (*Call, error) {
	if l.Shared > 0 {
		return nil, fmt.Errorf("launch %s: dynamic shared memory is not emulated", l.Function)
	}
	// Every parameter is copied to 8 bytes that do not move, or is used where it is. params points to
	// them, as a driver expects.
	values, params := make([]uint64, len(l.Params)+1), make([]unsafe.Pointer, len(l.Params)+1)
	c := &Call{gpu: g}
	var kinds strings.Builder
	for i, p := range l.Params {
		at := unsafe.Pointer(&values[i])
		params[i] = at
		switch p := p.(type) {
		case uint64:
			*(*uint64)(at) = p
			kinds.WriteString("i2")
		case int32:
			*(*int32)(at) = p
			kinds.WriteString("i1")
		case uint32:
			*(*uint32)(at) = p
			kinds.WriteString("i1")
		case float32:
			*(*float32)(at) = p
			kinds.WriteString("f1")
		case float64:
			*(*float64)(at) = p
			kinds.WriteString("d2")
		case kernels.Struct:
			params[i] = unsafe.Pointer(&p[0])
			kinds.WriteString("s" + string(rune('0'+len(p))))
		default:
			return nil, fmt.Errorf("launch %s: parameter %d is a %T", l.Function, i, p)
		}
	}
	c.hold(l.Function, kinds.String(), l.Grid, l.Block, params)
	c.held = append(c.held, values)
	return c, nil
}

// Copy prepares a launch from an array of pointers to its parameters, which it copies as CUDA's driver
// does.
func (g *GPU) Copy(function string, grid, block [3]uint32, params unsafe.Pointer) (*Call, error) {
	name := append([]byte(function), 0)
	found, _, _ := purego.SyscallN(g.kinds, uintptr(unsafe.Pointer(&name[0])))
	runtime.KeepAlive(name)
	if found == 0 {
		return nil, fmt.Errorf("no function %s", function)
	}
	kinds := text(found)
	given := unsafe.Slice((*unsafe.Pointer)(params), len(kinds)/2)
	copies := make([]unsafe.Pointer, len(given)+1)
	for i, from := range given {
		words := int(kinds[2*i+1] - '0')
		to := make([]uint64, (words+1)/2)
		copy(unsafe.Slice((*uint32)(unsafe.Pointer(&to[0])), words), unsafe.Slice((*uint32)(from), words))
		copies[i] = unsafe.Pointer(&to[0])
	}
	c := &Call{gpu: g}
	c.hold(function, kinds, grid, block, copies)
	return c, nil
}

// Addresses returns the parameters of a copied launch that can only be addresses: sizes and strides
// are smaller than the lowest address of Go's memory.
func (c *Call) Addresses() []uint64 {
	params, _ := c.held[0].([]unsafe.Pointer)
	kinds, _ := c.held[2].([]byte)
	var all []uint64
	for i := 0; 2*i+1 < len(kinds); i++ {
		if kinds[2*i] != 'i' || kinds[2*i+1] != '2' {
			continue
		}
		if v := *(*uint64)(params[i]); v >= 1<<33 {
			all = append(all, v)
		}
	}
	return all
}

// hold creates the arguments of ablate_emulate and keeps alive the memory that they point to.
func (c *Call) hold(function, kinds string, grid, block [3]uint32, params []unsafe.Pointer) {
	name, types, size := append([]byte(function), 0), append([]byte(kinds), 0), append(grid[:], block[:]...)
	c.held = []any{params, name, types, size}
	c.args = []uintptr{uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&types[0])),
		uintptr(unsafe.Pointer(&size[0])), uintptr(unsafe.Pointer(&size[3])), uintptr(unsafe.Pointer(&params[0])), 0}
}

// Run runs the launch to its end.
func (c *Call) Run() error {
	c.args[5] = 0
	if c.gpu.Backwards {
		c.args[5] = 1
	}
	c.gpu.mutex.Lock()
	defer c.gpu.mutex.Unlock()
	wrong, _, _ := purego.SyscallN(c.gpu.emulate, c.args...)
	runtime.KeepAlive(c)
	if wrong != 0 {
		return fmt.Errorf("launch %s", text(wrong))
	}
	return nil
}

// text copies a C string.
func text(address uintptr) string {
	var b []byte
	for p := *(*unsafe.Pointer)(unsafe.Pointer(&address)); *(*byte)(p) != 0; p = unsafe.Add(p, 1) {
		b = append(b, *(*byte)(p))
	}
	return string(b)
}
