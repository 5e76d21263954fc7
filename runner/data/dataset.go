// Package data holds the data sets and feeds them to training: order, crops and
// flips are pure functions of (seed, epoch, index), and batches are prepared in
// the background.
package data

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"

	"ablate/arch"
	"ablate/recipe"
	"ablate/runner/data/imaging"
	"ablate/runner/data/pack"
	"ablate/strictyaml"
)

// ErrMissing reports data that is not where the study says; ErrCorrupt reports data that is not
// what it should be.
var (
	ErrMissing = errors.New("data is missing")
	ErrCorrupt = errors.New("data is damaged")
)

// A Split is a set of labelled images of one shape, in memory or stored elsewhere.
type Split struct {
	Images []byte // NHWC, 0..255; nil if they are stored elsewhere
	Labels []int32
	stored stored
}

// A stored holds images outside memory. Several goroutines may read it at once.
type stored interface {
	// image returns image i. It may use buf, which has room for one image.
	image(i int, buf []byte) ([]byte, error)
	// digest returns the SHA-256 of the first n images and their labels, as they are stored.
	digest(n int) string
	// name returns a name by which a person can find image i.
	name(i int) string
}

// Image returns image i, of size bytes, which must not be written to. The result may lie in buf,
// which must come from buffer.
func (s Split) Image(i, size int, buf []byte) ([]byte, error) {
	if s.stored != nil {
		return s.stored.image(i, buf)
	}
	return s.Images[i*size:][:size], nil
}

// Name returns a name by which a person can find image i: its file, or its number.
func (s Split) Name(i int) string {
	if s.stored != nil {
		return s.stored.name(i)
	}
	return fmt.Sprintf("image %d", i)
}

// buffer returns the buffer that Image needs, for images of size bytes.
func (s Split) buffer(size int) []byte {
	if s.stored == nil {
		return nil
	}
	return make([]byte, size)
}

// Len returns the number of images.
func (s Split) Len() int { return len(s.Labels) }

// first keeps the first n images, or all if n is 0.
func (s Split) first(n int, what string, size int) (Split, error) {
	if n > s.Len() {
		return s, fmt.Errorf("data.%s asks for %d images, there are %d", what, n, s.Len())
	}
	if n == 0 {
		return s, nil
	}
	if s.stored != nil {
		return Split{Labels: s.Labels[:n], stored: s.stored}, nil
	}
	return Split{Images: s.Images[:n*size], Labels: s.Labels[:n]}, nil
}

// digest returns the SHA-256 of the labels (int32, little-endian) and images.
func (s Split) digest() string {
	if s.stored != nil {
		return s.stored.digest(s.Len())
	}
	h := sha256.New()
	labels := make([]byte, 0, 4*len(s.Labels))
	for _, l := range s.Labels {
		labels = binary.LittleEndian.AppendUint32(labels, uint32(l))
	}
	h.Write(labels)
	h.Write(s.Images)
	return fmt.Sprintf("%x", h.Sum(nil))
}

// A Dataset is a training and a test split of images of one shape.
type Dataset struct {
	Name        string
	Classes     []string
	Shape       arch.Shape
	Train, Test Split
	Validation  Split             // held-out training images; none unless the recipe asks for them
	Digests     map[string]string // SHA-256 of each split as used
	// Mean is the mean of the training images, nil if the source does not know it.
	Mean []float32
	// Colour says how the training images' colours are spread, nil if the source does not know it.
	Colour *imaging.Colour
	// Fit says how image files became squares, nil if the data set has no image files.
	Fit *imaging.Fit
	// Files holds the sizes of the image files that were read, nil if there are none.
	Files *FileSizes
	// Skipped lists the files that hold no usable image.
	Skipped []pack.Skipped
	closer  io.Closer
}

// Close closes the files that the data set holds open. Its images must not be used afterwards.
func (ds *Dataset) Close() error {
	if ds.closer == nil {
		return nil
	}
	return ds.closer.Close()
}

// A Source is a kind of data that can be opened by name.
type Source struct {
	Name    string
	What    string
	Where   string // where to get it, and its terms
	Layout  string // what data.root must hold
	Files   []File // the official distribution's
	Classes []string
	images  bool // it consists of image files, of any size
	open    func(ctx context.Context, s Source, cfg recipe.Data, progress Progress) (*Dataset, error)
	// check verifies what opening does not; nil if there is nothing more to verify.
	check func(ctx context.Context, s Source, root string) error
}

// A Progress function receives the number of images of a data set that have been read. It may be
// nil.
type Progress func(done, total int)

func (p Progress) tell(done, total int) {
	if p != nil {
		p(done, total)
	}
}

// A File is one file of an official distribution.
type File struct {
	Name  string
	Bytes int64  // 0 if the size is not published
	MD5   string // empty if none is published
	// Optional files are checked only if they exist: the data set can be read without them.
	Optional bool
}

