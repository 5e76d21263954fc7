package imagefiles

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ablate/runner/data/files"
)

// The files of the ILSVRC 2012 distribution.
const (
	trainArchive = "ILSVRC2012_img_train.tar"
	valArchive   = "ILSVRC2012_img_val.tar"
	devkit       = "ILSVRC2012_devkit_t12.tar.gz"
	groundTruth  = "ILSVRC2012_validation_ground_truth.txt"
	synsetLabels = "imagenet_2012_validation_synset_labels.txt"
	synsetOrder  = "synsets.txt"
)

// ILSVRCLayout describes the folder that ILSVRC reads.
const ILSVRCLayout = "a folder with " + trainArchive + " and " + valArchive +
	" as downloaded, and the validation labels: either " +
	synsetLabels + " (a synset a line, in the order of the files), or " + groundTruth + " or the " + devkit +
	" that holds it, with " + synsetOrder + " (the synsets in the order of ILSVRC2012_ID, a line each)"

// ILSVRC lists the archives of the ImageNet challenge of 2012 without unpacking them. The training
// archive holds one archive per class. The validation archive holds the images by number; their
// classes come from a list beside it.
//
// The order of the devkit's classes is only in data/meta.mat, a MATLAB file that is not
// read here. The easiest way to get the list of synsets is from those who publish it
// (imagenet_2012_validation_synset_labels.txt is in TensorFlow's models,
// research/slim/datasets). With SciPy, the devkit's own file yields synsets.txt:
//
//	scipy.io.loadmat("meta.mat", squeeze_me=True)["synsets"]["WNID"][:1000]
func ILSVRC(root string) (*Set, error) {
	s := &Set{}
	if err := s.ilsvrc(root); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Set) ilsvrc(root string) error {
	train, size, err := s.open(filepath.Join(root, trainArchive))
	if err != nil {
		return err
	}
	if s.Train, s.Classes, s.Ignored, err = listTrain(train, size); err != nil {
		return fmt.Errorf("%s: %w", trainArchive, err)
	}
	val, size, err := s.open(filepath.Join(root, valArchive))
	if err != nil {
		return err
	}
	if s.Test, err = listFlat(val, size); err != nil {
		return fmt.Errorf("%s: %w", valArchive, err)
	}
	if len(s.Test) == 0 {
		return fmt.Errorf("%s holds no images: %w", valArchive, ErrLayout)
	}
	synsets, from, err := validationSynsets(root)
	if err != nil {
		return err
	}
	if len(synsets) != len(s.Test) {
		return fmt.Errorf("%s labels %d images, %s holds %d: %w",
			from, len(synsets), valArchive, len(s.Test), ErrLayout)
	}
	index := classIndex(s.Classes)
	for i, synset := range synsets {
		label, ok := index[synset]
		if !ok {
			return fmt.Errorf("%s, line %d: class %s is not in %s: %w", from, i+1, synset, trainArchive, ErrLayout)
		}
		s.Test[i].Label = label
	}
	return s.checkNames()
}

// open opens an archive, which stays open until the set is closed.
func (s *Set) open(name string) (io.ReaderAt, int64, error) {
	f, size, err := files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("%s is missing; the root must be %s: %w", name, ILSVRCLayout, ErrLayout)
	}
	if err != nil {
		return nil, 0, err
	}
	s.closers = append(s.closers, f)
	return f, size, nil
}

// listTrain lists an archive of archives, one per class.
func listTrain(archive io.ReaderAt, size int64) (files []File, classes, ignored []string, err error) {
	var inner []member
	if err := walk(archive, 0, size, func(m member) error {
		if strings.HasSuffix(m.name, ".tar") {
			inner = append(inner, m)
		} else {
			ignored = append(ignored, m.name)
		}
		return nil
	}); err != nil {
		return nil, nil, nil, err
	}
	if len(inner) == 0 {
		return nil, nil, nil, fmt.Errorf("it holds no class archives (nXXXXXXXX.tar): %w", ErrLayout)
	}
	slices.SortFunc(inner, func(a, b member) int { return strings.Compare(a.name, b.name) })
	for _, m := range inner {
		class := strings.TrimSuffix(m.name, ".tar")
		if n := len(classes); n > 0 && classes[n-1] == class {
			return nil, nil, nil, fmt.Errorf("class %s is there twice: %w", class, ErrLayout)
		}
		found, err := list(archive, m.at, m.size, "train/"+class+"/", int32(len(classes)))
		if err != nil {
			return nil, nil, nil, fmt.Errorf("%s: %w", m.name, err)
		}
		if len(found) == 0 {
			return nil, nil, nil, fmt.Errorf("%s holds no images: %w", m.name, ErrLayout)
		}
		files = append(files, found...)
		classes = append(classes, class)
	}
	return files, classes, ignored, nil
}

