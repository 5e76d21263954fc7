package experiments

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// A Tensor is a named array of float32 values, row-major.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// An entry of a safetensors header.
type entry struct {
	Dtype   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// writeTensors writes the safetensors format: the header's length (8 bytes, little-endian), the
// header as JSON with sorted keys, padded with spaces to a multiple of 8, and the values. The bytes
// depend only on the tensors and the metadata, which may be nil. It returns their SHA-256.
func writeTensors(f io.Writer, tensors []Tensor, about map[string]string) (string, error) {
	head, err := tensorHeader(tensors, about)
	if err != nil {
		return "", err
	}
	digest := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(f, digest), 1<<16)
	w.Write(head) // a bufio.Writer keeps its first error for Flush
	for _, t := range tensors {
		for _, v := range t.Data {
			w.Write(binary.LittleEndian.AppendUint32(w.AvailableBuffer(), math.Float32bits(v)))
		}
	}
	if err := w.Flush(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", digest.Sum(nil)), nil
}

// tensorsSize returns the size of the tensors' values, which is almost that of their file.
func tensorsSize(tensors []Tensor) int64 {
	size := int64(0)
	for _, t := range tensors {
		size += 4 * int64(len(t.Data))
	}
	return size
}

// writeWeights replaces a file of tensors and returns its SHA-256.
func writeWeights(path string, tensors []Tensor, about map[string]string) (digest string, err error) {
	err = writeWith(path, tensorsSize(tensors), func(w io.Writer) (err error) {
		digest, err = writeTensors(w, tensors, about)
		return err
	})
	return digest, err
}

// SaveTensors replaces a safetensors file. about is its metadata and may be nil.
func SaveTensors(path string, tensors []Tensor, about map[string]string) error {
	return writeWith(path, tensorsSize(tensors), func(w io.Writer) error {
		_, err := writeTensors(w, tensors, about)
		return err
	})
}

// Digest returns the SHA-256 that a file of only these tensors, without metadata, would have.
func Digest(tensors []Tensor) (string, error) { return writeTensors(io.Discard, tensors, nil) }

// tensorHeader returns everything before the values.
func tensorHeader(tensors []Tensor, about map[string]string) ([]byte, error) {
	header := map[string]any{}
	if about != nil {
		header[metadata] = about
	}
	var end int64
	for _, t := range tensors {
		if t.Name == metadata {
			return nil, fmt.Errorf("a tensor cannot be called %s, which the format reserves", t.Name)
		}
		if _, ok := header[t.Name]; ok {
			return nil, fmt.Errorf("two tensors are called %s", t.Name)
		}
		e := entry{"F32", append([]int{}, t.Shape...), [2]int64{end, end + 4*int64(len(t.Data))}}
		if err := e.check(e.Offsets[1]); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		header[t.Name], end = e, e.Offsets[1]
	}
	text, err := json.Marshal(header) // maps are written in sorted order
	if err != nil {
		return nil, err
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), nil
}

// metadata is the only key of the header that is not a tensor.
const metadata = "__metadata__"

// ErrWeights reports a weights file that cannot be read.
var ErrWeights = errors.New("not a readable safetensors file")

// maxHeader limits a header; 100 bytes for each of 100,000 tensors fit. (The format's own readers
// accept 100 MB, which would become a gigabyte when parsed.)
const maxHeader = 10 << 20

// ReadTensors reads a safetensors file of float32 tensors, in the order of their values, and its
// metadata, which is nil if there is none.
func ReadTensors(path string) ([]Tensor, map[string]string, error) {
	f, size, err := openFile(path, maxWeights)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	tensors, about, err := parseTensors(f, size)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w: %w", path, err, ErrWeights)
	}
	return tensors, about, nil
}

