// Package tfevents reads TensorBoard's event files, and frames the data that is written to them.
//
// The file format is TFRecord frames (tensorflow/core/lib/io/record_writer.h) of tensorflow.Event
// messages (tensorflow/core/util/event.proto). The package reads scalars as written by tf.summary
// of TensorFlow 1 and 2, PyTorch's SummaryWriter and tensorboardX.
package tfevents

import (
	"encoding/binary"
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

	"google.golang.org/protobuf/encoding/protowire"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked returns the checksum of record_writer.h. It is rotated by 15 bits and offset, because the
// checksum of data that contains checksums would otherwise be weak.
func masked(data []byte) uint32 {
	const delta = 0xa282ead8
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + delta
}

// Append appends a frame: length, its checksum, data, its checksum.
func Append(to []byte, data []byte) []byte {
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	to = binary.LittleEndian.AppendUint32(append(to, length...), masked(length))
	return binary.LittleEndian.AppendUint32(append(to, data...), masked(data))
}

// A Scalar is one value that a program logged.
type Scalar struct {
	Tag      string
	Step     int64
	WallTime float64 // seconds since 1970
	Value    float64
}

// ErrCorrupt reports a file that does not match its checksums, or that is not an event file.
var ErrCorrupt = errors.New("not a whole event file")

// Limits on what is read.
const (
	maxFrame   = 64 << 20 // bytes of an event; one with images is large
	maxScalars = 1 << 20  // that one call returns
	maxFiles   = 1000     // files in a folder
	maxDepth   = 8        // of nested folders
)

// A Tail reads an event file as it grows.
type Tail struct {
	path    string
	offset  int64
	scalars map[string]bool // tags of tensors that are scalars
}

// NewTail returns a Tail that reads from an offset, at which a frame begins.
func NewTail(path string, offset int64) *Tail {
	return &Tail{path: path, offset: offset, scalars: map[string]bool{}}
}

// Next returns the scalars that have been written since the last call. It leaves an unfinished
// frame for the next call.
func (t *Tail) Next() ([]Scalar, error) {
	f, err := os.Open(t.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s: not a regular file", t.path))
	}
	var all []Scalar
	for len(all) < maxScalars {
		data, err := t.frame(f)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return all, nil
		case err != nil:
			return all, fmt.Errorf("%s: byte %d: %w", t.path, t.offset, err)
		}
		scalars, err := t.event(data)
		if err != nil {
			return all, fmt.Errorf("%s: byte %d: %w: %w", t.path, t.offset, ErrCorrupt, err)
		}
		all = append(all, scalars...)
		t.offset += frameSize(len(data))
	}
	return all, nil
}

const (
	headSize = 8 + 4
	tailSize = 4
)

func frameSize(data int) int64 { return headSize + int64(data) + tailSize }

// frame reads the frame at the offset.
func (t *Tail) frame(f io.ReaderAt) ([]byte, error) {
	head := make([]byte, headSize)
	if err := readAt(f, head, t.offset); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint64(head)
	if masked(head[:8]) != binary.LittleEndian.Uint32(head[8:]) {
		return nil, fmt.Errorf("%w: the checksum of a length does not match", ErrCorrupt)
	}
	if length > maxFrame {
		return nil, fmt.Errorf("%w: an event of %d bytes; at most %d are read", ErrCorrupt, length, maxFrame)
	}
	data, err := io.ReadAll(io.NewSectionReader(f, t.offset+headSize, int64(length)+tailSize))
	if err != nil {
		return nil, err
	}
	if uint64(len(data)) < length+tailSize {
		return nil, io.ErrUnexpectedEOF
	}
	data, sum := data[:length], binary.LittleEndian.Uint32(data[length:])
	if masked(data) != sum {
		return nil, fmt.Errorf("%w: the checksum of an event does not match", ErrCorrupt)
	}
	return data, nil
}

// readAt fills a buffer, or says that the file ends before.
func readAt(f io.ReaderAt, buffer []byte, offset int64) error {
	_, err := io.ReadFull(io.NewSectionReader(f, offset, int64(len(buffer))), buffer)
	return err
}

// errWire is a message that protocol buffers cannot be.
var errWire = errors.New("not a protocol buffer")