// listFlat lists an archive of images, in the order of their names.
func listFlat(archive io.ReaderAt, size int64) ([]File, error) {
	return list(archive, 0, size, "val/", 0)
}

// list returns the images of the archive in bytes [at, at+size).
func list(archive io.ReaderAt, at, size int64, prefix string, label int32) ([]File, error) {
	var files []File
	err := walk(archive, at, size, func(m member) error {
		if isImage(m.name) {
			files = append(files, File{prefix + m.name, label, inArchive{archive, m.at, m.size}})
		}
		return nil
	})
	slices.SortStableFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(files); i++ {
		if files[i].Name == files[i-1].Name {
			return nil, fmt.Errorf("%s is there twice: %w", files[i].Name, ErrLayout)
		}
	}
	return files, err
}

// A member is a regular file in an archive: its base name and where its bytes lie.
type member struct {
	name     string
	at, size int64
}

// walk visits the regular files of the tar in bytes [at, at+size) and checks that they lie within
// it.
func walk(archive io.ReaderAt, at, size int64, visit func(member) error) error {
	section := io.NewSectionReader(archive, at, size)
	r := tar.NewReader(section)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the archive breaks off or is damaged (%v); fetch it again: %w", err, ErrLayout)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		here, err := section.Seek(0, io.SeekCurrent) // tar reads header by header, so the member begins here
		if err != nil {
			return err
		}
		if h.Size > size-here {
			return fmt.Errorf("%s breaks off after %d of %d bytes; fetch it again: %w",
				path.Base(h.Name), size-here, h.Size, ErrLayout)
		}
		if err := visit(member{path.Base(h.Name), at + here, h.Size}); err != nil {
			return err
		}
	}
}

// validationSynsets returns the classes of the validation images in the order of their names, and
// the file that holds them.
func validationSynsets(root string) (synsets []string, from string, err error) {
	synsets, err = lines(filepath.Join(root, synsetLabels))
	if !errors.Is(err, fs.ErrNotExist) {
		return synsets, synsetLabels, err
	}
	numbers, from, err := validationNumbers(root)
	if err != nil {
		return nil, "", err
	}
	order, err := lines(filepath.Join(root, synsetOrder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("%s numbers the classes; %s, which names them, is missing; the root must be %s: %w",
			from, synsetOrder, ILSVRCLayout, ErrLayout)
	}
	if err != nil {
		return nil, "", err
	}
	if slices.IsSorted(order) && len(order) > 2 {
		// The devkit numbers the classes in another order (1 is n02119789): with a sorted list every
		// label would be wrong.
		return nil, "", fmt.Errorf("%s is in alphabetical order; ILSVRC2012_ID numbers the synsets as meta.mat of the "+
			"devkit does: %w",
			synsetOrder, ErrLayout)
	}
	for i, line := range numbers {
		n, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || n < 1 || n > len(order) {
			return nil, "", fmt.Errorf("%s, line %d: %q is no number from 1 to %d: %w",
				from, i+1, line, len(order), ErrLayout)
		}
		synsets = append(synsets, strings.TrimSpace(order[n-1]))
	}
	return synsets, from, nil
}

// validationNumbers returns the devkit's class numbers, from the text file or from the devkit's
// archive.
func validationNumbers(root string) (numbers []string, from string, err error) {
	numbers, err = lines(filepath.Join(root, groundTruth))
	if !errors.Is(err, fs.ErrNotExist) {
		return numbers, groundTruth, err
	}
	f, _, err := files.Open(filepath.Join(root, devkit))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("no labels of the validation images in %s; it must be %s: %w",
			root, ILSVRCLayout, ErrLayout)
	}
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	if numbers, err = devkitNumbers(f); err != nil {
		return nil, "", fmt.Errorf("%s: %w", devkit, err)
	}
	return numbers, devkit, nil
}

// devkitNumbers finds the ground truth in the devkit's tar.gz.
func devkitNumbers(r io.Reader) ([]string, error) {
	z, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, fmt.Errorf("not a tar.gz (%v): %w", err, ErrLayout)
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err != nil {
			return nil, fmt.Errorf("%s is not found in it (%v): %w", groundTruth, err, ErrLayout)
		}
		if path.Base(h.Name) != groundTruth || h.Typeflag != tar.TypeReg {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(t, maxList))
		if err != nil {
			return nil, fmt.Errorf("%s breaks off (%v): %w", groundTruth, err, ErrLayout)
		}
		return splitLines(text), nil
	}
}
