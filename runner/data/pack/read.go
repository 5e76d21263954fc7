package pack

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"sort"
	"strings"

	"github.com/edsrzf/mmap-go"

	"ablate/runner/data/files"
)

// A Pack is a finished pack. Its images stay on disk until they are read.
type Pack struct {
	Manifest
	Train, Test Images
	dir         string
	maps        []mmap.MMap
}

// Images holds the images of one split.
type Images struct {
	Labels []int32
	name   string
	size   int      // bytes per image
	index  []byte   // entries
	shards [][]byte // mapped
	files  []string // names of the shards
	starts []int    // number of the first image of each shard
}

// Open maps a pack. It reads the manifest and the index and checks the sizes of the shards. The
// bytes of the shards are verified image by image when they are read, and all at once by Verify.
func Open(dir string) (*Pack, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	p := &Pack{Manifest: *m, dir: dir}
	for _, split := range []struct {
		name string
		to   *Images
	}{{"train", &p.Train}, {"test", &p.Test}} {
		if *split.to, err = p.open(split.name); err != nil {
			p.Close()
			return nil, err
		}
	}
	return p, nil
}

// Close unmaps the pack's files. Images must not be used afterwards.
func (p *Pack) Close() error {
	var errs []error
	for i := range p.maps {
		errs = append(errs, p.maps[i].Unmap())
	}
	p.maps = nil
	return errors.Join(errs...)
}

// Bounds of the files that are read whole. The manifest of an ImageNet pack has 0.2 MB, and a
// system's paths have at most 4,096 bytes.
const (
	maxManifest = 256 << 20
	maxName     = 4096
)

func readManifest(dir string) (*Manifest, error) {
	name := filepath.Join(dir, manifestName)
	text, err := files.Read(name, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, planName)); err == nil {
			return nil, fmt.Errorf("packing into %s was not finished; the same ablate data pack continues it: %w",
				dir, ErrMissing)
		}
		return nil, fmt.Errorf("%s is not there; make the pack with ablate data pack: %w", name, ErrMissing)
	}
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// parseManifest reads a manifest and refuses one that is inconsistent.
func parseManifest(text []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("%v: %w", err, ErrCorrupt)
	}
	if m.Format != formatVersion {
		return nil, fmt.Errorf("format %d, this ablate reads %d; pack again", m.Format, formatVersion)
	}
	if err := m.Fit.Validate(); err != nil {
		return nil, fmt.Errorf("%v: %w", err, ErrCorrupt)
	}
	if len(m.Classes) == 0 {
		return nil, fmt.Errorf("no classes: %w", ErrCorrupt)
	}
	for _, name := range splits {
		s, ok := m.Splits[name]
		if !ok || s.Images < 1 {
			return nil, fmt.Errorf("no images in %s: %w", name, ErrCorrupt)
		}
		images := 0
		for _, shard := range s.Shards {
			if shard.Images < 1 || shard.Images > shardImages {
				return nil, fmt.Errorf("%s has %d images, 1 to %d are possible: %w",
					shard.File, shard.Images, shardImages, ErrCorrupt)
			}
			if shard.File != filepath.Base(shard.File) || !strings.HasPrefix(shard.File, name+"-") {
				return nil, fmt.Errorf("%q is no shard of %s: %w", shard.File, name, ErrCorrupt)
			}
			images += shard.Images
		}
		if images != s.Images {
			return nil, fmt.Errorf("%s has %d images, its shards hold %d: %w", name, s.Images, images, ErrCorrupt)
		}
	}
	return &m, nil
}

// open reads a split's index and maps its shards.
func (p *Pack) open(name string) (Images, error) {
	s := p.Splits[name]
	im := Images{name: name, size: p.Fit.Len()}
	var err error
	if im.index, err = p.verified(indexName(name), int64(s.Images)*entryBytes, s.Index); err != nil {
		return im, err
	}
	if im.Labels, err = parseIndex(im.index, s.Images, len(p.Classes)); err != nil {
		return im, fmt.Errorf("%s: %w", filepath.Join(p.dir, indexName(name)), err)
	}
	start := 0
	for _, shard := range s.Shards {
		mapped, err := p.mapShard(shard)
		if err != nil {
			return im, err
		}
		im.shards = append(im.shards, mapped)
		im.files = append(im.files, shard.File)
		im.starts = append(im.starts, start)
		start += shard.Images
	}
	return im, nil
}

