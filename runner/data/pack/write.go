package pack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ablate/runner/data/files"
	"ablate/runner/data/imagefiles"
	"ablate/runner/data/imaging"
)

// Options say how a set is packed. Only Fit changes the resulting bytes.
type Options struct {
	Fit     imaging.Fit
	Workers int
	// MaxSkipped is the number of files that may be skipped because they hold no usable image.
	MaxSkipped int
	// Progress is called after every file; it may be nil.
	Progress func(Progress)
}

// Progress says how far packing has come.
type Progress struct {
	Files, Total int   // source files, of all splits
	Kept         int   // those of Files that an earlier attempt packed
	Bytes        int64 // read from source files in this attempt
	Skipped      int
}

// ErrBadFiles reports a set with more unusable files than allowed. The message names the file that
// lists them.
var ErrBadFiles = errors.New("files that hold no usable image")

// hopeless is the number of bad files beyond the limit that ends packing early: the folder then
// holds something else.
const hopeless = 1000

// A plan describes what an unfinished pack will hold; only the same plan may continue it.
type plan struct {
	Format int         `json:"format"`
	Method string      `json:"method"`
	Fit    imaging.Fit `json:"fit"`
	Source string      `json:"source"`
}

// Write packs a set into dir, which it creates. If an earlier attempt stopped in that folder,
// Write continues it: it verifies complete shards and keeps them. The manifest is written last;
// the pack exists once its manifest does. If the error is that of the context, the same call
// continues later.
func Write(ctx context.Context, set *imagefiles.Set, dir string, o Options) (*Manifest, error) {
	if err := o.Fit.Validate(); err != nil {
		return nil, err
	}
	w := &writer{dir: dir, set: set, o: o,
		plan: plan{Format: formatVersion, Method: imaging.Method, Fit: o.Fit, Source: sourceDigest(set)}}
	done, err := w.begin()
	if err != nil || done != nil {
		return done, err
	}
	m := &Manifest{Format: formatVersion, Method: imaging.Method, Fit: o.Fit, Classes: set.Classes,
		Splits: map[string]Split{}, Skipped: []Skipped{}, Source: w.plan.Source}
	for _, name := range splits {
		var stats imaging.Statistics
		split, err := w.split(ctx, name, &stats)
		if err != nil {
			return nil, err
		}
		m.Splits[name] = split
		if name == "train" {
			m.Colour = stats.Colour()
			mean := encodeMean(&stats)
			m.Mean = digest(mean)
			if err := writeBytes(w.dir, meanName, mean); err != nil {
				return nil, err
			}
		}
	}
	if len(w.skipped) > o.MaxSkipped {
		return nil, w.tooManyBad()
	}
	for _, name := range splits {
		if m.Splits[name].Images == 0 {
			return nil, fmt.Errorf("no usable image is left in %s", name)
		}
	}
	m.Skipped = append(m.Skipped, w.skipped...)
	return m, w.finish(m)
}

// sourceDigest returns a digest of the list of files, their labels and classes. It does not cover
// their contents, which are not read twice.
func sourceDigest(set *imagefiles.Set) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", set.Classes)
	for _, files := range [][]imagefiles.File{set.Train, set.Test} {
		for _, f := range files {
			fmt.Fprintf(h, "%d %s\n", f.Label, f.Name)
		}
		fmt.Fprintln(h)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// A writer packs one set into one folder.
type writer struct {
	dir     string
	set     *imagefiles.Set
	o       Options
	plan    plan
	now     Progress
	skipped []Skipped
}

// begin makes the folder, or finds the same pack in it, finished or unfinished.
func (w *writer) begin() (done *Manifest, err error) {
	w.now.Total = len(w.set.Train) + len(w.set.Test)
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return nil, err
	}
	if m, err := readManifest(w.dir); err == nil {
		if (plan{Format: m.Format, Method: m.Method, Fit: m.Fit, Source: m.Source}) == w.plan {
			return m, nil
		}
		return nil, fmt.Errorf("%s holds another pack; choose another folder or remove it", w.dir)
	} else if !errors.Is(err, ErrMissing) {
		return nil, err
	}
	text, err := files.Read(filepath.Join(w.dir, planName), maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(w.dir)
		if err != nil {
			return nil, err
		}
		if len(entries) > 0 {
			return nil, fmt.Errorf("%s is not empty and no pack was begun in it; choose another folder", w.dir)
		}
		return nil, writeJSON(w.dir, planName, w.plan)
	}
	if err != nil {
		return nil, err
	}
	var begun plan
	if err := json.Unmarshal(text, &begun); err != nil || begun != w.plan {
		return nil, fmt.Errorf("%s holds a pack that was begun from other files or with other settings; choose "+
			"another folder or remove it", w.dir)
	}
	return nil, nil
}

// split packs one split and writes the files beside its shards.
func (w *writer) split(ctx context.Context, name string, stats *imaging.Statistics) (Split, error) {
	files := w.set.Train
	if name == "test" {
		files = w.set.Test
	}
	files = imagefiles.Shuffle(name, files)
	var s Split
	var index, names bytes.Buffer
	for k := 0; k*shardImages < len(files); k++ {
		part := files[k*shardImages : min(len(files), (k+1)*shardImages)]
		b, err := w.shard(ctx, name, k, part, stats)
		if err != nil {
			return s, err
		}
		for i, n := range b.Names {
			index.Write(appendEntry(nil, b.Entries[i]))
			names.WriteString(n)
			names.WriteByte('\n')
		}
		w.skipped = append(w.skipped, b.Skipped...)
		if len(w.skipped) > w.o.MaxSkipped+hopeless {
			return s, w.tooManyBad()
		}
		if b.Shard.Images > 0 {
			s.Shards = append(s.Shards, b.Shard)
			s.Images += b.Shard.Images
		}
	}
	s.Index, s.Names = digest(index.Bytes()), digest(names.Bytes())
	return s, errors.Join(
		writeBytes(w.dir, indexName(name), index.Bytes()), writeBytes(w.dir, namesName(name), names.Bytes()))
}

