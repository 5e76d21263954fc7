package experiments

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
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

// writeTensors writes the safetensors format: the header's length (8 bytes,
// little-endian), the header as JSON with sorted keys and padded with spaces to
// a multiple of 8, the values. The file depends on nothing but the tensors; its
// SHA-256 is given back.
func writeTensors(path string, tensors []Tensor) (string, error) {
	header := map[string]entry{}
	var body bytes.Buffer
	for _, t := range tensors {
		from := int64(body.Len())
		if err := binary.Write(&body, binary.LittleEndian, t.Data); err != nil {
			return "", err
		}
		if _, ok := header[t.Name]; ok {
			return "", fmt.Errorf("two tensors are called %s", t.Name)
		}
		header[t.Name] = entry{"F32", t.Shape, [2]int64{from, int64(body.Len())}}
	}
	head, err := json.Marshal(header) // maps are written in sorted order
	if err != nil {
		return "", err
	}
	for len(head)%8 != 0 {
		head = append(head, ' ')
	}
	text := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	text = append(append(text, head...), body.Bytes()...)
	if err := WriteFile(path, text); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha256.Sum256(text)), nil
}

// ErrWeights is a weights file that cannot be read.
var ErrWeights = errors.New("not a readable safetensors file")

// maxHeader bounds a header, as the format's own readers do.
const maxHeader = 100 << 20

// ReadWeights reads a safetensors file of float32 tensors, in the order of their values.
func ReadWeights(path string) ([]Tensor, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	t, err := parseTensors(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, err, ErrWeights)
	}
	return t, nil
}

func parseTensors(r io.ReaderAt, size int64) ([]Tensor, error) {
	head := make([]byte, 8)
	if _, err := r.ReadAt(head, 0); err != nil {
		return nil, errors.New("shorter than its header's length")
	}
	n := binary.LittleEndian.Uint64(head)
	if n > maxHeader || int64(n) > size-8 {
		return nil, fmt.Errorf("a header of %d bytes in a file of %d", n, size)
	}
	head = make([]byte, n)
	if _, err := r.ReadAt(head, 8); err != nil {
		return nil, err
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(head, &entries); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	delete(entries, "__metadata__")
	var tensors []Tensor
	starts := map[string]int64{}
	body := size - 8 - int64(n)
	for name, raw := range entries {
		var e entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		if err := e.check(body); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		text := make([]byte, e.Offsets[1]-e.Offsets[0])
		if _, err := r.ReadAt(text, 8+int64(n)+e.Offsets[0]); err != nil && len(text) > 0 {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		values := make([]float32, len(text)/4)
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(text[4*i:]))
		}
		tensors = append(tensors, Tensor{name, e.Shape, values})
		starts[name] = e.Offsets[0]
	}
	slices.SortFunc(tensors, func(a, b Tensor) int { return int(starts[a.Name] - starts[b.Name]) })
	end := int64(0)
	for _, t := range tensors {
		if starts[t.Name] != end {
			return nil, fmt.Errorf("tensor %s begins at %d, where the one before ends at %d", t.Name, starts[t.Name], end)
		}
		end += 4 * int64(len(t.Data))
	}
	if end != body {
		return nil, fmt.Errorf("%d bytes of values for tensors of %d", body, end)
	}
	return tensors, nil
}

func (e entry) check(body int64) error {
	if e.Dtype != "F32" {
		return fmt.Errorf("dtype %s; only F32 is read", e.Dtype)
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
