// Package nvidia finds NVIDIA's libraries on the machine, loads them at run time and holds their
// functions. Building needs nothing of CUDA, and a program that never asks for a GPU never touches any
// of it.
//
// A Driver, BLAS and DNN are structs of functions, so that tests put others in
// their place. Signatures are those of cuda.h, cublas_api.h and cudnn_*.h.
package nvidia

import (
	"errors"
	"fmt"
	"sync"
)

// Errors of a machine that lacks something. Their messages say what to install.
var (
	ErrNoDriver   = errors.New("no NVIDIA driver")
	ErrNoCompiler = errors.New("no NVRTC")
	ErrTooOld     = errors.New("the NVIDIA driver is too old")
)

// A Finding is a library that was looked for.
type Finding struct {
	Name    string
	Path    string // the path of the file
	Version string
	Err     error // why it cannot be used, and what to do
}

// Libraries are the libraries that could be loaded. Driver and NVRTC are not nil. BLAS and DNN may be
// nil, and then our own kernels do their work.
type Libraries struct {
	Driver *Driver
	NVRTC  *NVRTC
	BLAS   *BLAS
	DNN    *DNN
	// CUDA is the driver's version of the API, 13000 being 13.0.
	CUDA     int
	Findings []Finding
}

// oldest is the lowest driver version that has every function of Driver and runs the libraries of CUDA
// 12, the oldest that this package looks for.
const oldest = 12000

// Open loads the libraries, once for all devices of a process.
func Open() (*Libraries, error) {
	l := loaded()
	for _, needed := range l.Findings[:2] {
		if needed.Err != nil {
			return nil, needed.Err
		}
	}
	return l, nil
}

// Look loads the libraries that are present, for a user who wants to know which are. A missing library
// is nil and has an error in Findings. Look needs no driver.
func Look() *Libraries { return loaded() }

var loaded = sync.OnceValue(func() *Libraries { return machine.load() })

// load looks for all libraries.
func (f finder) load() *Libraries {
	l := new(Libraries)
	f.loadDriver(l)
	newest := l.CUDA / 1000
	l.NVRTC, _ = load(f, l, nvrtcLibrary, ErrNoCompiler, newest, func(n *NVRTC) string {
		var major, minor int32
		if n.Version(&major, &minor) != 0 {
			return ""
		}
		return fmt.Sprintf("%d.%d", major, minor)
	})
	l.BLAS, _ = load(f, l, blasLibrary, nil, newest, func(b *BLAS) string {
		var v [3]int32
		for i := range v {
			if b.Property(int32(i), &v[i]) != 0 {
				return ""
			}
		}
		return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2])
	})
	l.DNN, _ = load(f, l, dnnLibrary, nil, newest, func(d *DNN) string {
		v := d.Version() // 91002 is 9.10.2
		return fmt.Sprintf("%d.%d.%d", v/10000, v/100%100, v%100)
	})
	return l
}

func (f finder) loadDriver(l *Libraries) {
	driver, found := load(f, l, driverLibrary, ErrNoDriver, 0, func(*Driver) string { return "" })
	if driver == nil {
		return
	}
	var version int32
	if err := driver.DriverGetVersion(&version).Err(); err != nil {
		found.Err = fmt.Errorf("%w that answers: %w", ErrNoDriver, err)
		return
	}
	found.Version = fmt.Sprintf("CUDA %d.%d", version/1000, version%1000/10)
	if version < oldest {
		found.Err = fmt.Errorf("%w: it is of %s; %s", ErrTooOld, found.Version, driverLibrary.install)
		return
	}
	l.Driver, l.CUDA = driver, int(version)
}

// load tries a library's candidates and records the outcome. It returns nil if it can use none. The
// error then wraps missing, if that is not nil.
func load[T any](where finder, l *Libraries, lib library, missing error, newest int, version func(*T) string) (*T,
	*Finding) {
	table := new(T)
	l.Findings = append(l.Findings, Finding{Name: lib.name})
	f := &l.Findings[len(l.Findings)-1]
	path, err := open(where.candidates(lib, newest), table)
	if err != nil {
		f.Err = fmt.Errorf("%w; %s", err, lib.install)
		if missing != nil {
			f.Err = fmt.Errorf("%w: %w", missing, f.Err)
		}
		return nil, f
	}
	f.Path, f.Version = path, version(table)
	return table, f
}
