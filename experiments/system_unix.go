//go:build unix

package experiments

import (
	"errors"
	"os"
	"syscall"
)

// alive reports whether a process exists on this host.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// syncFolder makes a rename in a folder durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// guard keeps other processes of this host out of a folder for a moment. If this process dies, the
// system lets them in, which a file would not.
func guard(dir string) (release func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil { // NFS, Lustre and others may not support it; claiming the lock file must suffice
		f.Close()
		return func() {}, nil
	}
	return func() { f.Close() }, nil
}
