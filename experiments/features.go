package experiments

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"path/filepath"
	"slices"
	"strconv"
)

// Features are the activations of a net's last hidden layer for some test images, with a small picture of each.
type Features struct {
	Width     int       // values of an image
	Values    []float32 // those of each image, one after the other
	Index     []int     // the images' places in the test split
	Label     []int
	Predicted []int
	Classes   []string
	Side      int    // pixels of a cell of Pictures
	Pictures  []byte // a PNG file: image i is in the cell of column i mod 32 and row i / 32
}

// The files of Features.
const (
	featuresFile = "features.safetensors"
	picturesFile = "features.png"
)

// FeaturesPath returns the path of a run's features.
func FeaturesPath(dir string) string { return filepath.Join(dir, featuresFile) }

// PicturesPath returns the path of the pictures of the images whose features are stored.
func PicturesPath(dir string) string { return filepath.Join(dir, picturesFile) }

const (
	// ThumbnailSide is the greatest width and height of a picture of a test image.
	ThumbnailSide = 64
	// MaxFeatureImages is the greatest number of images whose features are stored.
	MaxFeatureImages = 10_000

	picturesAcross = 32
	maxFeatures    = 256 << 20 // bytes of either file
)

// ErrFeatures reports features that cannot be used.
var ErrFeatures = errors.New("not features that ablate predict --features writes")

// A Thumbnail is a small picture of an image, at most ThumbnailSide wide and high.
type Thumbnail struct {
	RGB           []byte
	Width, Height int
}

// Picture sets Pictures to the thumbnails, in their order.
func (f *Features) Picture(thumbnails []Thumbnail) error {
	f.Side = 1
	for _, t := range thumbnails {
		f.Side = max(f.Side, t.Width, t.Height)
	}
	sheet := image.NewNRGBA(f.sheet())
	for i, t := range thumbnails {
		at := f.cell(i).Min
		for p := range t.Width * t.Height {
			c := color.NRGBA{R: t.RGB[3*p], G: t.RGB[3*p+1], B: t.RGB[3*p+2], A: 255}
			sheet.SetNRGBA(at.X+p%t.Width, at.Y+p/t.Width, c)
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, sheet)
	f.Pictures = b.Bytes()
	return err
}

// sheet returns the bounds of Pictures.
func (f *Features) sheet() image.Rectangle {
	n := len(f.Index)
	return image.Rect(0, 0, min(n, picturesAcross)*f.Side, (n+picturesAcross-1)/picturesAcross*f.Side)
}

// cell returns the bounds of image i in Pictures.
func (f *Features) cell(i int) image.Rectangle {
	at := image.Pt(i%picturesAcross*f.Side, i/picturesAcross*f.Side)
	return image.Rectangle{Min: at, Max: at.Add(image.Pt(f.Side, f.Side))}
}

// Cut returns the pictures of some of the images.
func (f *Features) Cut(images []int) ([]image.Image, error) {
	size, err := png.DecodeConfig(bytes.NewReader(f.Pictures))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", picturesFile, err, ErrFeatures)
	}
	if want := f.sheet().Size(); size.Width != want.X || size.Height != want.Y {
		return nil, fmt.Errorf("%s: %d × %d pixels instead of %d × %d: %w", picturesFile, size.Width, size.Height, want.X,
			want.Y, ErrFeatures)
	}
	sheet, err := png.Decode(bytes.NewReader(f.Pictures))
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", picturesFile, err, ErrFeatures)
	}
	cut := make([]image.Image, len(images))
	for i, n := range images {
		part := image.NewNRGBA(image.Rect(0, 0, f.Side, f.Side))
		draw.Draw(part, part.Rect, sheet, f.cell(n).Min, draw.Src)
		cut[i] = part
	}
	return cut, nil
}

const featuresFormat = "ablate-features"

// SaveFeatures writes a run's features and pictures. The features, which name the digest of the pictures, come last.
func SaveFeatures(dir string, f Features) error {
	const room = 1 << 20 // for what is not a feature
	if n := 4*len(f.Values) + room; max(n, len(f.Pictures)) > maxFeatures {
		return fmt.Errorf("%d features of each of %d images exceed %d MiB; ask for fewer images", f.Width, len(f.Index),
			maxFeatures>>20)
	}
	classes, err := json.Marshal(f.Classes)
	if err != nil {
		return err
	}
	if err := WriteFile(PicturesPath(dir), f.Pictures); err != nil {
		return err
	}
	about := map[string]string{
		"format": featuresFormat, "version": "1", "classes": string(classes), "side": strconv.Itoa(f.Side),
		"pictures_sha256": fmt.Sprintf("%x", sha256.Sum256(f.Pictures)),
	}
	n := len(f.Index)
	return SaveTensors(FeaturesPath(dir), []Tensor{
		{Name: "features", Shape: []int{n, f.Width}, Data: f.Values},
		{Name: "index", Shape: []int{n}, Data: floats(f.Index)},
		{Name: "label", Shape: []int{n}, Data: floats(f.Label)},
		{Name: "predicted", Shape: []int{n}, Data: floats(f.Predicted)},
	}, about)
}

