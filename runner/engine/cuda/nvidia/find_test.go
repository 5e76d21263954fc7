package nvidia

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree is a machine with some files and variables. A file written a -> b is a link.
func tree(env map[string]string, files ...string) finder {
	links := map[string]string{}
	for i, f := range files {
		if from, to, ok := strings.Cut(f, " -> "); ok {
			files[i], links[from] = from, to
		}
	}
	return finder{env: func(v string) string { return env[v] }, glob: func(pattern string) []string {
		var found []string
		for _, f := range files {
			for p := f; p != "/"; p = filepath.Dir(p) { // folders are there too
				if ok, err := filepath.Match(pattern, p); err == nil && ok && !slices.Contains(found, p) {
					found = append(found, p)
					break
				}
			}
		}
		return found
	}, readlink: func(file string) string { return links[file] }}
}

func names(all []candidate) []string {
	var files []string
	for _, c := range all {
		files = append(files, c.file)
	}
	return files
}

func TestLibrariesAreLookedForInOrder(t *testing.T) {
	f := tree(map[string]string{Variable: "/mine", "CUDA_HOME": "/opt/cuda", "VIRTUAL_ENV": "/env",
		"PATH": "/usr/bin:/bin", "HOME": "/home/me"},
		"/mine/libcublas.so.12", "/opt/cuda/lib64/libcublas.so.13", "/usr/local/cuda/lib64/libcublas.so.13",
		"/env/lib/python3.12/site-packages/nvidia/cu13/lib/libcublas.so.13",
		"/env/lib/python3.12/site-packages/nvidia/cublas/lib/libcublas.so.12",
		"/usr/bin/python3 -> ../torch/bin/python3", "/usr/torch/bin/python3 -> /torch/bin/python3",
		"/torch/bin/python3 -> python3", "/torch/lib/python3.11/site-packages/nvidia/cublas/lib/libcublas.so.12",
		"/home/me/.local/lib/python3.10/site-packages/nvidia/cu13/lib/libcublas.so.13",
		"/nothing/lib/python3.10/site-packages/nvidia/cu13/lib/libcublas.so.13")
	want := []string{"/mine/libcublas.so.12", "/opt/cuda/lib64/libcublas.so.13", "/usr/local/cuda/lib64/libcublas.so.13",
		"libcublas.so.13", "libcublas.so.12",
		"/env/lib/python3.12/site-packages/nvidia/cu13/lib/libcublas.so.13",
		"/env/lib/python3.12/site-packages/nvidia/cublas/lib/libcublas.so.12",
		"/torch/lib/python3.11/site-packages/nvidia/cublas/lib/libcublas.so.12",
		"/home/me/.local/lib/python3.10/site-packages/nvidia/cu13/lib/libcublas.so.13"}
	if diff := cmp.Diff(want, names(f.candidates(blasLibrary, 13))); diff != "" {
		t.Error(diff)
	}
}

// A driver of CUDA 12 does not run libraries of CUDA 13. They come last, so that the error names one
// of them if there are no others.
func TestLibrariesNewerThanTheDriverComeLast(t *testing.T) {
	f := tree(map[string]string{Variable: "/mine"}, "/mine/libnvrtc.so.13", "/mine/libnvrtc.so.12")
	want := []string{"/mine/libnvrtc.so.12", "libnvrtc.so.12", "/mine/libnvrtc.so.13", "libnvrtc.so.13"}
	if diff := cmp.Diff(want, names(f.candidates(nvrtcLibrary, 12))); diff != "" {
		t.Error(diff)
	}
}

// The wheels' libraries look for each other by name only, so they are loaded beforehand by their paths.
func TestWhatLiesBesideIsLoadedFirst(t *testing.T) {
	f := tree(map[string]string{Variable: "/a:/b"}, "/a/libnvrtc.so.13", "/a/libnvrtc-builtins.so.13.5",
		"/b/libcudnn.so.9", "/b/libcudnn_ops.so.9", "/b/libcudnn_graph.so.9")
	if got := f.candidates(nvrtcLibrary, 0)[0].before; !cmp.Equal(got, []string{"/a/libnvrtc-builtins.so.13.5"}) {
		t.Error(got)
	}
	if got := f.candidates(dnnLibrary, 0)[0].before; !cmp.Equal(got,
		[]string{"/b/libcudnn_graph.so.9", "/b/libcudnn_ops.so.9"}) {
		t.Error(got)
	}
}

// On a machine without any library every finding says what to install, and Open returns the first
// error.
func TestWhatIsMissingIsNamed(t *testing.T) {
	l := Look()
	if len(l.Findings) != 4 {
		t.Fatal(l.Findings)
	}
	for _, f := range l.Findings {
		if f.Err == nil {
			if f.Path == "" {
				t.Errorf("%s was found, but not where", f.Name)
			}
			continue
		}
		if !strings.Contains(f.Err.Error(), "install") {
			t.Errorf("%s: %v", f.Name, f.Err)
		}
	}
	if _, err := Open(); l.Driver == nil && (err == nil || err != l.Findings[0].Err) {
		t.Error(err)
	}
}

// Every function of the tables is in the libraries, wherever they lie.
func TestLibrariesHaveAllFunctions(t *testing.T) {
	l := Look()
	if l.NVRTC == nil && l.BLAS == nil && l.DNN == nil {
		t.Skipf("NVIDIA's libraries are not here: set %s to their folders, or see `just cuda-libs`", Variable)
	}
	for _, f := range l.Findings[1:] {
		t.Logf("%s %s: %s", f.Name, f.Version, f.Path)
		if f.Err != nil && !strings.Contains(f.Err.Error(), "was not found") {
			t.Error(f.Err)
		}
	}
}

func TestResults(t *testing.T) {
	if Success.Err() != nil || BLASStatus(0).Err() != nil || DNNStatus(0).Err() != nil {
		t.Error("success is an error")
	}
	for err, want := range map[error]string{
		Result(719):       "CUDA error 719, a kernel failed",
		Result(12345):     "CUDA error 12345",
		BLASStatus(15):    "cuBLAS error 15, not supported",
		DNNStatus(3004):   "cuDNN error 3004, not supported",
		CompileResult(6):  "NVRTC error 6, compilation failed",
		CompileResult(99): "NVRTC error 99",
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
}
