package data

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/data/files"
)

// A record of either data set starts with its label bytes, the last of which counts. The red,
// green and blue planes follow.
const (
	cifarSide   = 32
	cifarPlane  = cifarSide * cifarSide
	cifarPixels = 3 * cifarPlane
	cifarTrain  = 50_000
	cifarTest   = 10_000

	cifar10Record  = 1 + cifarPixels
	cifar100Record = 2 + cifarPixels // the coarse label comes first
)

const cifar10Layout = "the folder cifar-10-batches-bin with data_batch_1.bin … data_batch_5.bin and test_batch.bin, " +
	"or cifar-10-binary.tar.gz"

const cifar10Bytes = 10_000 * cifar10Record // per file

var cifar10Source = Source{
	Name: "cifar10",
	What: "60,000 photographs, 32×32×3, 10 classes (50,000 for training)",
	Where: "CIFAR-10 binary version, from the page of A. Krizhevsky, University of Toronto; no licence is stated, " +
		"cite: Learning Multiple Layers of Features from Tiny Images, 2009",
	Layout: cifar10Layout,
	Files: []File{
		{Name: "data_batch_1.bin", Bytes: cifar10Bytes, MD5: "5dd7e06a14cb22eb9f671a540d1b7c25"},
		{Name: "data_batch_2.bin", Bytes: cifar10Bytes, MD5: "5ea93a67294ea407fff1d09f752e9692"},
		{Name: "data_batch_3.bin", Bytes: cifar10Bytes, MD5: "942cd6a4bcdd0dd3c604fbe906cb4421"},
		{Name: "data_batch_4.bin", Bytes: cifar10Bytes, MD5: "ae636b3ba5c66a11e91e8cb52e771fcb"},
		{Name: "data_batch_5.bin", Bytes: cifar10Bytes, MD5: "53f37980c15c3d472c316c40844f3f0d"},
		{Name: "test_batch.bin", Bytes: cifar10Bytes, MD5: "803d5f7f4d78ea53de84dbe85f74fb6d"},
	},
	Classes: []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
	open:    openCIFAR10,
}

const cifar100Names = "fine_label_names.txt"

var cifar100Source = Source{
	Name:  "cifar100",
	What:  "60,000 photographs, 32×32×3, 100 classes (50,000 for training); the fine labels",
	Where: cifar10Source.Where,
	Layout: "the folder cifar-100-binary with train.bin, test.bin and " + cifar100Names +
		" (cifar-100-binary.tar.gz, unpacked; MD5 of the archive 03b5dce01913d631647c71ecec9e9cb8)",
	Files: []File{
		{Name: "train.bin", Bytes: cifarTrain * cifar100Record}, {Name: "test.bin", Bytes: cifarTest * cifar100Record},
	},
	open: openCIFAR100,
}

func openCIFAR10(_ context.Context, s Source, cfg recipe.Data, _ Progress) (*Dataset, error) {
	info, err := stat(cfg.Root, s.Layout)
	if err != nil {
		return nil, err
	}
	read := readFolder
	if !info.IsDir() {
		read = readArchive
	}
	texts, err := read(cfg.Root, s)
	if err != nil {
		return nil, err
	}
	return cifar(s, texts, cifar10Record, len(s.Classes))
}

func openCIFAR100(_ context.Context, s Source, cfg recipe.Data, _ Progress) (*Dataset, error) {
	if _, err := stat(cfg.Root, s.Layout); err != nil {
		return nil, err
	}
	texts, err := readFolder(cfg.Root, s)
	if err != nil {
		return nil, err
	}
	const classes = 100
	ds, err := cifar(s, texts, cifar100Record, classes)
	if err != nil {
		return nil, err
	}
	names, err := files.Read(filepath.Join(cfg.Root, cifar100Names), 1<<20)
	if err != nil {
		return nil, fmt.Errorf("the names of the classes (%v); data.root must be %s%s: %w",
			err, s.Layout, seeList, ErrMissing)
	}
	ds.Classes = strings.Fields(string(names))
	if len(ds.Classes) != classes {
		return nil, fmt.Errorf("%s has %d names instead of %d: %w", cifar100Names, len(ds.Classes), classes, ErrCorrupt)
	}
	return ds, nil
}

