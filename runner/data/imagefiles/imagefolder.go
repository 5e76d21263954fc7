package imagefiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// FolderLayout describes the folder that ImageFolder reads.
const FolderLayout = "the folders train and val (or test), each with one folder a class, " +
	"with .JPEG, .jpg or .png files in them"

// ImageFolder lists a tree in the layout of torchvision's class of that name: train/CLASS/…/FILE
// and val/CLASS/…/FILE (or test). The classes are those of train.
func ImageFolder(root string) (*Set, error) {
	s := &Set{}
	classes, err := folders(filepath.Join(root, "train"))
	if err != nil {
		return nil, err
	}
	if len(classes) == 0 {
		return nil, fmt.Errorf("%s holds no class folders; the root must hold %s: %w",
			filepath.Join(root, "train"), FolderLayout, ErrLayout)
	}
	s.Classes = classes
	if s.Train, err = s.tree(root, "train", classes); err != nil {
		return nil, err
	}
	test, err := testFolder(root)
	if err != nil {
		return nil, err
	}
	tested, err := folders(filepath.Join(root, test))
	if err != nil {
		return nil, err
	}
	for _, c := range tested {
		if !slices.Contains(classes, c) {
			return nil, fmt.Errorf("class %s is in %s but not in train: %w", c, test, ErrLayout)
		}
	}
	if len(tested) == 0 {
		return nil, fmt.Errorf("%s holds no class folders (a flat folder needs its labels: sort its files into one folder "+
			"a class): %w",
			filepath.Join(root, test), ErrLayout)
	}
	if s.Test, err = s.tree(root, test, tested); err != nil {
		return nil, err
	}
	return s, s.checkNames()
}

// testFolder returns the name of the folder that holds the test images.
func testFolder(root string) (string, error) {
	for _, name := range []string{"val", "test", "valid"} {
		if info, err := os.Stat(filepath.Join(root, name)); err == nil && info.IsDir() {
			return name, nil
		}
	}
	return "", fmt.Errorf("%s has no folder val or test; it must hold %s: %w", root, FolderLayout, ErrLayout)
}

// folders returns the names of dir's folders, sorted; links to folders count, hidden folders do
// not.
func folders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist; the root must hold %s: %w", dir, FolderLayout, ErrLayout)
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// tree lists the files of a split. It does not follow links to folders within a class, so that
// none can lead in a circle; they are listed, and refused when they are read.
func (s *Set) tree(root, split string, classes []string) ([]File, error) {
	index := classIndex(s.Classes)
	var files []File
	for _, class := range classes {
		before := len(files)
		top := filepath.Join(root, split, class)
		if real, err := filepath.EvalSymlinks(top); err == nil {
			top = real // WalkDir does not follow a link
		}
		err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			hidden := strings.HasPrefix(e.Name(), ".") && path != top
			switch {
			case e.IsDir() && hidden:
				return fs.SkipDir
			case e.IsDir() || hidden:
				return nil
			}
			rel, err := filepath.Rel(top, path)
			if err != nil {
				return err
			}
			name := split + "/" + class + "/" + filepath.ToSlash(rel)
			if !isImage(name) {
				s.Ignored = append(s.Ignored, name)
				return nil
			}
			files = append(files, File{Name: name, Label: index[class], place: onDisk(path)})
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(files) == before {
			return nil, fmt.Errorf("class %s has no images in %s: %w", class, split, ErrLayout)
		}
	}
	return files, nil
}