// parseTensors reads tensors and metadata from size bytes. It uses no more memory than a small
// multiple of them, whatever the header claims.
func parseTensors(r io.ReaderAt, size int64) ([]Tensor, map[string]string, error) {
	head := make([]byte, 8)
	if _, err := r.ReadAt(head, 0); err != nil {
		return nil, nil, errors.New("shorter than its header's length")
	}
	n := binary.LittleEndian.Uint64(head)
	if n > maxHeader || int64(n) > size-8 {
		return nil, nil, fmt.Errorf("a header of %d bytes in a file of %d", n, size)
	}
	head = make([]byte, n)
	if _, err := r.ReadAt(head, 8); err != nil {
		return nil, nil, err
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(head, &entries); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	var about map[string]string
	if text, ok := entries[metadata]; ok {
		if err := json.Unmarshal(text, &about); err != nil {
			return nil, nil, fmt.Errorf("metadata: %w", err)
		}
		delete(entries, metadata)
	}
	body := size - 8 - int64(n)
	layout, err := order(entries, body)
	if err != nil {
		return nil, nil, err
	}
	var tensors []Tensor
	for _, e := range layout { // they cover the values exactly once, so the file limits this
		if e.Dtype != "F32" {
			continue
		}
		text := make([]byte, e.Offsets[1]-e.Offsets[0])
		if _, err := io.ReadFull(io.NewSectionReader(r, 8+int64(n)+e.Offsets[0], int64(len(text))), text); err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", e.name, err)
		}
		values := make([]float32, len(text)/4)
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(text[4*i:]))
		}
		tensors = append(tensors, Tensor{e.name, e.Shape, values})
	}
	return tensors, about, nil
}

// A placed entry is an entry with its name.
type placed struct {
	name string
	entry
}

// order sorts a header's entries by the position of their values, and refuses those that overlap or
// leave gaps.
func order(entries map[string]json.RawMessage, body int64) ([]placed, error) {
	layout := make([]placed, 0, len(entries))
	for name, raw := range entries {
		p := placed{name: name}
		if err := json.Unmarshal(raw, &p.entry); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		if p.Dtype == "I64" && strings.HasSuffix(name, batchesTracked) && p.counts(body) {
			layout = append(layout, p) // PyTorch's batch norms count their batches
			continue
		}
		if err := p.check(body); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		layout = append(layout, p)
	}
	slices.SortFunc(layout, func(a, b placed) int { // empty tensors come before others with the same offset
		return cmp.Or(slices.Compare(a.Offsets[:], b.Offsets[:]), cmp.Compare(a.name, b.name))
	})
	end := int64(0)
	for _, p := range layout {
		if p.Offsets[0] != end {
			return nil, fmt.Errorf("tensor %s begins at %d, but the previous one ends at %d", p.name, p.Offsets[0], end)
		}
		end = p.Offsets[1]
	}
	if end != body {
		return nil, fmt.Errorf("%d bytes of values for tensors of %d", body, end)
	}
	return layout, nil
}

// batchesTracked is the suffix of the name of the only tensor in a PyTorch state dict that is not
// float32.
const batchesTracked = ".num_batches_tracked"

// counts reports whether an entry is a single integer inside the file.
func (e entry) counts(body int64) bool {
	return len(e.Shape) == 0 && e.Offsets[0] >= 0 && e.Offsets[1] == e.Offsets[0]+8 && e.Offsets[1] <= body
}

func (e entry) check(body int64) error {
	if e.Dtype != "F32" {
		return fmt.Errorf("dtype %s; want F32", e.Dtype)
	}
	if e.Offsets[0] < 0 || e.Offsets[1] < e.Offsets[0] || e.Offsets[1] > body {
		return fmt.Errorf("offsets %v outside %d bytes of values", e.Offsets, body)
	}
	n := int64(1)
	for _, d := range e.Shape {
		if d < 0 || d > 0 && n > body/int64(d) {
			return fmt.Errorf("shape %v is larger than the file", e.Shape)
		}
		n *= int64(d)
	}
	if 4*n != e.Offsets[1]-e.Offsets[0] {
		return fmt.Errorf("shape %v does not fit %d bytes", e.Shape, e.Offsets[1]-e.Offsets[0])
	}
	return nil
}
