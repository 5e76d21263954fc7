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
	"os"
	"path"
	"path/filepath"
	"slices"

	"ablate/arch"
	"ablate/recipe"
)

const (
	cifarSide    = 32
	cifarPlane   = cifarSide * cifarSide
	cifarRecord  = 1 + 3*cifarPlane // a label byte, then the red, green and blue planes
	cifarImages  = 10_000           // a file
	cifarClasses = 10
)

const cifarLayout = "the folder cifar-10-batches-bin with data_batch_1.bin … data_batch_5.bin and test_batch.bin, " +
	"or cifar-10-binary.tar.gz"

const cifarBytes = cifarImages * cifarRecord

var cifar10Source = Source{
	Name: "cifar10",
	What: "60,000 photographs, 32×32×3, 10 classes (50,000 for training)",
	Where: "CIFAR-10 binary version, from the page of A. Krizhevsky, University of Toronto; no licence is stated, " +
		"cite: Learning Multiple Layers of Features from Tiny Images, 2009",
	Layout: cifarLayout,
	Files: []File{
		{Name: "data_batch_1.bin", Bytes: cifarBytes, MD5: "5dd7e06a14cb22eb9f671a540d1b7c25"},
		{Name: "data_batch_2.bin", Bytes: cifarBytes, MD5: "5ea93a67294ea407fff1d09f752e9692"},
		{Name: "data_batch_3.bin", Bytes: cifarBytes, MD5: "942cd6a4bcdd0dd3c604fbe906cb4421"},
		{Name: "data_batch_4.bin", Bytes: cifarBytes, MD5: "ae636b3ba5c66a11e91e8cb52e771fcb"},
		{Name: "data_batch_5.bin", Bytes: cifarBytes, MD5: "53f37980c15c3d472c316c40844f3f0d"},
		{Name: "test_batch.bin", Bytes: cifarBytes, MD5: "803d5f7f4d78ea53de84dbe85f74fb6d"},
	},
	Classes: []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
	open:    openCIFAR10,
}

func openCIFAR10(_ context.Context, s Source, cfg recipe.Data) (*Dataset, error) {
	info, err := stat(cfg.Root, s.Layout)
	if err != nil {
		return nil, err
	}
	read := readCIFARFolder
	if !info.IsDir() {
		read = readCIFARArchive
	}
	texts, err := read(cfg.Root, s.Files)
	if err != nil {
		return nil, err
	}
	ds := &Dataset{Shape: arch.Shape{Height: cifarSide, Width: cifarSide, Channels: 3}}
	for i, text := range texts {
		split := &ds.Train
		if s.Files[i].Name == "test_batch.bin" {
			split = &ds.Test
		}
		if err := split.addCIFAR(text); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Files[i].Name, err)
		}
	}
	return ds, nil
}

// addCIFAR appends records of a label and three planes, turning planes into pixels.
func (s *Split) addCIFAR(text []byte) error {
	if len(text)%cifarRecord != 0 {
		return fmt.Errorf("%d bytes are not whole records of %d: %w", len(text), cifarRecord, ErrCorrupt)
	}
	records := len(text) / cifarRecord
	s.Labels = slices.Grow(s.Labels, records)
	s.Images = slices.Grow(s.Images, records*3*cifarPlane)
	for ; len(text) > 0; text = text[cifarRecord:] {
		label, planes := text[0], text[1:cifarRecord]
		if label >= cifarClasses {
			return fmt.Errorf("record %d has label %d, the classes are 0 to 9: %w", s.Len(), label, ErrCorrupt)
		}
		s.addPlanes(int32(label), planes)
	}
	return nil
}

// addPlanes appends an image whose red, green and blue planes follow each other.
func (s *Split) addPlanes(label int32, planes []byte) {
	s.Labels = append(s.Labels, label)
	for p := range cifarPlane {
		s.Images = append(s.Images, planes[p], planes[cifarPlane+p], planes[2*cifarPlane+p])
	}
}

// readCIFARFolder reads the files from a folder, in their order.
func readCIFARFolder(root string, files []File) ([][]byte, error) {
	texts := make([][]byte, len(files))
	for i, want := range files {
		name := filepath.Join(root, want.Name)
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is not in %s; data.root must be %s%s: %w", want.Name, root, cifarLayout, seeList, ErrMissing)
		}
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err == nil {
			texts[i], err = want.read(f, info.Size())
		}
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return texts, nil
}

// readCIFARArchive takes the files out of the tar.gz, in their order.
func readCIFARArchive(name string, files []File) ([][]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	texts, err := untar(f, files)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return texts, nil
}

// untar reads the wanted files of a tar.gz into memory. Other members are
// skipped and nothing is written, so that no member's name can do harm.
func untar(r io.Reader, files []File) ([][]byte, error) {
	z, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, fmt.Errorf("not a tar.gz (%v); fetch it again: %w", err, ErrCorrupt)
	}
	texts := make([][]byte, len(files))
	for t, left := tar.NewReader(z), len(files); left > 0; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			missing := slices.IndexFunc(texts, func(text []byte) bool { return text == nil })
			return nil, fmt.Errorf("%s is not in the archive; it must be the official cifar-10-binary.tar.gz: %w",
				files[missing].Name, ErrMissing)
		}
		if err != nil {
			return nil, fmt.Errorf("the archive breaks off or is damaged (%v); fetch it again: %w", err, ErrCorrupt)
		}
		i := slices.IndexFunc(files, func(f File) bool { return f.Name == path.Base(h.Name) })
		if i < 0 || h.Typeflag != tar.TypeReg || texts[i] != nil {
			continue
		}
		if texts[i], err = files[i].read(t, h.Size); err != nil {
			return nil, fmt.Errorf("%s: %w", files[i].Name, err)
		}
		left--
	}
	return texts, nil
}
