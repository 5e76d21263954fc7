package tfevents

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"ablate/experiments/export/protobuf"
)

// simple is an event as PyTorch's SummaryWriter writes it.
func simple(tag string, step int64, value float32) []byte {
	v := protobuf.Message{}.String(1, tag).Float(2, value)
	return protobuf.Message{}.Double(1, 1700000000.5).Int(2, step).Bytes(5, protobuf.Message{}.Bytes(1, v))
}

// tensor is an event as tf.summary.scalar of TensorFlow 2 writes it, with metadata in the first of a tag alone.
func tensor(tag string, step int64, value float32, first bool) []byte {
	t := protobuf.Message{}.Int(1, dtFloat).Bytes(2, nil).Float(5, value)
	v := protobuf.Message{}.String(1, tag)
	if first {
		plugin := protobuf.Message{}.String(1, "scalars")
		v = v.Bytes(9, protobuf.Message{}.Bytes(1, plugin))
	}
	return protobuf.Message{}.Int(2, step).Bytes(5, protobuf.Message{}.Bytes(1, v.Bytes(8, t)))
}

func write(t *testing.T, events ...[]byte) (path string, size int) {
	t.Helper()
	var file []byte
	for _, e := range events {
		file = Append(file, e)
	}
	path = filepath.Join(t.TempDir(), "events.out.tfevents.1700000000.host")
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	return path, len(file)
}

func TestRead(t *testing.T) {
	version := protobuf.Message{}.Double(1, 1700000000).String(3, "brain.Event:2")
	path, _ := write(t, version, simple("loss", 1, 0.5), tensor("epoch_accuracy", 3, 0.25, true),
		tensor("epoch_accuracy", 4, 0.75, false), tensor("not_a_scalar", 4, 1, false),
		simple("loss", 2, float32(math.Inf(1))))
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []Scalar{
		{Tag: "loss", Step: 1, WallTime: 1700000000.5, Value: 0.5},
		{Tag: "epoch_accuracy", Step: 3, WallTime: 0, Value: 0.25},
		{Tag: "epoch_accuracy", Step: 4, WallTime: 0, Value: 0.75},
		{Tag: "loss", Step: 2, WallTime: 1700000000.5, Value: math.Inf(1)},
	}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
}

// A file that is being written ends anywhere: nothing is lost, and nothing is read twice.
func TestTailAtEveryByte(t *testing.T) {
	path, size := write(t, simple("a", 1, 1), simple("b", 2, 2), simple("c", 3, 3))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range size {
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		tail := NewTail(path, 0)
		first, err := tail.Next()
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
		rest, err := tail.Next()
		if err != nil || len(first)+len(rest) != 3 {
			t.Errorf("cut at %d: %v, then %v, %v", cut, first, rest, err)
		}
	}
}

// Every flipped byte is found out by a checksum.
func TestChecksums(t *testing.T) {
	path, size := write(t, simple("a", 1, 1))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range size {
		whole[i] ^= 0x10
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(path); !errors.Is(err, ErrCorrupt) || len(got) > 0 {
			t.Errorf("byte %d: %v, %v", i, got, err)
		}
		whole[i] ^= 0x10
	}
}

func FuzzRead(f *testing.F) {
	f.Add(Append(nil, simple("a", 1, 1)))
	f.Add(Append(nil, tensor("a", 1, 1, true)))
	f.Add([]byte("no event file"))
	path := filepath.Join(f.TempDir(), "events.out.tfevents.1")
	f.Fuzz(func(t *testing.T, file []byte) {
		if err := os.WriteFile(path, file, 0o644); err != nil {
			t.Fatal(err)
		}
		_, _ = Read(path) // returns, whatever the file holds
		tail := NewTail(path, 0)
		_, _ = tail.event(file) // and what lies within a good frame
	})
}
