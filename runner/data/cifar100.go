package data

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ablate/arch"
	"ablate/recipe"
)

const (
	cifar100Record  = 2 + 3*cifarPlane // coarse label, fine label, planes
	cifar100Classes = 100
)

var cifar100Source = Source{
	Name:  "cifar100",
	What:  "60,000 photographs, 32×32×3, 100 classes (50,000 for training); the fine labels",
	Where: cifar10Source.Where,
	Layout: "the folder cifar-100-binary with train.bin, test.bin and fine_label_names.txt " +
		"(cifar-100-binary.tar.gz, unpacked; MD5 of the archive 03b5dce01913d631647c71ecec9e9cb8)",
	Files: []File{{Name: "train.bin", Bytes: 50_000 * cifar100Record}, {Name: "test.bin", Bytes: 10_000 * cifar100Record}},
	open:  openCIFAR100,
}

func openCIFAR100(_ context.Context, s Source, cfg recipe.Data) (*Dataset, error) {
	if _, err := stat(cfg.Root, s.Layout); err != nil {
		return nil, err
	}
	ds := &Dataset{Shape: arch.Shape{Height: cifarSide, Width: cifarSide, Channels: 3}}
	for i, split := range []*Split{&ds.Train, &ds.Test} {
		text, err := readSized(cfg.Root, s.Files[i], s.Layout)
		if err != nil {
			return nil, err
		}
		if err := split.addCIFAR100(text); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Files[i].Name, err)
		}
	}
	names, err := os.ReadFile(filepath.Join(cfg.Root, "fine_label_names.txt"))
	if err != nil {
		return nil, fmt.Errorf("the names of the classes (%v); data.root must be %s%s: %w", err, s.Layout, seeList, ErrMissing)
	}
	ds.Classes = strings.Fields(string(names))
	if len(ds.Classes) != cifar100Classes {
		return nil, fmt.Errorf("fine_label_names.txt has %d names instead of %d: %w", len(ds.Classes), cifar100Classes, ErrCorrupt)
	}
	return ds, nil
}

// readSized reads a file of the official size.
func readSized(root string, want File, layout string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, want.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not in %s; data.root must be %s%s: %w", want.Name, root, layout, seeList, ErrMissing)
	}
	if err != nil {
		return nil, err
	}
	if int64(len(text)) != want.Bytes {
		return nil, fmt.Errorf("%s has %d bytes instead of %d; unpack it again: %w", want.Name, len(text), want.Bytes, ErrCorrupt)
	}
	return text, nil
}

// addCIFAR100 appends records of a coarse label, a fine label and three planes.
func (s *Split) addCIFAR100(text []byte) error {
	if len(text)%cifar100Record != 0 {
		return fmt.Errorf("%d bytes are not whole records of %d: %w", len(text), cifar100Record, ErrCorrupt)
	}
	records := len(text) / cifar100Record
	s.Labels = slices.Grow(s.Labels, records)
	s.Images = slices.Grow(s.Images, records*3*cifarPlane)
	for ; len(text) > 0; text = text[cifar100Record:] {
		label := text[1]
		if label >= cifar100Classes {
			return fmt.Errorf("record %d has label %d, the classes are 0 to 99: %w", s.Len(), label, ErrCorrupt)
		}
		s.addPlanes(int32(label), text[2:cifar100Record])
	}
	return nil
}
