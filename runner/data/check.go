package data

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"

	"ablate/recipe"
	"ablate/runner/data/files"
	"ablate/runner/data/imaging"
)

// A Report holds the results of Check.
type Report struct {
	Dataset *Dataset
	// Balance counts the images of each class, training and test.
	Balance [][2]int
	// Shared lists the test images that are also training images. Repeated lists the training images
	// that occur more than once, except for the first occurrence.
	Shared, Repeated []Duplicate
}

// A Duplicate names an image and an earlier image with the same bytes.
type Duplicate struct{ Image, Of string }

// Check opens a whole data set, which verifies sizes, digests and labels, and counts classes and
// duplicates. It resizes image files to fit, if fit is set. Files without a usable image are in
// the data set's Skipped.
func Check(ctx context.Context, name, root string, fit imaging.Fit, progress Progress) (Report, error) {
	s, err := find(name)
	if err != nil {
		return Report{}, err
	}
	if s.check != nil {
		if err := s.check(ctx, s, root); err != nil {
			return Report{}, fmt.Errorf("data %s: %w", name, err)
		}
	}
	if fit == (imaging.Fit{}) && s.images {
		fit.ShortSide = defaultSide
	}
	cfg := recipe.Defaults().Data
	cfg.Name, cfg.Root, cfg.MaxSkipped, cfg.ShortSide, cfg.Size = name, root, math.MaxInt, fit.ShortSide, fit.Size
	ds, err := OpenTelling(ctx, cfg, progress)
	if err != nil {
		return Report{}, err
	}
	r := Report{Dataset: ds, Balance: make([][2]int, len(ds.Classes))}
	if err := r.compare(ctx, progress); err != nil {
		ds.Close()
		return Report{}, fmt.Errorf("data %s: %w", name, err)
	}
	return r, nil
}

// compare looks for images that occur more than once.
func (r *Report) compare(ctx context.Context, progress Progress) error {
	ds := r.Dataset
	total := ds.Train.Len() + ds.Test.Len()
	first := map[[32]byte]int{}
	err := ds.Train.each(ctx, ds.Shape.Len(), func(i int, image []byte) {
		r.Balance[ds.Train.Labels[i]][0]++
		sum := sha256.Sum256(image)
		if j, ok := first[sum]; ok {
			r.Repeated = append(r.Repeated, Duplicate{Image: ds.Train.Name(i), Of: ds.Train.Name(j)})
		} else {
			first[sum] = i
		}
		progress.tell(i+1, total)
	})
	if err != nil {
		return err
	}
	return ds.Test.each(ctx, ds.Shape.Len(), func(i int, image []byte) {
		r.Balance[ds.Test.Labels[i]][1]++
		if j, ok := first[sha256.Sum256(image)]; ok {
			r.Shared = append(r.Shared, Duplicate{Image: ds.Test.Name(i), Of: ds.Train.Name(j)})
		}
		progress.tell(ds.Train.Len()+i+1, total)
	})
}

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

// check reads the file once, piece by piece: archives do not fit in memory.
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

// A readerUntil reads until the context ends.
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
