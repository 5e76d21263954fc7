package nvidia

import (
	"fmt"
	"strings"
	"unsafe"
)

// An NVRTC is NVIDIA's run-time compiler. It needs neither a GPU nor a driver.
type NVRTC struct {
	Version        func(major, minor *int32) CompileResult                                                `symbol:"nvrtcVersion"`
	CreateProgram  func(p *uintptr, text, name string, headers int32, texts, names uintptr) CompileResult `symbol:"nvrtcCreateProgram"`
	CompileProgram func(p uintptr, count int32, options unsafe.Pointer) CompileResult                     `symbol:"nvrtcCompileProgram"`
	LogSize        func(p uintptr, bytes *uint64) CompileResult                                           `symbol:"nvrtcGetProgramLogSize"`
	Log            func(p uintptr, to *byte) CompileResult                                                `symbol:"nvrtcGetProgramLog"`
	CUBINSize      func(p uintptr, bytes *uint64) CompileResult                                           `symbol:"nvrtcGetCUBINSize"`
	CUBIN          func(p uintptr, to *byte) CompileResult                                                `symbol:"nvrtcGetCUBIN"`
	DestroyProgram func(p *uintptr) CompileResult                                                         `symbol:"nvrtcDestroyProgram"`
}

// A CompileResult is an nvrtcResult: 0, or an error.
type CompileResult int32

// Error returns the result's number and meaning.
func (r CompileResult) Error() string {
	reason := map[CompileResult]string{1: "out of memory", 3: "invalid input",
		5: "an option it does not know (is the GPU newer than the library?)", 6: "compilation failed",
		7: "its builtins library is missing"}[r]
	return strings.TrimSuffix(fmt.Sprintf("NVRTC error %d, %s", int32(r), reason), ", ")
}

func (r CompileResult) err() error {
	if r == 0 {
		return nil
	}
	return r
}

// Options returns the options of every compilation, besides the architecture. They are part of the key
// of a cache of machine code.
func Options() []string { return []string{"--std=c++17"} }

// Compile compiles a source to machine code (a CUBIN: PTX newer than the driver would be refused) for
// an architecture such as sm_90. The log has the compiler's warnings, and its errors if err is not
// nil. The caller may add further options.
func (n *NVRTC) Compile(name, text, architecture string, more ...string) (code []byte, log string, err error) {
	var p uintptr
	if err := n.CreateProgram(&p, text, name, 0, 0, 0).err(); err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	defer n.DestroyProgram(&p)
	options := append(append([]string{"--gpu-architecture=" + architecture}, Options()...), more...)
	texts, pointers := make([][]byte, len(options)), make([]*byte, len(options))
	for i, o := range options {
		texts[i] = append([]byte(o), 0)
		pointers[i] = &texts[i][0]
	}
	result := n.CompileProgram(p, int32(len(pointers)), unsafe.Pointer(&pointers[0]))
	if log, err = n.log(p); err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	if result != 0 {
		return nil, log, fmt.Errorf("%s for %s: %w\n%s", name, architecture, result, log)
	}
	var size uint64
	if err := n.CUBINSize(p, &size).err(); err != nil {
		return nil, log, fmt.Errorf("%s: %w", name, err)
	}
	code = make([]byte, size)
	if err := n.CUBIN(p, &code[0]).err(); err != nil {
		return nil, log, fmt.Errorf("%s: %w", name, err)
	}
	return code, log, nil
}

func (n *NVRTC) log(p uintptr) (string, error) {
	var size uint64
	if err := n.LogSize(p, &size).err(); err != nil {
		return "", err
	}
	text := make([]byte, size+1)
	if err := n.Log(p, &text[0]).err(); err != nil {
		return "", err
	}
	return strings.TrimRight(string(text), "\x00\n"), nil
}