// read reads a file of size bytes and verifies its size and digest. It allocates memory only after
// the size has proved right.
func (f File) read(r io.Reader, size int64) ([]byte, error) {
	if size != f.Bytes {
		return nil, fmt.Errorf("it has %d bytes instead of %d; unpack it again: %w", size, f.Bytes, ErrCorrupt)
	}
	text := make([]byte, size)
	if n, err := io.ReadFull(r, text); err != nil {
		return nil, fmt.Errorf("it breaks off after %d of %d bytes (%v); fetch it again: %w", n, size, err, ErrCorrupt)
	}
	if sum := fmt.Sprintf("%x", md5.Sum(text)); f.MD5 != "" && sum != f.MD5 {
		return nil, fmt.Errorf("its MD5 is %s and the official file's %s; unpack it again: %w", sum, f.MD5, ErrCorrupt)
	}
	return text, nil
}

const seeList = " (ablate data list says where to get it)"

// stat looks at data.root. If it is not set or does not exist, the error says what it must be.
func stat(root, layout string) (fs.FileInfo, error) {
	if root == "" {
		return nil, fmt.Errorf("data.root is not set; it must be %s%s: %w", layout, seeList, ErrMissing)
	}
	info, err := os.Stat(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("data.root %s does not exist; it must be %s%s: %w", root, layout, seeList, ErrMissing)
	}
	return info, err
}

var sources = []Source{
	shapesSource, cifar10Source, cifar100Source, imageFolderSource, tinyImageNetSource, imageNetSource,
	packedSource, mnistSource, fashionSource, kmnistSource,
}

// List returns the data sets that can be opened, sorted by name.
func List() []Source {
	list := append([]Source(nil), sources...)
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

func find(name string) (Source, error) {
	var names []string
	for _, s := range List() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Source{}, fmt.Errorf("no data set is called %s%s", strictyaml.Plain(name), strictyaml.Suggest(name, names))
}

// Open reads a data set and keeps the images that the recipe asks for: the first data.train and
// data.test images of its classes. It stops when the context ends.
func Open(ctx context.Context, cfg recipe.Data) (*Dataset, error) { return OpenTelling(ctx, cfg, nil) }

// OpenTelling is Open with progress reports: it decodes image files once when it opens them, which
// takes long.
func OpenTelling(ctx context.Context, cfg recipe.Data, progress Progress) (*Dataset, error) {
	s, err := find(cfg.Name)
	if err != nil {
		return nil, err
	}
	ds, err := s.open(ctx, s, cfg, progress)
	if err != nil {
		return nil, fmt.Errorf("data %s: %w", cfg.Name, err)
	}
	if ds.Name = s.Name; ds.Classes == nil {
		ds.Classes = s.Classes
	}
	if err := ds.keep(cfg); err != nil {
		ds.Close()
		return nil, fmt.Errorf("data %s: %w", cfg.Name, err)
	}
	return ds, nil
}

// keep reduces a data set to the images that a recipe asks for.
func (ds *Dataset) keep(cfg recipe.Data) error {
	if err := ds.choose(cfg.Classes); err != nil {
		return err
	}
	whole := ds.Train.Len()
	var err error
	ds.Train, err = ds.Train.first(cfg.Train, "train", ds.Shape.Len())
	if err == nil {
		ds.Test, err = ds.Test.first(cfg.Test, "test", ds.Shape.Len())
	}
	if err != nil {
		return err
	}
	if ds.Train.Len() < whole { // they described all images
		ds.Mean, ds.Colour = nil, nil
	}
	ds.Digests = map[string]string{"train": ds.Train.digest(), "test": ds.Test.digest()}
	if err := ds.holdOut(cfg.Validation); err != nil {
		return err
	}
	return ds.convert(cfg.ColourSpace)
}

// holdOut takes the last n training images for validation.
func (ds *Dataset) holdOut(n int) error {
	if n == 0 {
		return nil
	}
	left, size := ds.Train.Len()-n, ds.Shape.Len()
	if left < 1 {
		return fmt.Errorf("data.validation asks for %d of the %d training images; some must be left to train on",
			n, ds.Train.Len())
	}
	ds.Validation.Labels, ds.Train.Labels = ds.Train.Labels[left:], ds.Train.Labels[:left]
	if ds.Train.stored != nil {
		ds.Validation.stored = offset{ds.Train.stored, left}
	} else {
		ds.Validation.Images, ds.Train.Images = ds.Train.Images[left*size:], ds.Train.Images[:left*size]
	}
	ds.Mean, ds.Colour = nil, nil // they described all images
	return nil
}

// An offset is a split that begins at a later image of another split.
type offset struct {
	stored
	from int
}

func (o offset) image(i int, buf []byte) ([]byte, error) { return o.stored.image(o.from+i, buf) }

func (o offset) name(i int) string { return o.stored.name(o.from + i) }

// each visits the images in order.
func (s Split) each(ctx context.Context, size int, visit func(i int, image []byte)) error {
	buf := s.buffer(size)
	for i := range s.Len() {
		if err := ctx.Err(); err != nil {
			return err
		}
		image, err := s.Image(i, size, buf)
		if err != nil {
			return err
		}
		visit(i, image)
	}
	return nil
}