func (p *Pack) mapShard(s Shard) ([]byte, error) {
	name := filepath.Join(p.dir, s.File)
	f, size, err := files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing; pack again: %w", name, ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if want := int64(s.Images) * int64(p.Fit.Len()); size != want {
		return nil, fmt.Errorf("%s has %d bytes instead of %d; pack again: %w", name, size, want, ErrCorrupt)
	}
	m, err := mmap.Map(f, mmap.RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", name, err)
	}
	p.maps = append(p.maps, m)
	return m, nil
}

// verified reads a file of at most limit bytes and compares it with its known digest.
func (p *Pack) verified(name string, limit int64, want string) ([]byte, error) {
	path := filepath.Join(p.dir, name)
	text, err := files.Read(path, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing; pack again: %w", path, ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	if got := digest(text); got != want {
		return nil, fmt.Errorf("%s has SHA-256 %s, it was written with %s; pack again: %w", path, got, want, ErrCorrupt)
	}
	return text, nil
}

// parseIndex returns the labels in an index.
func parseIndex(index []byte, images, classes int) ([]int32, error) {
	if images < 0 || len(index)%entryBytes != 0 || len(index)/entryBytes != images {
		return nil, fmt.Errorf("%d bytes are not %d entries of %d: %w", len(index), images, entryBytes, ErrCorrupt)
	}
	labels := make([]int32, images)
	for i := range labels {
		if labels[i] = entryAt(index, i).Label; labels[i] < 0 || int(labels[i]) >= classes {
			return nil, fmt.Errorf("image %d has label %d, there are %d classes: %w", i, labels[i], classes, ErrCorrupt)
		}
	}
	return labels, nil
}

// At returns the bytes of image i in the order height, width, RGB. They must not be written to. It
// compares them with the CRC-32C from the time of packing, which costs less than preparing them
// for a net.
func (im *Images) At(i int) (image []byte, err error) {
	k := sort.Search(len(im.starts), func(k int) bool { return im.starts[k] > i }) - 1
	// Reading a file that was truncated while it is mapped causes a fault. It becomes an error
	// instead of a crash.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			image, err = nil, fmt.Errorf("%s: image %d cannot be read (%v): %w",
				im.files[k], i-im.starts[k], p, ErrCorrupt)
		}
	}()
	image = im.shards[k][(i-im.starts[k])*im.size:][:im.size:im.size]
	if crc32.Checksum(image, castagnoli) != entryAt(im.index, i).CRC {
		return nil, fmt.Errorf("%s: image %d is not what was packed; ablate data check packed says what else: %w",
			im.files[k], i-im.starts[k], ErrCorrupt)
	}
	return image, nil
}

// Mean returns the mean image of the training images: one mean for each value of an image, 0..255.
func (p *Pack) Mean() ([]float32, error) {
	text, err := p.verified(meanName, 4*int64(p.Fit.Len()), p.Manifest.Mean)
	if err != nil {
		return nil, err
	}
	if len(text) != 4*p.Fit.Len() {
		return nil, fmt.Errorf("%s has %d bytes instead of %d: %w", meanName, len(text), 4*p.Fit.Len(), ErrCorrupt)
	}
	mean := make([]float32, len(text)/4)
	for i := range mean {
		mean[i] = math.Float32frombits(binary.LittleEndian.Uint32(text[4*i:]))
	}
	return mean, nil
}

// Names returns the source files of a split's images (train or test), in the order of the images.
func (p *Pack) Names(split string) ([]string, error) {
	text, err := p.verified(namesName(split), int64(p.Splits[split].Images)*maxName, p.Splits[split].Names)
	if err != nil {
		return nil, err
	}
	names := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(names) != p.Splits[split].Images {
		return nil, fmt.Errorf("%s has %d names for %d images: %w",
			namesName(split), len(names), p.Splits[split].Images, ErrCorrupt)
	}
	return names, nil
}

// Verify reads everything and compares it with the digests of the manifest. It returns all errors
// that it finds.
func (p *Pack) Verify(ctx context.Context) error {
	var errs []error
	if _, err := p.Mean(); err != nil {
		errs = append(errs, err)
	}
	for _, split := range splits {
		if _, err := p.Names(split); err != nil {
			errs = append(errs, err)
		}
		for _, shard := range p.Splits[split].Shards {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if _, err := p.verified(shard.File, int64(shard.Images)*int64(p.Fit.Len()), shard.SHA256); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// Digest returns a digest that identifies a split's images and labels: the SHA-256 of the digests
// of its index and shards.
func (p *Pack) Digest(split string) string {
	s := p.Splits[split]
	all := s.Index
	for _, shard := range s.Shards {
		all += "\n" + shard.SHA256
	}
	return digest([]byte(all))
}
