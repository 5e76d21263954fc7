// Package imagefiles lists image files and their classes, as the usual data sets
// lay them out: ImageFolder trees, Tiny ImageNet and the ILSVRC 2012 archives.
// Nothing is unpacked: members of archives are read where they lie, so that no
// member's name can lead anywhere.
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

// ErrLayout is a folder or archive that does not hold what it should. ErrUnreadable is one file that cannot be read.
var (
	ErrLayout     = errors.New("not the expected layout")
	ErrUnreadable = errors.New("cannot be read")
)

// A Set is a data set's files, none of which has been opened yet. Files are in
// the order of their names.
type Set struct {
	Classes     []string // sorted; a label is a place in it
	Train, Test []File
	// Ignored are the files that have no image's extension.
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

// place is where a file's bytes are.
type place interface{ read() ([]byte, error) }

// Read reads the whole file. Errors are ErrUnreadable and do not repeat the name.
func (f File) Read() ([]byte, error) { return f.place.read() }

// maxFile is more than any photograph takes; a larger file is not read into memory.
const maxFile = 256 << 20

// onDisk is a file's path.
type onDisk string

func (p onDisk) read() ([]byte, error) {
	text, err := files.Read(string(p), maxFile)
	if err != nil {
		return nil, unreadable(err)
	}
	return text, nil
}

// unreadable drops the path from an error: whoever lists it has the shorter name.
func unreadable(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("%w: %v", ErrUnreadable, err)
}

// inArchive is a member's bytes.
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

// Open lists whatever root holds: ILSVRC archives, Tiny ImageNet, or else an ImageFolder tree.
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

// isImage tells by a file's name whether it should be an image. What it is, its content says.
func isImage(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpeg", ".jpg", ".png":
		return true
	}
	return false
}

// classIndex numbers the classes.
func classIndex(classes []string) map[string]int32 {
	index := make(map[string]int32, len(classes))
	for i, c := range classes {
		index[c] = int32(i)
	}
	return index
}

// checkNames refuses names that a line of text cannot hold.
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
