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

// compiled is the machine code of this process: tests open many devices, some where the
// user has no cache.
var compiled sync.Map // of code

// code is what machine code is made of and by.
type code struct {
	compiler *nvidia.NVRTC
	digest   string
}

// machineCode compiles a source, or takes what it became the last time: the
// compiler takes seconds for all of them. A cache that cannot be read or written
// is none.
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

// cacheFile is where machine code is kept, "" where the system has no such place.
func cacheFile(name string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "ablate", "cuda", name)
}

// checked splits the digest from machine code that was kept. A file that was cut short is not taken.
func checked(file []byte) ([]byte, bool) {
	if len(file) <= sha256.Size {
		return nil, false
	}
	code, sum := file[:len(file)-sha256.Size], file[len(file)-sha256.Size:]
	return code, sha256.Sum256(code) == [sha256.Size]byte(sum)
}

// keep writes machine code beside and renames it, so that nobody reads half of it.
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
