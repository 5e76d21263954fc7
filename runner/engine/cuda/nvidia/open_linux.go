//go:build linux && (amd64 || arm64) && !nogpu

package nvidia

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// open loads the first candidate that has all functions of the table and returns its path. The error
// is that of the last file that exists but cannot be used.
func open(candidates []candidate, table any) (path string, err error) {
	err = fmt.Errorf("%s was not found", filepath.Base(candidates[0].file))
	for _, c := range candidates {
		for _, b := range c.before {
			// If this fails, the library itself reports what it lacks.
			_, _ = purego.Dlopen(b, purego.RTLD_NOW|purego.RTLD_GLOBAL)
		}
		handle, failed := purego.Dlopen(c.file, purego.RTLD_NOW|purego.RTLD_GLOBAL)
		if failed != nil {
			if filepath.IsAbs(c.file) { // the file exists
				err = failed
			}
			continue
		}
		if failed := resolve(handle, table); failed != nil {
			err = fmt.Errorf("%s: %w", c.file, failed)
			continue
		}
		return mapped(c.file), nil
	}
	return "", err
}

// resolve fills in the table's functions by their tags. Of several names it takes the first that
// exists.
func resolve(handle uintptr, table any) error {
	v := reflect.ValueOf(table).Elem()
	for i := range v.NumField() {
		names := v.Type().Field(i).Tag.Get("symbol")
		var address uintptr
		var err error
		for name := range strings.SplitSeq(names, ",") {
			if address, err = purego.Dlsym(handle, name); err == nil {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("no function %s", names)
		}
		purego.RegisterFunc(v.Field(i).Addr().Interface(), address)
		if d, ok := table.(*Driver); ok {
			d.shorten(v.Type().Field(i).Name, address)
		}
	}
	return nil
}

// arguments are the arguments of SyscallN, which lets them escape, so they are reused.
var arguments = sync.Pool{New: func() any { return new([11]uintptr) }}

// shorten replaces a function that every step calls by one that allocates nothing: purego's general
// way takes 13 allocations and 0.8 µs a call.
func (d *Driver) shorten(field string, address uintptr) {
	call := func(args ...uintptr) Result {
		held := arguments.Get().(*[11]uintptr)
		defer arguments.Put(held)
		r, _, _ := purego.SyscallN(address, held[:copy(held[:], args)]...)
		return Result(int32(r))
	}
	switch field {
	case "MemcpyHtoDAsync":
		d.MemcpyHtoDAsync = func(to Address, from unsafe.Pointer, bytes uint64, s Stream) Result {
			return call(uintptr(to), uintptr(from), uintptr(bytes), uintptr(s))
		}
	case "MemcpyDtoHAsync":
		d.MemcpyDtoHAsync = func(to unsafe.Pointer, from Address, bytes uint64, s Stream) Result {
			return call(uintptr(to), uintptr(from), uintptr(bytes), uintptr(s))
		}
	case "CtxSetCurrent":
		d.CtxSetCurrent = func(c Context) Result { return call(uintptr(c)) }
	case "StreamSync":
		d.StreamSync = func(s Stream) Result { return call(uintptr(s)) }
	case "StreamWaitEvent":
		d.StreamWaitEvent = func(s Stream, e Event, flags uint32) Result {
			return call(uintptr(s), uintptr(e),
				uintptr(flags))
		}
	case "GraphLaunch":
		d.GraphLaunch = func(exec Exec, s Stream) Result { return call(uintptr(exec), uintptr(s)) }
	case "EventRecord":
		d.EventRecord = func(e Event, s Stream) Result { return call(uintptr(e), uintptr(s)) }
	case "EventSync":
		d.EventSync = func(e Event) Result { return call(uintptr(e)) }
	case "LaunchKernel":
		d.LaunchKernel = func(f Function, gridX, gridY, gridZ, blockX, blockY, blockZ, shared uint32, s Stream, params,
			extra unsafe.Pointer) Result {
			return call(uintptr(f), uintptr(gridX), uintptr(gridY), uintptr(gridZ), uintptr(blockX), uintptr(blockY),
				uintptr(blockZ),
				uintptr(shared), uintptr(s), uintptr(params), uintptr(extra))
		}
	}
}

// mapped returns the path of a library that was loaded by its bare name, or the name itself if the
// system does not report the path.
func mapped(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return file
	}
	for line := range strings.Lines(string(maps)) {
		if i := strings.IndexByte(line, '/'); i >= 0 {
			// libcuda.so.1 is a link to libcuda.so.580.95.05: the part before the version identifies
			// the library.
			if base := filepath.Base(strings.TrimSpace(line[i:])); base == file || strings.HasPrefix(base, stem(file)) {
				return strings.TrimSpace(line[i:])
			}
		}
	}
	return file
}

// stem returns a library's name up to its version.
func stem(file string) string {
	name, _, _ := strings.Cut(file, ".so.")
	return name + ".so."
}
