// Package imagefiles lists image files and their classes in the layouts of the usual data sets:
// ImageFolder trees, Tiny ImageNet and the ILSVRC 2012 archives. It unpacks nothing: it reads
// members of archives in place, so that no member's name can lead anywhere.
package imagefiles

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ablate/runner/data/files"
)

// ErrLayout reports a folder or archive that does not hold what it should. ErrUnreadable reports
// one file that cannot be read.
var (
	ErrLayout     = errors.New("not the expected layout")
	ErrUnreadable = errors.New("cannot be read")
)

// A Set is a data set's files, none of which has been opened yet. Files are in
// the order of their names.
type Set struct {
	Classes     []string // sorted; a label is an index into it
	Train, Test []File
	// Ignored lists the files whose names do not end like an image's.
	Ignored []string
	closers []io.Closer
}

// Close closes the archives.
func (s *Set) Close() error {
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// A File is an image file and its class.
type File struct {
	Name  string // below the root, with slashes; unique in its split
	Label int32
	place place
}

// A place tells where a file's bytes are.
type place interface{ read() ([]byte, error) }

// Read reads the whole file. Its errors are ErrUnreadable and do not repeat the name.
func (f File) Read() ([]byte, error) { return f.place.read() }

// maxFile is more bytes than any photograph takes. Larger files are not read into memory.
const maxFile = 256 << 20

// An onDisk is a file's path.
type onDisk string

func (p onDisk) read() ([]byte, error) {
	text, err := files.Read(string(p), maxFile)
	if err != nil {
		return nil, unreadable(err)
	}
	return text, nil
}

// unreadable drops the path from an error: its callers add the shorter name.
func unreadable(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("%w: %v", ErrUnreadable, err)
}

// An inArchive is a member of an archive.
type inArchive struct {
	archive io.ReaderAt
	at      int64
	size    int64
}

func (p inArchive) read() ([]byte, error) {
	if p.size > maxFile {
		return nil, fmt.Errorf("%d bytes, at most %d are read: %w", p.size, maxFile, ErrUnreadable)
	}
	text := make([]byte, p.size)
	if n, err := p.archive.ReadAt(text, p.at); n < len(text) {
		return nil, fmt.Errorf("the archive breaks off (%v): %w", err, ErrUnreadable)
	}
	return text, nil
}

// Open lists the contents of root: ILSVRC archives, Tiny ImageNet, or else an ImageFolder tree.
func Open(root string) (*Set, error) {
	for _, k := range []struct {
		mark string
		open func(string) (*Set, error)
	}{{trainArchive, ILSVRC}, {"wnids.txt", TinyImageNet}} {
		if _, err := os.Stat(filepath.Join(root, k.mark)); err == nil {
			return k.open(root)
		}
	}
	return ImageFolder(root)
}

// isImage reports whether a file's name is that of an image. The content decides what it really
// is.
func isImage(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpeg", ".jpg", ".png":
		return true
	}
	return false
}

// classIndex maps each class to its number.
func classIndex(classes []string) map[string]int32 {
	index := make(map[string]int32, len(classes))
	for i, c := range classes {
		index[c] = int32(i)
	}
	return index
}

// checkNames refuses names that do not fit on one line of text.
func (s *Set) checkNames() error {
	for _, split := range [][]File{s.Train, s.Test} {
		for _, f := range split {
			if strings.ContainsAny(f.Name, "\n\r") {
				return fmt.Errorf("the name %q has a line break; rename the file: %w", f.Name, ErrLayout)
			}
		}
	}
	return nil
}
