package data

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"runtime"
	"sync"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/data/imagefiles"
	"ablate/runner/data/imaging"
	"ablate/runner/data/pack"
)

// decodedAgain is a sentence that all sources of image files share.
const decodedAgain = "; every image is decoded once before training, to find those that cannot be used, " +
	"and again at every epoch: ablate data pack does it once for all"

var imageFolderSource = Source{
	Name:   "imagefolder",
	What:   "JPEG and PNG files in one folder a class, resized to data.short_side (256) or data.size" + decodedAgain,
	Where:  "your own images, or any data set that is laid out so",
	Layout: imagefiles.FolderLayout,
	images: true,
	open:   openFiles(imagefiles.ImageFolder),
}

var tinyImageNetSource = Source{
	Name: "tiny-imagenet",
	What: "110,000 labelled photographs, 64×64×3, 200 classes (100,000 for training); set data.size: 64" + decodedAgain,
	Where: "tiny-imagenet-200.zip of Stanford's course CS231N, 248,100,043 bytes; a part of ImageNet: " +
		"non-commercial research and education",
	Layout: imagefiles.TinyLayout,
	images: true,
	open:   openFiles(imagefiles.TinyImageNet),
}

var imageNetSource = Source{
	Name: "imagenet",
	What: "ILSVRC 2012: 1,281,167 training and 50,000 validation photographs of every size, 1,000 classes, " +
		"read out of the archives as downloaded" + decodedAgain,
	Where:  "ImageNet's site, after registration; non-commercial research and education",
	Layout: imagefiles.ILSVRCLayout,
	Files: []File{
		{Name: "ILSVRC2012_img_train.tar", Bytes: 147_897_477_120, MD5: "1d675b47d978889d74fa0da5fadfb00e"},
		{Name: "ILSVRC2012_img_val.tar", Bytes: 6_744_924_160, MD5: "29b22e2961454d5413ddabcf34fc5622"},
		{Name: "ILSVRC2012_devkit_t12.tar.gz", MD5: "fa75699e90414af021442c21a62c3abf", Optional: true},
	},
	images: true,
	open:   openFiles(imagefiles.ILSVRC),
	check:  checkFiles,
}

// openFiles opens a source of image files. It decodes all the images that the recipe asks for
// once, which finds the bad ones before training begins and yields the mean, the colours and the
// digest.
func openFiles(
	list func(root string) (*imagefiles.Set, error),
) func(context.Context, Source, recipe.Data, Progress) (*Dataset, error) {
	return func(ctx context.Context, s Source, cfg recipe.Data, progress Progress) (*Dataset, error) {
		if _, err := stat(cfg.Root, s.Layout); err != nil {
			return nil, err
		}
		set, err := list(cfg.Root)
		if err != nil {
			return nil, fmt.Errorf("%w%s", err, seeList)
		}
		ds, err := survey(ctx, set, cfg, progress)
		if err != nil {
			set.Close()
			return nil, err
		}
		return ds, nil
	}
}

// defaultSide is the shorter side of images, in pixels, if a recipe does not set one (paper,
// section 2).
const defaultSide = 256

// survey decodes the files that the recipe asks for and keeps the usable ones.
func survey(ctx context.Context, set *imagefiles.Set, cfg recipe.Data, progress Progress) (*Dataset, error) {
	fit := imaging.Fit{ShortSide: cfg.ShortSide, Size: cfg.Size}
	stated := fit != imaging.Fit{}
	if !stated {
		fit.ShortSide = defaultSide
	}
	if err := fit.Validate(); err != nil {
		return nil, err
	}
	train, test := imagefiles.Shuffle("train", set.Train), imagefiles.Shuffle("test", set.Test)
	if len(cfg.Classes) > 0 {
		to, err := numbers(set.Classes, cfg.Classes)
		if err != nil {
			return nil, err
		}
		set.Classes, train, test = cfg.Classes, chosenFiles(train, to), chosenFiles(test, to)
	}
	ds := &Dataset{
		Classes: set.Classes, Shape: arch.Shape{Height: fit.Side(), Width: fit.Side(), Channels: 3},
		Fit: &fit, Files: &FileSizes{}, closer: set,
	}
	done, total := 0, atMost(train, cfg.Train)+atMost(test, cfg.Test)
	read := func(d imagefiles.Decoded) error {
		done++
		progress.tell(min(done, total), total)
		if d.Err != nil {
			return nil
		}
		if ds.Files.add(d.Source); stated || ds.Files.N != sample {
			return nil
		}
		return ds.Files.enlarged(fit)
	}
	for _, part := range []struct {
		name  string
		files []imagefiles.File
		want  int
		to    *Split
	}{{"train", train, cfg.Train, &ds.Train}, {"test", test, cfg.Test, &ds.Test}} {
		f, err := ds.usable(ctx, part.name, part.files, part.want, read)
		if err != nil {
			return nil, err
		}
		*part.to = Split{Labels: f.labels(), stored: f}
		if part.name == "train" && f.statistics.Images > 0 {
			colour := f.statistics.Colour()
			ds.Mean, ds.Colour = f.statistics.Mean(), &colour
		}
		if len(f.kept) == 0 && len(ds.Skipped) <= cfg.MaxSkipped {
			return nil, fmt.Errorf("no usable image is left in %s: %w", part.name, ErrCorrupt)
		}
	}
	if !stated && ds.Files.N < sample {
		if err := ds.Files.enlarged(fit); err != nil {
			return nil, err
		}
	}
	if n := len(ds.Skipped); n > cfg.MaxSkipped {
		return nil, fmt.Errorf("%d files hold no usable image, data.max_skipped is %d; "+
			"ablate data check lists them, the first: %s: %w", n, cfg.MaxSkipped, ds.Skipped[0], ErrCorrupt)
	}
	return ds, nil
}

