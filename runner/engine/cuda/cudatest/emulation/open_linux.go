package emulation

import (
	"sync"

	"github.com/ebitengine/purego"
)

// open loads the library of the kernels and finds its functions.
func open(library string) (*GPU, error) {
	handle, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, err
	}
	g := &GPU{mutex: new(sync.Mutex)}
	if g.emulate, err = purego.Dlsym(handle, "ablate_emulate"); err != nil {
		return nil, err
	}
	g.kinds, err = purego.Dlsym(handle, "ablate_kinds")
	return g, err
}
