//go:build linux

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

// special are the functions of the stub that do something; the others return 0.
var special = map[string]string{
	"cuDriverGetVersion": `int cuDriverGetVersion(int *v) { *v = VERSION; return 0; }`,
	"cuMemAlloc_v2":      `int cuMemAlloc_v2(u64 *p, size_t n) { *p = 0x700000000000ull + n; return 0; }`,
	"cuMemcpyHtoDAsync_v2": `int cuMemcpyHtoDAsync_v2(u64 d, char *h, size_t n, void *s) {
	return d == 0x700000000001ull && h[0] == 42 && n == 5 && s == (void *)3 ? 0 : 1; }`,
	"cuMemcpyDtoHAsync_v2": `int cuMemcpyDtoHAsync_v2(char *h, u64 d, size_t n, void *s) {
	h[0] = 43;
	return d == 0x700000000001ull && n == 5 && s == (void *)3 ? 0 : 1; }`,
	"cuModuleGetFunction": `int cuModuleGetFunction(size_t *f, size_t m, const char *name) {
	*f = 100 * m + strlen(name);
	return 0; }`,
	"cuEventElapsedTime_v2": `int cuEventElapsedTime_v2(float *ms, size_t a, size_t b) { *ms = a + b / 2.0f; return 0; }`,
	"cuStreamWaitEvent": `int cuStreamWaitEvent(size_t s, size_t e, unsigned f) {
	return s == 1 && e == 2 && f == 3 ? 0 : 1; }`,
	"cuEventRecord":       `int cuEventRecord(size_t e, size_t s) { return e == 1 && s == 2 ? 0 : 1; }`,
	"cuGraphLaunch":       `int cuGraphLaunch(size_t e, size_t s) { return e == 1 && s == 2 ? 0 : 719; }`,
	"cuStreamSynchronize": `int cuStreamSynchronize(size_t s) { return s == 1 ? 0 : 700; }`,
	"cuEventSynchronize":  `int cuEventSynchronize(size_t e) { return e == 1 ? 0 : 600; }`,
	"cuLaunchKernel": `int cuLaunchKernel(size_t f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
	unsigned bz, unsigned shared, size_t s, int **params, void *extra) {
	return f == 1 && gx == 2 && gy == 3 && gz == 4 && bx == 5 && by == 6 && bz == 7 && shared == 8 && s == 9 &&
		*params[0] == 10 && *params[1] == 11 && !extra ? 0 : 1; }`,
}

// stub returns a machine whose driver is a library compiled here, of a CUDA version.
func stub(t *testing.T, version int) finder {
	t.Helper()
	compiler, err := exec.LookPath("g++")
	if err != nil {
		t.Skip("g++ is not here")
	}
	var source strings.Builder
	fmt.Fprintf(&source, "#include <cstddef>\n#include <cstring>\n#define VERSION %d\ntypedef unsigned long long u64;\n"+
		"extern \"C\" {\n", version)
	for v, i := reflect.TypeFor[Driver](), 0; i < v.NumField(); i++ {
		name, _, _ := strings.Cut(v.Field(i).Tag.Get("symbol"), ",")
		if text, ok := special[name]; ok {
			fmt.Fprintln(&source, text)
		} else {
			fmt.Fprintf(&source, "int %s() { return 0; }\n", name)
		}
	}
	source.WriteString("}\n")
	dir := t.TempDir()
	file := filepath.Join(dir, "stub.cpp")
	if err := os.WriteFile(file, []byte(source.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(compiler, "-shared", "-fPIC", "-o", filepath.Join(dir, "libcuda.so.1"),
		file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f := machine
	f.env = func(v string) string {
		if v == Variable {
			return dir
		}
		return ""
	}
	return f
}

// Arguments arrive where a C function looks for them. This includes the functions that are not called
// in purego's general way, which then allocate nothing.
func TestDriverCalls(t *testing.T) {
	d := stub(t, 13000).load().Driver
	if d == nil {
		t.Fatal("the stub was not loaded")
	}
	var address Address
	if r := d.MemAlloc(&address, 1); r != 0 || address != 0x700000000001 {
		t.Error(r, address)
	}
	host := []byte{42}
	copies := func() error {
		return errors.Join(d.MemcpyHtoDAsync(address, unsafe.Pointer(&host[0]), 5, 3).Err(),
			d.MemcpyDtoHAsync(unsafe.Pointer(&host[0]), address, 5, 3).Err())
	}
	if err := copies(); err != nil || host[0] != 43 {
		t.Error(err, host)
	}
	var f Function
	if r := d.ModuleGet(&f, 7, "pool"); r != 0 || f != 704 {
		t.Error(r, f)
	}
	var ms float32
	if r := d.EventElapsed(&ms, 3, 5); r != 0 || ms != 5.5 {
		t.Error(r, ms)
	}
	values := []int32{10, 11}
	params := []unsafe.Pointer{unsafe.Pointer(&values[0]), unsafe.Pointer(&values[1])}
	step := func() Result {
		for _, r := range []Result{d.LaunchKernel(1, 2, 3, 4, 5, 6, 7, 8, 9, unsafe.Pointer(&params[0]), nil),
			d.StreamWaitEvent(1, 2, 3), d.EventRecord(1, 2),
			d.GraphLaunch(1, 2), d.StreamSync(1), d.EventSync(1)} {
			if r != 0 {
				return r
			}
		}
		return 0
	}
	var r Result
	if n := testing.AllocsPerRun(100, func() { r = step() }); n != 0 || r != 0 {
		t.Errorf("%v allocations a step, result %v", n, r)
	}
	if err := d.GraphLaunch(2, 2).Err(); !errors.Is(err, ErrLost) {
		t.Error(err)
	}
	if err := d.EventSync(2).Err(); err == nil || errors.Is(err, ErrLost) {
		t.Error(err)
	}
}

// The error for a driver that is too old names its version and a remedy.
func TestOldDriver(t *testing.T) {
	l := stub(t, 11040).load()
	if f := l.Findings[0]; l.Driver != nil || !errors.Is(f.Err, ErrTooOld) ||
		f.Err.Error() != "the NVIDIA driver is too old: it is of CUDA 11.4; install NVIDIA's driver, of CUDA 12 or later" {
		t.Errorf("%+v", f)
	}
	l = stub(t, 12080).load()
	if f := l.Findings[0]; l.Driver == nil || f.Err != nil || f.Version != "CUDA 12.8" || l.CUDA != 12080 {
		t.Errorf("%+v", f)
	}
}

// A library that lacks a function is rejected, and the error names the library and the function.
func TestLibraryWithoutAFunction(t *testing.T) {
	f := stub(t, 13000)
	dir := f.env(Variable)
	if err := os.Rename(filepath.Join(dir, "libcuda.so.1"), filepath.Join(dir, "libcudnn.so.9")); err != nil {
		t.Fatal(err)
	}
	for _, found := range f.load().Findings {
		if found.Name == CuDNN && (found.Err == nil || !strings.Contains(found.Err.Error(),
			"libcudnn.so.9: no function cudnnGetVersion; pip install")) {
			t.Error(found.Err)
		}
	}
}