// atMost returns the number of files that a split reads if all are usable.
func atMost(files []imagefiles.File, want int) int {
	if want == 0 {
		return len(files)
	}
	return min(want, len(files))
}

// errEnough ends a survey.
var errEnough = errors.New("enough images")

// usable decodes files until want of them are usable; it decodes all if want is 0.
func (ds *Dataset) usable(ctx context.Context, split string, files []imagefiles.File, want int,
	read func(imagefiles.Decoded) error) (*imageFiles, error) {
	fit := *ds.Fit
	f := &imageFiles{readers: sync.Pool{New: func() any { return imaging.NewReader(fit) }}}
	sum := sha256.New()
	err := imagefiles.Decode(ctx, files, fit, runtime.GOMAXPROCS(0), func(d imagefiles.Decoded) error {
		if err := read(d); err != nil {
			return err
		}
		file := files[d.Index]
		if d.Err != nil {
			ds.Skipped = append(ds.Skipped, pack.Skipped{Split: split, Name: file.Name, Reason: d.Err.Error()})
			return nil
		}
		f.kept = append(f.kept, file)
		f.statistics.Add(d.Pixels)
		sum.Write(binary.LittleEndian.AppendUint32(nil, uint32(file.Label)))
		sum.Write(d.Pixels)
		if len(f.kept) == want {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	f.sum = fmt.Sprintf("%x", sum.Sum(nil))
	return f, nil
}

// sample is the number of images that decide whether the default size enlarges images.
const sample = 20

// FileSizes describes the sizes of the images in a set of files.
type FileSizes struct {
	N           int
	First       image.Point
	Least, Most image.Point // per side: width and height independently
	smaller     int         // images whose shorter side is below defaultSide
}

func (s *FileSizes) add(size image.Point) {
	if s.N++; s.N == 1 {
		s.First, s.Least, s.Most = size, size, size
	}
	s.Least.X, s.Least.Y = min(s.Least.X, size.X), min(s.Least.Y, size.Y)
	s.Most.X, s.Most.Y = max(s.Most.X, size.X), max(s.Most.Y, size.Y)
	if min(size.X, size.Y) < defaultSide {
		s.smaller++
	}
}

// enlarged refuses a size that the recipe did not set if most of the images so far are smaller:
// the net would see a corner of invented pixels.
func (s *FileSizes) enlarged(fit imaging.Fit) error {
	if 2*s.smaller <= s.N {
		return nil
	}
	return fmt.Errorf("neither data.size nor data.short_side is set, and %d of the first %d images are smaller than the "+
		"%d×%d that they would become (the first is %d×%d); set one of the two, as in data.size=%d",
		s.smaller, s.N, fit.Side(), fit.Side(), s.First.X, s.First.Y, min(s.First.X, s.First.Y))
}

// String describes the sizes in words.
func (s *FileSizes) String() string {
	if s.Least == s.Most {
		return fmt.Sprintf("%d×%d files", s.Most.X, s.Most.Y)
	}
	return fmt.Sprintf("files of %d×%d to %d×%d", s.Least.X, s.Least.Y, s.Most.X, s.Most.Y)
}

// An imageFiles holds images that are decoded each time they are read.
type imageFiles struct {
	kept       []imagefiles.File
	readers    sync.Pool // of *imaging.Reader
	statistics imaging.Statistics
	sum        string
}

func (f *imageFiles) labels() []int32 {
	labels := make([]int32, len(f.kept))
	for i, file := range f.kept {
		labels[i] = file.Label
	}
	return labels
}

func (f *imageFiles) image(i int, buf []byte) ([]byte, error) {
	text, err := f.kept[i].Read()
	if err != nil {
		return nil, fmt.Errorf("%s, which was read before: %w", f.kept[i].Name, err)
	}
	r := f.readers.Get().(*imaging.Reader)
	defer f.readers.Put(r)
	if err := r.Read(text, buf); err != nil {
		return nil, fmt.Errorf("%s, which was read before: %w", f.kept[i].Name, err)
	}
	return buf, nil
}

func (f *imageFiles) name(i int) string { return f.kept[i].Name }

// digest returns the digest of the surveyed images, which are those that the recipe asks for.
func (f *imageFiles) digest(int) string { return f.sum }