// encodeMean encodes the mean image as float32, little-endian.
func encodeMean(s *imaging.Statistics) []byte {
	var b []byte
	for _, v := range s.Mean() {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// A built describes a finished shard. It is stored beside the shard until the pack is finished.
type built struct {
	Shard   Shard
	Entries []entry
	Names   []string
	Skipped []Skipped
}

// shard keeps the shard of an earlier attempt, or writes it.
func (w *writer) shard(ctx context.Context, split string, k int, files []imagefiles.File,
	stats *imaging.Statistics) (built, error) {
	name := shardName(split, k)
	if b, ok := w.kept(name, files, stats); ok {
		w.now.Files += len(files)
		w.now.Kept += len(files)
		w.now.Skipped += len(b.Skipped)
		w.tell()
		return b, ctx.Err()
	}
	b := built{Shard: Shard{File: name}}
	sum := sha256.New()
	err := writeFile(w.dir, name, func(f io.Writer) error {
		to := io.MultiWriter(f, sum)
		return imagefiles.Decode(ctx, files, w.o.Fit, w.o.Workers, func(d imagefiles.Decoded) error {
			file := files[d.Index]
			w.now.Files++
			w.now.Bytes += d.Bytes
			defer w.tell()
			if d.Err != nil {
				b.Skipped = append(b.Skipped, Skipped{split, file.Name, oneLine(d.Err)})
				w.now.Skipped++
				return nil
			}
			stats.Add(d.Pixels)
			b.Entries = append(b.Entries, entry{file.Label, crc32.Checksum(d.Pixels, castagnoli)})
			b.Names = append(b.Names, file.Name)
			b.Shard.Images++
			_, err := to.Write(d.Pixels)
			return err
		})
	})
	if err != nil {
		return b, err
	}
	b.Shard.SHA256 = fmt.Sprintf("%x", sum.Sum(nil))
	return b, writeJSON(w.dir, name+".json", b)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// kept reads a shard that an earlier attempt finished, verifies it, and adds its images to the
// statistics. If anything is wrong with it, or if a skipped file has been repaired since, the
// shard is written again.
func (w *writer) kept(name string, sources []imagefiles.File, stats *imaging.Statistics) (built, bool) {
	var b built
	text, err := files.Read(filepath.Join(w.dir, name+".json"), maxManifest)
	if err != nil || json.Unmarshal(text, &b) != nil {
		return b, false
	}
	n := b.Shard.Images
	images, err := files.Read(filepath.Join(w.dir, name), int64(n)*int64(w.o.Fit.Len()))
	if err != nil || len(images) != n*w.o.Fit.Len() || len(b.Names) != n || len(b.Entries) != n ||
		digest(images) != b.Shard.SHA256 {
		return b, false
	}
	left := map[string]bool{}
	for _, l := range b.Skipped {
		left[l.Name] = true
	}
	sources = slices.DeleteFunc(slices.Clone(sources), func(f imagefiles.File) bool { return !left[f.Name] })
	mended := false
	err = imagefiles.Decode(context.Background(), sources, w.o.Fit, 1, func(d imagefiles.Decoded) error {
		mended = mended || d.Err == nil
		return nil
	})
	if err != nil || mended {
		return b, false
	}
	for ; len(images) > 0; images = images[w.o.Fit.Len():] {
		stats.Add(images[:w.o.Fit.Len()])
	}
	return b, true
}

func (w *writer) tell() {
	if w.o.Progress != nil {
		w.o.Progress(w.now)
	}
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", " ") }

// tooManyBad writes the list of unusable files and returns an error that names it.
func (w *writer) tooManyBad() error {
	if err := w.list(); err != nil {
		return err
	}
	return fmt.Errorf("%d %w, %d allowed; they are listed in %s, the first: %s; mend them, or pass --max-skipped %d to "+
		"skip them",
		len(w.skipped), ErrBadFiles, w.o.MaxSkipped, filepath.Join(w.dir, skippedName), w.skipped[0], len(w.skipped))
}

func (w *writer) list() error {
	var b strings.Builder
	for _, l := range w.skipped {
		fmt.Fprintln(&b, l)
	}
	return writeBytes(w.dir, skippedName, []byte(b.String()))
}

// finish writes what completes the pack, and removes the files that only an unfinished pack needs.
func (w *writer) finish(m *Manifest) error {
	if err := w.list(); err != nil {
		return err
	}
	if err := writeJSON(w.dir, manifestName, m); err != nil {
		return err
	}
	keep := map[string]bool{manifestName: true, skippedName: true, meanName: true}
	for split, s := range m.Splits {
		keep[indexName(split)], keep[namesName(split)] = true, true
		for _, shard := range s.Shards {
			keep[shard.File] = true
		}
	}
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if keep[e.Name()] {
			continue
		}
		if err := os.Remove(filepath.Join(w.dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
