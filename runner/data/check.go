package data

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"ablate/runner/data/files"
)

// checkFiles compares the files of a distribution with their published sizes and digests.
func checkFiles(ctx context.Context, s Source, root string) error {
	if _, err := stat(root, s.Layout); err != nil {
		return err
	}
	for _, f := range s.Files {
		if err := f.check(ctx, root); err != nil {
			return err
		}
	}
	return nil
}

// check reads the file once, in pieces: archives do not fit in memory.
func (f File) check(ctx context.Context, root string) error {
	name := filepath.Join(root, f.Name)
	in, size, err := files.Open(name)
	if errors.Is(err, fs.ErrNotExist) && f.Optional {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing: %w", name, ErrMissing)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrCorrupt)
	}
	defer in.Close()
	if f.Bytes > 0 && size != f.Bytes {
		return fmt.Errorf("%s has %d bytes instead of %d; fetch it again: %w", name, size, f.Bytes, ErrCorrupt)
	}
	if f.MD5 == "" {
		return nil
	}
	sum := md5.New()
	if _, err := io.Copy(sum, readerUntil{ctx, in}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if got := fmt.Sprintf("%x", sum.Sum(nil)); got != f.MD5 {
		return fmt.Errorf("%s has MD5 %s and the official file %s; fetch it again: %w", name, got, f.MD5, ErrCorrupt)
	}
	return nil
}

// readerUntil reads until the context ends.
type readerUntil struct {
	ctx context.Context
	r   io.Reader
}

func (r readerUntil) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
