// Package files reads files that somebody else made. It opens only regular files, since a pipe
// would block for ever and a device would never end, and it reads no more than a given limit.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrNotRegular reports a pipe, a device, a socket or a folder in place of a file.
var ErrNotRegular = errors.New("not a regular file")

// Open opens a regular file and returns its size.
func Open(name string) (*os.File, int64, error) {
	info, err := os.Stat(name) // before it is opened: opening alone would wait for the other end of a pipe
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, &fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// Read reads a regular file of at most limit bytes.
func Read(name string, limit int64) ([]byte, error) {
	f, size, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		err := fmt.Errorf("it has %d bytes, at most %d are read", size, limit)
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	text := make([]byte, size)
	n, err := io.ReadFull(f, text)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) { // the file was truncated just now
		return nil, err
	}
	return text[:n], nil
}
