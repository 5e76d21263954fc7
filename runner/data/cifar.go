package data

import (
	"archive/tar"
	"compress/gzip"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"ablate/ablations"
	"ablate/arch"
)

// cifarFiles are the official binary version's files and their MD5.
var cifarFiles = []struct{ name, md5 string }{
	{"data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"},
	{"data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"},
	{"data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"},
	{"data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"},
	{"data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"},
	{"test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"},
}

const (
	cifarSide    = 32
	cifarPlane   = cifarSide * cifarSide
	cifarRecord  = 1 + 3*cifarPlane // a label byte, then the red, green and blue planes
	cifarImages  = 10_000           // a file
	cifarClasses = 10
)

const cifarLayout = "the folder cifar-10-batches-bin with data_batch_1.bin … data_batch_5.bin and test_batch.bin (30,730,000 bytes each), or cifar-10-binary.tar.gz"

var cifar10Source = Source{
	Name:    "cifar10",
	What:    "60,000 photographs, 32×32×3, 10 classes (50,000 for training)",
	Where:   "CIFAR-10 binary version, from the page of A. Krizhevsky, University of Toronto; no licence is stated, cite: Learning Multiple Layers of Features from Tiny Images, 2009",
	Layout:  cifarLayout,
	Classes: []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
	open:    openCIFAR10,
}

func openCIFAR10(cfg ablations.Data) (*Dataset, error) {
	files, err := readCIFAR10(cfg.Root)
	if err != nil {
		return nil, err
	}
	ds := &Dataset{Shape: arch.Shape{Height: cifarSide, Width: cifarSide, Channels: 3}}
	for i, f := range cifarFiles {
		text := files[f.name]
		split := &ds.Train
		if i == len(cifarFiles)-1 {
			split = &ds.Test
		}
		if sum := fmt.Sprintf("%x", md5.Sum(text)); sum != f.md5 {
			return nil, fmt.Errorf("%s: MD5 %s is not the official file's %s; unpack it again: %w", f.name, sum, f.md5, ErrCorrupt)
		}
		if err := split.addCIFAR(text); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return ds, nil
}

// addCIFAR appends records of a label and three planes, turning planes into pixels.
func (s *Split) addCIFAR(text []byte) error {
	if len(text)%cifarRecord != 0 {
		return fmt.Errorf("%d bytes are not whole records of %d: %w", len(text), cifarRecord, ErrCorrupt)
	}
	for ; len(text) > 0; text = text[cifarRecord:] {
		label, planes := text[0], text[1:cifarRecord]
		if label >= cifarClasses {
			return fmt.Errorf("record %d has label %d: %w", s.Len(), label, ErrCorrupt)
		}
		s.Labels = append(s.Labels, int32(label))
		for p := range cifarPlane {
			s.Images = append(s.Images, planes[p], planes[cifarPlane+p], planes[2*cifarPlane+p])
		}
	}
	return nil
}

// readCIFAR10 gives the six files from a folder or from the official archive.
func readCIFAR10(root string) (map[string][]byte, error) {
	if root == "" {
		return nil, fmt.Errorf("data.root is not set; it must hold %s: %w", cifarLayout, ErrMissing)
	}
	info, err := os.Stat(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist; data.root must be %s: %w", root, cifarLayout, ErrMissing)
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return readCIFARArchive(root)
	}
	files := map[string][]byte{}
	for _, f := range cifarFiles {
		file, err := os.Open(filepath.Join(root, f.name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is not in %s; it must hold %s: %w", f.name, root, cifarLayout, ErrMissing)
		}
		if err != nil {
			return nil, err
		}
		text, err := readCIFARFile(file, f.name)
		file.Close()
		if err != nil {
			return nil, err
		}
		files[f.name] = text
	}
	return files, nil
}

// readCIFARFile reads exactly the official size and not a byte more.
func readCIFARFile(r io.Reader, name string) ([]byte, error) {
	const want = cifarImages * cifarRecord
	text, err := io.ReadAll(io.LimitReader(r, want+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", name, err, ErrCorrupt)
	}
	if len(text) != want {
		size := fmt.Sprint(len(text))
		if len(text) > want {
			size = "more than that"
		}
		return nil, fmt.Errorf("%s should have %d bytes and has %s; unpack it again: %w", name, want, size, ErrCorrupt)
	}
	return text, nil
}

// readCIFARArchive takes the six files out of the tar.gz, in memory; other members are ignored and nothing is written.
func readCIFARArchive(file string) (map[string][]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", file, err, ErrCorrupt)
	}
	files := map[string][]byte{}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", file, err, ErrCorrupt)
		}
		name := path.Base(h.Name)
		for _, want := range cifarFiles {
			if name == want.name && h.Typeflag == tar.TypeReg {
				if files[name], err = readCIFARFile(t, name); err != nil {
					return nil, fmt.Errorf("%s: %w", file, err)
				}
			}
		}
	}
	var missing []string
	for _, want := range cifarFiles {
		if files[want.name] == nil {
			missing = append(missing, want.name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s does not hold %s: %w", file, strings.Join(missing, ", "), ErrMissing)
	}
	return files, nil
}
