// Package peer runs an exported net in the program that it was exported for,
// onnxruntime or PyTorch, and compares the outputs of both on the same images.
package peer

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ablate/arch"
)

// A Sample is a batch of test images with the outputs of ablate's own net.
type Sample struct {
	N        int
	Shape    arch.Shape // shape of an image
	Images   []byte     // in the data set's form, [N, height, width, channels]
	Net      arch.Shape // shape of an input
	Inputs   []float32  // the net's inputs, [N, height, width, channels]
	LogProbs []float32  // the logarithm of each class's probability, [N, classes]
}

// A Check is the result of a comparison.
type Check struct {
	Images     int     `json:"images"`
	Labels     int     `json:"equal_labels"`
	Difference float64 `json:"difference"` // the largest difference of a log probability, relative to it beyond 1
}

// Tolerance is the largest accepted difference between the log probabilities of two programs. Both add the same float32
// products, in a different order.
const Tolerance = 1e-4

// OK reports whether two nets agree.
func (c Check) OK() bool { return c.Labels == c.Images && c.Difference <= Tolerance }

// String describes the result in words.
func (c Check) String() string {
	return fmt.Sprintf("%d of %d labels equal, log probabilities within %.1e", c.Labels, c.Images, c.Difference)
}

// The errors of a comparison.
var (
	ErrMissing = errors.New("there is no Python with what the check needs")
	ErrUnequal = errors.New("the exported net is not the one that was trained")
)

// PythonVariable is the environment variable that names the Python for the peer.
const PythonVariable = "ABLATE_PYTHON"

//go:embed run.py
var program string

// missing is run.py's exit code for a missing module.
const missing = 3

// ONNX compares a model with ablate's own net. raw states that the model takes images as they are stored.
func ONNX(ctx context.Context, model []byte, raw bool, s Sample) (Check, error) {
	return within(func(dir string) (Check, error) {
		path := filepath.Join(dir, "model.onnx")
		if err := os.WriteFile(path, model, 0o600); err != nil {
			return Check{}, err
		}
		return compare(ctx, dir, "onnx", path, raw, s)
	})
}

// Torch compares the model in a folder with ablate's own net.
func Torch(ctx context.Context, model string, s Sample) (Check, error) {
	return within(func(dir string) (Check, error) { return compare(ctx, dir, "torch", model, false, s) })
}

// within calls f with a temporary folder, and removes the folder afterwards.
func within(f func(dir string) (Check, error)) (c Check, err error) {
	dir, err := os.MkdirTemp("", "ablate-check-")
	if err != nil {
		return Check{}, err
	}
	defer func() { err = cmp.Or(err, os.RemoveAll(dir)) }()
	return f(dir)
}

func compare(ctx context.Context, dir, kind, model string, raw bool, s Sample) (Check, error) {
	ask := map[string]any{
		"kind": kind, "model": model, "images": filepath.Join(dir, "images"), "output": filepath.Join(dir, "output"),
	}
	values := s.Images
	if raw {
		ask["type"], ask["shape"] = "uint8", []int{s.N, s.Shape.Height, s.Shape.Width, s.Shape.Channels}
	} else {
		ask["type"], ask["shape"] = "float32", []int{s.N, s.Net.Channels, s.Net.Height, s.Net.Width}
		values = floats(planes(s))
	}
	if err := os.WriteFile(filepath.Join(dir, "images"), values, 0o600); err != nil {
		return Check{}, err
	}
	if err := run(ctx, ask); err != nil {
		return Check{}, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "output"))
	if err != nil {
		return Check{}, err
	}
	c, err := check(s, text)
	if err == nil && !c.OK() {
		err = fmt.Errorf("%w: %s", ErrUnequal, c)
	}
	return c, err
}

// run starts Python with the peer's program.
func run(ctx context.Context, ask map[string]any) error {
	python := cmp.Or(os.Getenv(PythonVariable), "python3")
	text, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, python, "-c", program)
	var out, errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(text), &out, &errs
	err = c.Run()
	var failed *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &failed) && failed.ExitCode() == missing:
		return fmt.Errorf("%w: %s has no %s; install it, or name another Python in %s", ErrMissing, python,
			strings.TrimSpace(out.String()), PythonVariable)
	case errors.As(err, &failed):
		lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
		return fmt.Errorf("%s cannot run the exported net: %.500s", python, lines[len(lines)-1])
	case err != nil:
		return fmt.Errorf("%w: %w; name one in %s", ErrMissing, err, PythonVariable)
	}
	return nil
}

// check compares outputs, little-endian float32, with ours.
func check(s Sample, text []byte) (Check, error) {
	if len(text) != 4*len(s.LogProbs) {
		return Check{}, fmt.Errorf("the exported net returns %d bytes for %d images, want %d", len(text), s.N,
			4*len(s.LogProbs))
	}
	classes := len(s.LogProbs) / s.N
	c := Check{Images: s.N}
	for i := range s.N {
		ours, theirs := 0, 0
		at := func(k int) float64 {
			return float64(math.Float32frombits(binary.LittleEndian.Uint32(text[4*(i*classes+k):])))
		}
		row := s.LogProbs[i*classes:][:classes]
		for k, v := range row {
			if v > row[ours] {
				ours = k
			}
			if at(k) > at(theirs) {
				theirs = k
			}
			if d := math.Abs(at(k)-float64(v)) / max(1, math.Abs(float64(v))); d > c.Difference || math.IsNaN(d) {
				c.Difference = d
			}
		}
		if ours == theirs {
			c.Labels++
		}
	}
	return c, nil
}

// planes returns the inputs in the order of ONNX and PyTorch, [N, channels, height, width].
func planes(s Sample) []float32 {
	pixels, channels := s.Net.Height*s.Net.Width, s.Net.Channels
	to := make([]float32, len(s.Inputs))
	for n := range s.N {
		for p := range pixels {
			for c := range channels {
				to[(n*channels+c)*pixels+p] = s.Inputs[(n*pixels+p)*channels+c]
			}
		}
	}
	return to
}

func floats(v []float32) []byte {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return raw
}