func floats(ns []int) []float32 {
	out := make([]float32, len(ns))
	for i, n := range ns {
		out[i] = float32(n)
	}
	return out
}

// Features reads what SaveFeatures stored for a run.
func (s *Store) Features(r Record) (Features, error) {
	dir, err := s.path(r.Study, r.Variant, r.Seed)
	if err != nil {
		return Features{}, err
	}
	return ReadFeatures(dir)
}

// ReadFeatures reads what SaveFeatures wrote.
func ReadFeatures(dir string) (Features, error) {
	f, err := readFeatures(dir)
	if err != nil {
		return Features{}, err
	}
	if f.Pictures, err = readFile(PicturesPath(dir), maxFeatures); err != nil {
		return Features{}, err
	}
	return f.Features, f.check(dir)
}

// A storedFeatures is what the safetensors file holds.
type storedFeatures struct {
	Features
	digest string // of the pictures
}

func readFeatures(dir string) (f storedFeatures, err error) {
	path := FeaturesPath(dir)
	file, size, err := openFile(path, maxFeatures)
	if err != nil {
		return f, err
	}
	defer file.Close()
	tensors, about, err := parseTensors(file, size)
	if err != nil {
		return f, fmt.Errorf("%s: %w: %w", path, err, ErrFeatures)
	}
	held := map[string]Tensor{}
	for _, t := range tensors {
		held[t.Name] = t
	}
	if about["format"] != featuresFormat || about["version"] != "1" {
		return f, fmt.Errorf("%s: format %.40q, version %.40q: %w", path, about["format"], about["version"], ErrFeatures)
	}
	values := held["features"]
	if len(values.Shape) != 2 || values.Shape[0] > MaxFeatureImages ||
		values.Shape[0] != len(held["index"].Data) {
		return f, fmt.Errorf("%s: features of shape %v for %d images: %w", path, values.Shape, len(held["index"].Data),
			ErrFeatures)
	}
	f.Width, f.Values, f.digest = values.Shape[1], values.Data, about["pictures_sha256"]
	f.Index, f.Label, f.Predicted = ints(held["index"]), ints(held["label"]), ints(held["predicted"])
	err = json.Unmarshal([]byte(about["classes"]), &f.Classes)
	if err == nil {
		f.Side, err = strconv.Atoi(about["side"])
	}
	if err != nil {
		return f, fmt.Errorf("%s: %w: %w", path, err, ErrFeatures)
	}
	return f, nil
}

func ints(t Tensor) []int {
	out := make([]int, len(t.Data))
	for i, v := range t.Data {
		if out[i] = -1; v >= 0 && v < 1<<24 {
			out[i] = int(v)
		}
	}
	return out
}

// check refuses parts that do not belong together.
func (f storedFeatures) check(dir string) error {
	n := len(f.Index)
	classed := func(c int) bool { return c >= 0 && c < len(f.Classes) }
	switch {
	case len(f.Label) != n || len(f.Predicted) != n || len(f.Values) != n*f.Width:
		return fmt.Errorf("%s: %d images, %d labels, %d predictions, %d values: %w", FeaturesPath(dir), n, len(f.Label),
			len(f.Predicted), len(f.Values), ErrFeatures)
	case f.Side < 1 || f.Side > ThumbnailSide:
		return fmt.Errorf("%s: pictures of %d pixels: %w", FeaturesPath(dir), f.Side, ErrFeatures)
	case slices.Min(append([]int{0}, f.Index...)) < 0:
		return fmt.Errorf("%s: an image without a place: %w", FeaturesPath(dir), ErrFeatures)
	case f.digest != fmt.Sprintf("%x", sha256.Sum256(f.Pictures)):
		return fmt.Errorf("%s does not belong to %s: %w", PicturesPath(dir), featuresFile, ErrFeatures)
	}
	for i := range n {
		if !classed(f.Label[i]) || !classed(f.Predicted[i]) {
			return fmt.Errorf("%s: image %d is of no class: %w", FeaturesPath(dir), f.Index[i], ErrFeatures)
		}
	}
	return nil
}
