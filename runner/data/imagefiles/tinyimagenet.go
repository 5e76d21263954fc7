package imagefiles

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ablate/runner/data/files"
)

// TinyLayout describes the folder that TinyImageNet reads.
const TinyLayout = "the folder tiny-imagenet-200 with wnids.txt, train/CLASS/images/*.JPEG, val/images/*.JPEG " +
	"and val/val_annotations.txt"

// TinyImageNet lists the tree of Stanford's CS231N. Training images lie in a folder images below
// each class, validation images in one folder with a table of their classes.
func TinyImageNet(root string) (*Set, error) {
	classes, err := lines(filepath.Join(root, "wnids.txt"))
	if err != nil {
		return nil, err
	}
	slices.Sort(classes)
	s := &Set{Classes: classes}
	if s.Train, err = s.tree(root, "train", classes); err != nil {
		return nil, err
	}
	s.Ignored = slices.DeleteFunc(s.Ignored, func(name string) bool { return strings.HasSuffix(name, "_boxes.txt") })
	table := filepath.Join(root, "val", "val_annotations.txt")
	rows, err := lines(table)
	if err != nil {
		return nil, err
	}
	index := classIndex(classes)
	for i, row := range rows {
		fields := strings.Fields(row)
		if len(fields) < 2 {
			return nil, fmt.Errorf("%s:%d: a file and its class were expected: %w", table, i+1, ErrLayout)
		}
		label, ok := index[fields[1]]
		if !ok {
			return nil, fmt.Errorf("%s:%d: class %s is not in wnids.txt: %w", table, i+1, fields[1], ErrLayout)
		}
		name := fields[0]
		if name != filepath.Base(name) || name == ".." {
			return nil, fmt.Errorf("%s:%d: %q is no file's name: %w", table, i+1, name, ErrLayout)
		}
		place := onDisk(filepath.Join(root, "val", "images", name))
		s.Test = append(s.Test, File{Name: "val/images/" + name, Label: label, place: place})
	}
	if len(s.Test) == 0 {
		return nil, fmt.Errorf("%s is empty: %w", table, ErrLayout)
	}
	return s, s.checkNames()
}

// maxList bounds a list of classes or labels, in bytes: ImageNet's longest has 0.5 MB.
const maxList = 64 << 20

// lines returns the lines of a text file without the empty ones at its end.
func lines(name string) ([]string, error) {
	text, err := files.Read(name, maxList)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrLayout)
	}
	return splitLines(text), nil
}

func splitLines(text []byte) []string {
	all := strings.TrimRight(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n ")
	if all == "" {
		return nil
	}
	return strings.Split(all, "\n")
}
