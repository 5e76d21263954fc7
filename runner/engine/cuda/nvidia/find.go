package nvidia

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Variable is the name of a variable that lists folders, separated as in PATH. They are searched
// first.
const Variable = "ABLATE_CUDA_LIBS"

// A library is a library to look for. Names are tried from the newest version on. %d stands for the
// CUDA version where the name contains it.
type library struct {
	name    string // the name that users know
	file    string
	dirs    []string // where systems keep it without telling the loader
	wheels  []string // folders of Python's site-packages/nvidia that hold it
	before  []string // patterns of files beside it to load first: it would look for them by name only
	install string   // what to do if it is missing
}

// Names of the libraries that compute.
const (
	CuBLAS = "cuBLAS"
	CuDNN  = "cuDNN"
)

// The libraries, from developer.nvidia.com's sonames and the folders of the Python wheels.
var (
	driverLibrary = library{name: "driver", file: "libcuda.so.1",
		dirs:    []string{"/usr/local/nvidia/lib64", "/usr/lib/wsl/lib"}, // containers; Windows' Linux
		install: "install NVIDIA's driver, of CUDA 12 or later"}
	nvrtcLibrary = library{name: "NVRTC", file: "libnvrtc.so.%d", wheels: []string{"cu%d/lib", "cuda_nvrtc/lib"},
		before:  []string{"libnvrtc-builtins.so.%d*"},
		install: "pip install nvidia-cuda-nvrtc, or install the CUDA toolkit"}
	blasLibrary = library{name: CuBLAS, file: "libcublas.so.%d", wheels: []string{"cu%d/lib", "cublas/lib"},
		before:  []string{"libcublasLt.so.%d"},
		install: "pip install nvidia-cublas, or install the CUDA toolkit"}
	dnnLibrary = library{name: CuDNN, file: "libcudnn.so.9", wheels: []string{"cudnn/lib"},
		before:  []string{"libcudnn_graph.so.9", "libcudnn_ops.so.9", "libcudnn_cnn.so.9"},
		install: "pip install nvidia-cudnn-cu13, or install cuDNN 9"}
)

// majors are the CUDA versions whose libraries are known, the newest first.
var majors = []int{13, 12}

// A finder knows where libraries may be.
type finder struct {
	env      func(string) string
	glob     func(pattern string) []string
	readlink func(file string) string // "" if the file is no link
}

// machine searches this machine.
var machine = finder{env: os.Getenv, glob: func(pattern string) []string {
	found, err := filepath.Glob(pattern)
	if err != nil { // a bad pattern: a folder's name has brackets
		return nil
	}
	return found
}, readlink: func(file string) string {
	to, err := os.Readlink(file)
	if err != nil {
		return ""
	}
	return to
}}

// A candidate is a file to try: a path, or a bare name that the loader looks for.
type candidate struct {
	file   string
	before []string // paths to load first
	major  int      // CUDA version of the name, 0 if it has none
}

// candidates are the files to try for a library, in order: the folders of
// ABLATE_CUDA_LIBS, CUDA's own, whatever the system's loader knows, Python's
// packages. Of several versions in a place the newest comes first.
func (f finder) candidates(l library, newest int) []candidate {
	versions := majors
	if !strings.Contains(l.file, "%d") {
		versions = []int{0}
	}
	var all []candidate
	at := func(dir string, major int) {
		for _, file := range f.glob(filepath.Join(dir, versioned(l.file, major))) {
			c := candidate{file: file, major: major}
			for _, b := range l.before {
				c.before = append(c.before, f.glob(filepath.Join(dir, versioned(b, major)))...)
			}
			all = append(all, c)
		}
	}
	within := func(dirs []string) {
		for _, dir := range dirs {
			for _, major := range versions {
				at(dir, major)
			}
		}
	}
	within(split(f.env(Variable)))
	within(f.toolkits())
	for _, major := range versions {
		all = append(all, candidate{file: versioned(l.file, major), major: major})
	}
	within(l.dirs)
	for _, site := range f.sites() {
		for _, major := range versions {
			for _, w := range l.wheels {
				at(filepath.Join(site, "nvidia", versioned(w, major)), major)
			}
		}
	}
	// A library newer than the driver may load and then fail at its first use.
	slices.SortStableFunc(all, func(a, b candidate) int { return tooNew(a, newest) - tooNew(b, newest) })
	return all
}

// tooNew orders candidates that the driver can run before those that it cannot. newest is 0 without a
// driver; all candidates are then equal.
func tooNew(c candidate, newest int) int {
	if newest > 0 && c.major > newest {
		return 1
	}
	return 0
}

func versioned(name string, major int) string {
	if !strings.Contains(name, "%d") {
		return name
	}
	return fmt.Sprintf(name, major)
}

// toolkits returns the folders of installed CUDA toolkits.
func (f finder) toolkits() []string {
	var dirs []string
	for _, v := range []string{"CUDA_HOME", "CUDA_PATH"} {
		if home := f.env(v); home != "" {
			dirs = append(dirs, filepath.Join(home, "lib64"), filepath.Join(home, "lib"))
		}
	}
	return append(dirs, "/usr/local/cuda/lib64")
}

// sites returns the folders of Python packages that a Python process in place of this one would see:
// those of PYTHONPATH, of the active environment, beside the interpreters on PATH, of the user, of the
// system.
func (f finder) sites() []string {
	dirs := split(f.env("PYTHONPATH"))
	under := func(prefix string) {
		if prefix == "" {
			return
		}
		for _, lib := range []string{"lib", "lib64"} {
			for _, packages := range []string{"site-packages", "dist-packages"} {
				found := f.glob(filepath.Join(prefix, lib, "python3*", packages))
				slices.Reverse(found) // usually 3.13 before 3.9, and always the same order
				dirs = append(dirs, found...)
			}
		}
	}
	under(f.env("VIRTUAL_ENV"))
	under(f.env("CONDA_PREFIX"))
	for _, dir := range split(f.env("PATH")) {
		f.interpreters(filepath.Join(dir, "python3"), under)
	}
	if home := f.env("HOME"); home != "" {
		under(filepath.Join(home, ".local"))
	}
	under("/usr/local")
	var once []string
	for _, dir := range append(dirs, "/usr/lib/python3/dist-packages") {
		if !slices.Contains(once, dir) { // an active environment is on PATH too
			once = append(once, dir)
		}
	}
	return once
}

// interpreters calls f for the prefix of a Python interpreter, and for the prefixes of the files that
// it links to. A link to an environment's interpreter leads to that environment, and from there to the
// system's.
func (f finder) interpreters(file string, under func(prefix string)) {
	if len(f.glob(file)) == 0 {
		return
	}
	for range 8 { // more links are a cycle
		if dir := filepath.Dir(file); filepath.Base(dir) == "bin" {
			under(filepath.Dir(dir))
		}
		to := f.readlink(file)
		if to == "" {
			return
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(file), to)
		}
		file = to
	}
}

func split(list string) []string {
	return slices.DeleteFunc(filepath.SplitList(list), func(s string) bool { return s == "" })
}
