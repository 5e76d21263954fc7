package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ablate/experiments"
)

// writeOutput writes a file that the user named. A regular file is replaced as a whole, even behind
// a symbolic link. Anything else (a device, a FIFO, /dev/stdout) is written to in place.
func writeOutput(path string, text []byte) error {
	info, err := os.Stat(path)
	if err == nil {
		for _, f := range []*os.File{os.Stdout, os.Stderr} { // even if the shell redirected them to a file
			if std, err := f.Stat(); err == nil && os.SameFile(std, info) {
				_, err := f.Write(text)
				return unwritten(err)
			}
		}
	}
	link, lerr := os.Lstat(path)
	isLink := lerr == nil && link.Mode()&fs.ModeSymlink != 0
	if err == nil && !info.Mode().IsRegular() || err != nil && isLink {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		return unwritten(cmp.Or(err, f.Close()))
	}
	if isLink {
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
	}
	err = experiments.WriteFile(path, text)
	var w *experiments.WriteError
	if errors.As(err, &w) && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return fmt.Errorf("write %s: %w", w.Path, w.Err) // a wrong path, not a temporary failure
	}
	return err
}

// unwritten is the error of output that a device or a reader does not take.
func unwritten(err error) error {
	if err == nil {
		return nil
	}
	return &exit{exitFailed, err}
}
