package data

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/data/imagefiles"
	"ablate/runner/data/imaging"
	"ablate/runner/data/pack"
)

// decodedAgain says what all sources of image files share.
const decodedAgain = "; every image is decoded once before training, to find those that cannot be used, and again at every epoch: " +
	"ablate data pack does it once for all"

var imageFolderSource = Source{
	Name:   "imagefolder",
	What:   "JPEG and PNG files in one folder a class, resized to data.short_side (256) or data.size" + decodedAgain,
	Where:  "your own images, or any data set that is laid out so",
	Layout: imagefiles.FolderLayout,
	open:   openFiles(imagefiles.ImageFolder),
}

var tinyImageNetSource = Source{
	Name: "tiny-imagenet",
	What: "110,000 labelled photographs, 64×64×3, 200 classes (100,000 for training); set data.size: 64" + decodedAgain,
	Where: "tiny-imagenet-200.zip of Stanford's course CS231N, 248,100,043 bytes; a part of ImageNet: " +
		"non-commercial research and education",
	Layout: imagefiles.TinyLayout,
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
	open:  openFiles(imagefiles.ILSVRC),
	check: checkFiles,
}

// openFiles opens a source of image files: it decodes all that are asked for
// once, which finds the bad ones before training begins and yields mean, colours and digest.
func openFiles(list func(root string) (*imagefiles.Set, error)) func(context.Context, Source, recipe.Data) (*Dataset, error) {
	return func(ctx context.Context, s Source, cfg recipe.Data) (*Dataset, error) {
		if _, err := stat(cfg.Root, s.Layout); err != nil {
			return nil, err
		}
		set, err := list(cfg.Root)
		if err != nil {
			return nil, fmt.Errorf("%w%s", err, seeList)
		}
		fit := imaging.Fit{ShortSide: cfg.ShortSide, Size: cfg.Size}
		if fit == (imaging.Fit{}) {
			fit.ShortSide = 256
		}
		ds := &Dataset{Classes: set.Classes, Shape: arch.Shape{Height: fit.Side(), Width: fit.Side(), Channels: 3}, closer: set}
		if err := errors.Join(fit.Validate(), ds.survey(ctx, set, fit, cfg)); err != nil {
			set.Close()
			return nil, err
		}
		return ds, nil
	}
}

// survey decodes the files that are asked for and keeps the usable ones.
func (ds *Dataset) survey(ctx context.Context, set *imagefiles.Set, fit imaging.Fit, cfg recipe.Data) error {
	for _, part := range []struct {
		name  string
		files []imagefiles.File
		want  int
		to    *Split
	}{{"train", set.Train, cfg.Train, &ds.Train}, {"test", set.Test, cfg.Test, &ds.Test}} {
		f, err := ds.usable(ctx, part.name, part.files, fit, part.want)
		if err != nil {
			return err
		}
		*part.to = Split{Labels: f.labels(), stored: f}
		if part.name == "train" && f.statistics.Images > 0 {
			colour := f.statistics.Colour()
			ds.Mean, ds.Colour = f.statistics.Mean(), &colour
		}
		if len(f.kept) == 0 && len(ds.Skipped) <= cfg.MaxSkipped {
			return fmt.Errorf("no usable image is left in %s: %w", part.name, ErrCorrupt)
		}
	}
	if n := len(ds.Skipped); n > cfg.MaxSkipped {
		return fmt.Errorf("%d files hold no usable image, data.max_skipped is %d; ablate data check lists them, the first: %s: %w",
			n, cfg.MaxSkipped, ds.Skipped[0], ErrCorrupt)
	}
	return nil
}

// errEnough ends a survey.
var errEnough = errors.New("enough images")

// usable decodes files in the order of the data set until there are want of them, all if want is 0.
func (ds *Dataset) usable(ctx context.Context, split string, files []imagefiles.File, fit imaging.Fit, want int) (*imageFiles, error) {
	files = imagefiles.Shuffle(split, files)
	f := &imageFiles{readers: sync.Pool{New: func() any { return imaging.NewReader(fit) }}}
	sum := sha256.New()
	err := imagefiles.Decode(ctx, files, fit, runtime.GOMAXPROCS(0), func(d imagefiles.Decoded) error {
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

// imageFiles are images that are decoded whenever they are read.
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

// digest is that of the images that were surveyed, which are those asked for.
func (f *imageFiles) digest(int) string { return f.sum }
