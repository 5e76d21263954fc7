package experiments

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A WriteError reports a file of a record that could not be written: the disk is full, read-only or
// gone. There is no point in training on.
type WriteError struct {
	Path string
	Need int64 // bytes of the file
	Free int64 // free bytes of the disk afterwards, -1 if unknown
	Err  error
}

func (e *WriteError) Error() string {
	if e.Free < 0 || !noSpace(e.Err) {
		return fmt.Sprintf("write %s: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("write %s: %v; it needs %d bytes, %d are free: free at least %d bytes",
		e.Path, e.Err, e.Need, e.Free, max(e.Need-e.Free, 1))
}

func (e *WriteError) Unwrap() error { return e.Err }

func writeError(path string, need int64, err error) error {
	var failed *fs.PathError
	if errors.As(err, &failed) {
		err = failed.Err // usually the error of a temporary file
	}
	free := int64(-1)
	if noSpace(err) {
		free = FreeSpace(filepath.Dir(path))
	}
	return &WriteError{Path: path, Need: need, Free: free, Err: err}
}

// WriteFile replaces a file as a whole: it writes a temporary file, syncs and renames it, and syncs
// the folder.
func WriteFile(path string, text []byte) error {
	return writeWith(path, int64(len(text)), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// writeWith is like WriteFile, for content that is too large to be held twice. size is the number
// of bytes that the error of a full disk asks for.
func writeWith(path string, size int64, write func(io.Writer) error) error {
	beside, err := writeBeside(path, size, write)
	if err != nil {
		return err
	}
	return publish(beside, path)
}

// writeBeside writes and syncs a temporary file in the folder of path, and returns its name, which
// marks it as unfinished.
func writeBeside(path string, size int64, write func(io.Writer) error) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), unfinished+filepath.Base(path)+"-*")
	if err != nil {
		return "", writeError(path, size, err)
	}
	if err := cmp.Or(write(f), f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		os.Remove(f.Name())
		return "", writeError(path, size, err)
	}
	return f.Name(), nil
}

// publish durably renames a finished file to its name.
func publish(beside, path string) error {
	err := os.Rename(beside, path)
	if err != nil {
		os.Remove(beside)
	} else {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return writeError(path, 0, err)
	}
	return nil
}