// cifar makes a data set from the contents of a source's files.
func cifar(s Source, texts [][]byte, record, classes int) (*Dataset, error) {
	ds := &Dataset{Shape: arch.Shape{Height: cifarSide, Width: cifarSide, Channels: 3}}
	for i, text := range texts {
		split := &ds.Train
		if strings.HasPrefix(s.Files[i].Name, "test") {
			split = &ds.Test
		}
		if err := split.addCIFAR(text, record, classes); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Files[i].Name, err)
		}
	}
	return ds, nil
}

// addCIFAR appends a file's records and turns planes into pixels.
func (s *Split) addCIFAR(text []byte, record, classes int) error {
	if len(text)%record != 0 {
		return fmt.Errorf("%d bytes are not whole records of %d: %w", len(text), record, ErrCorrupt)
	}
	s.Labels = slices.Grow(s.Labels, len(text)/record)
	s.Images = slices.Grow(s.Images, len(text)/record*cifarPixels)
	for ; len(text) > 0; text = text[record:] {
		planes := text[record-cifarPixels : record]
		label := text[record-cifarPixels-1]
		if int(label) >= classes {
			return fmt.Errorf("record %d has label %d, the classes are 0 to %d: %w",
				s.Len(), label, classes-1, ErrCorrupt)
		}
		s.Labels = append(s.Labels, int32(label))
		for p := range cifarPlane {
			s.Images = append(s.Images, planes[p], planes[cifarPlane+p], planes[2*cifarPlane+p])
		}
	}
	return nil
}

// readFolder reads a source's files from a folder, in the source's order.
func readFolder(root string, s Source) ([][]byte, error) {
	texts := make([][]byte, len(s.Files))
	for i, want := range s.Files {
		name := filepath.Join(root, want.Name)
		f, size, err := files.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is not in %s; data.root must be %s%s: %w",
				want.Name, root, s.Layout, seeList, ErrMissing)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, ErrCorrupt)
		}
		texts[i], err = want.read(f, size)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return texts, nil
}

// readArchive reads a source's files from its tar.gz, in the source's order.
func readArchive(name string, s Source) ([][]byte, error) {
	f, _, err := files.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrCorrupt)
	}
	defer f.Close()
	texts, err := untar(f, s.Files)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return texts, nil
}

// untar reads the wanted files of a tar.gz into memory. It skips other members and writes nothing,
// so that no member's name can do harm.
func untar(r io.Reader, wanted []File) ([][]byte, error) {
	z, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, fmt.Errorf("not a tar.gz (%v); fetch it again: %w", err, ErrCorrupt)
	}
	texts := make([][]byte, len(wanted))
	for t, left := tar.NewReader(z), len(wanted); left > 0; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			missing := slices.IndexFunc(texts, func(text []byte) bool { return text == nil })
			return nil, fmt.Errorf("%s is not in the archive; it must be the official cifar-10-binary.tar.gz: %w",
				wanted[missing].Name, ErrMissing)
		}
		if err != nil {
			return nil, fmt.Errorf("the archive breaks off or is damaged (%v); fetch it again: %w", err, ErrCorrupt)
		}
		i := slices.IndexFunc(wanted, func(f File) bool { return f.Name == path.Base(h.Name) })
		if i < 0 || h.Typeflag != tar.TypeReg || texts[i] != nil {
			continue
		}
		if texts[i], err = wanted[i].read(t, h.Size); err != nil {
			return nil, fmt.Errorf("%s: %w", wanted[i].Name, err)
		}
		left--
	}
	return texts, nil
}