// fields calls f for each field of a message: v for varints and fixed numbers, b for bytes.
func fields(m []byte, f func(field protowire.Number, v uint64, b []byte) error) error {
	for len(m) > 0 {
		field, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			return errWire
		}
		m = m[n:]
		var v uint64
		var b []byte
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(m)
		case protowire.Fixed32Type:
			var x uint32
			x, n = protowire.ConsumeFixed32(m)
			v = uint64(x)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(m)
		case protowire.BytesType:
			b, n = protowire.ConsumeBytes(m)
		default:
			n = protowire.ConsumeFieldValue(field, kind, m)
		}
		if n < 0 {
			return errWire
		}
		m = m[n:]
		if err := f(field, v, b); err != nil {
			return err
		}
	}
	return nil
}

// event reads the scalars of a tensorflow.Event.
func (t *Tail) event(m []byte) ([]Scalar, error) {
	var all []Scalar
	var step int64
	var wall float64
	err := fields(m, func(field protowire.Number, v uint64, b []byte) error {
		switch field {
		case 1:
			wall = math.Float64frombits(v)
		case 2:
			step = int64(v)
		case 5:
			return fields(b, func(field protowire.Number, _ uint64, value []byte) error {
				if field != 1 {
					return nil
				}
				s, ok, err := t.value(value)
				if ok {
					all = append(all, s)
				}
				return err
			})
		}
		return nil
	})
	for i := range all {
		all[i].Step, all[i].WallTime = step, wall
	}
	return all, err
}

// value reads a Summary.Value: a simple value, or the tensor without dimensions of the plugin scalars.
func (t *Tail) value(m []byte) (s Scalar, ok bool, err error) {
	var tensor []byte
	err = fields(m, func(field protowire.Number, v uint64, b []byte) error {
		switch field {
		case 1:
			s.Tag = strings.ToValidUTF8(string(b), "\uFFFD")
		case 2:
			s.Value, ok = float64(math.Float32frombits(uint32(v))), true
		case 8:
			tensor = b
		case 9:
			return t.metadata(s.Tag, b)
		}
		return nil
	})
	if err == nil && !ok && tensor != nil && t.scalars[s.Tag] {
		s.Value, ok, err = scalar(tensor)
	}
	return s, ok && s.Tag != "", err
}

// metadata remembers that a tag's tensors are scalars.
func (t *Tail) metadata(tag string, m []byte) error {
	return fields(m, func(field protowire.Number, _ uint64, plugin []byte) error {
		if field != 1 {
			return nil
		}
		return fields(plugin, func(field protowire.Number, _ uint64, name []byte) error {
			if field == 1 && string(name) == "scalars" && len(t.scalars) < maxScalars {
				t.scalars[tag] = true
			}
			return nil
		})
	})
}

// Types of tensors (tensorflow/core/framework/types.proto).
const (
	dtFloat  = 1
	dtDouble = 2
)

// scalar reads a TensorProto of one float or double.
func scalar(m []byte) (value float64, ok bool, err error) {
	kind := uint64(0)
	var content []byte
	err = fields(m, func(field protowire.Number, v uint64, b []byte) error {
		switch field {
		case 1:
			kind = v
		case 4, 5, 6: // the raw bytes, float_val, double_val: packed, or one number on its own
			if content = b; b == nil && field == 5 {
				content = binary.LittleEndian.AppendUint32(nil, uint32(v))
			} else if b == nil {
				content = binary.LittleEndian.AppendUint64(nil, v)
			}
		}
		return nil
	})
	switch {
	case kind == dtFloat && len(content) == 4:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(content))), true, err
	case kind == dtDouble && len(content) == 8:
		return math.Float64frombits(binary.LittleEndian.Uint64(content)), true, err
	}
	return 0, false, err
}

// Read returns the scalars of a whole file. What a crash cut short at its end is left out.
func Read(path string) ([]Scalar, error) {
	var all []Scalar
	for t := NewTail(path, 0); ; {
		more, err := t.Next()
		if err != nil || len(more) == 0 {
			return all, err
		}
		if all = append(all, more...); len(all) > maxScalars {
			return nil, fmt.Errorf("%s: more than %d scalars", path, maxScalars)
		}
	}
}

// Files lists the event files in a folder and the folders within it, by name: a name begins with a time.
func Files(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path == dir:
			return err
		case err != nil:
			return nil // of a folder that went away, or that is not ours to read
		case d.IsDir() && strings.Count(strings.TrimPrefix(path, dir), string(filepath.Separator)) > maxDepth:
			return fs.SkipDir
		case d.Type().IsRegular() && strings.Contains(d.Name(), ".tfevents."):
			if found = append(found, path); len(found) > maxFiles {
				return fmt.Errorf("%s: more than %d event files", dir, maxFiles)
			}
		}
		return nil
	})
	slices.SortFunc(found, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return found, err
}
