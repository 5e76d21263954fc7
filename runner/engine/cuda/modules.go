package cuda

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"ablate/runner/engine/cuda/kernels"
	"ablate/runner/engine/cuda/nvidia"
)

// load compiles all sources and loads their functions into the device.
func (d *Device) load(architecture string) error {
	for _, s := range kernels.Sources() {
		code, err := machineCode(d.libs.NVRTC, s, architecture)
		if err != nil {
			return err
		}
		var m nvidia.Module
		if err := d.driver.ModuleLoadData(&m, unsafe.Pointer(&code[0])).Err(); err != nil {
			return fmt.Errorf("%s for %s: %w", s.Name, architecture, err)
		}
		d.modules = append(d.modules, m)
		for _, name := range s.Functions() {
			var f nvidia.Function
			if err := d.driver.ModuleGet(&f, m, name).Err(); err != nil {
				return fmt.Errorf("function %s of %s: %w", name, s.Name, err)
			}
			d.kernels[name] = f
		}
	}
	return nil
}

// compiled is the machine code of this process. Tests open many devices, some on systems where the
// user has no cache.
var compiled sync.Map // of code

// code identifies machine code by its source and its compiler.
type code struct {
	compiler *nvidia.NVRTC
	digest   string
}

// machineCode compiles a source, or returns the machine code from an earlier compilation: compiling
// all sources takes seconds. A cache that cannot be read or written counts as no cache.
func machineCode(compiler *nvidia.NVRTC, s kernels.Source, architecture string) ([]byte, error) {
	var major, minor int32
	if r := compiler.Version(&major, &minor); r != 0 {
		return nil, r
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%d.%d\n%s\n%s", architecture, major, minor, strings.Join(nvidia.Options(), " "), s.Text)
	this := code{compiler, hex.EncodeToString(h.Sum(nil))}
	if made, ok := compiled.Load(this); ok {
		return made.([]byte), nil
	}
	cached := cacheFile(this.digest + ".cubin")
	if file, err := os.ReadFile(cached); err == nil {
		if made, ok := checked(file); ok {
			compiled.Store(this, made)
			return made, nil
		}
	}
	made, _, err := compiler.Compile(s.Name, s.Text, architecture)
	if err != nil {
		return nil, err
	}
	compiled.Store(this, made)
	keep(cached, made)
	return made, nil
}

// cacheFile returns the file that holds machine code, "" where the system has no cache folder.
func cacheFile(name string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "ablate", "cuda", name)
}

// checked removes the digest from stored machine code. It rejects a file that was cut short.
func checked(file []byte) ([]byte, bool) {
	if len(file) <= sha256.Size {
		return nil, false
	}
	code, sum := file[:len(file)-sha256.Size], file[len(file)-sha256.Size:]
	return code, sha256.Sum256(code) == [sha256.Size]byte(sum)
}

// keep writes machine code to another file and renames that file, so that no process reads half of it.
func keep(file string, code []byte) {
	if file == "" || os.MkdirAll(filepath.Dir(file), 0o755) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(file), "new-")
	if err != nil {
		return
	}
	sum := sha256.Sum256(code)
	_, err = f.Write(append(code[:len(code):len(code)], sum[:]...))
	if f.Close() != nil || err != nil || os.Rename(f.Name(), file) != nil {
		os.Remove(f.Name())
	}
}
