package experiments

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// small mounts a file system that fills up, or skips where that is not allowed.
func small(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all of a disk's space but a part, and returns a function that frees it.
func fill(t *testing.T, root string, leave int64) (free func()) {
	t.Helper()
	path := filepath.Join(root, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(max(0, info.Size()-leave)); err != nil {
		t.Fatal(err)
	}
	return func() { os.Remove(path) }
}

// On a full disk every write says so, what was whole before stays whole, and
// with space again the run continues from its last checkpoint. However much is
// left, nothing that is half written is taken for a file.
func TestFullDisk(t *testing.T) {
	for pages := range int64(6) {
		s := &Store{Root: small(t, "size=256k")}
		r := start(t, s, "a", StartOptions{})
		if err := r.SaveCheckpoint(checkpointAt(10)); err != nil {
			t.Fatal(err)
		}
		free := fill(t, s.Root, pages*4096)
		big := checkpointAt(20)
		big.Tensors = append(big.Tensors, Tensor{"large", []int{8192}, make([]float32, 8192)})
		if err := r.SaveCheckpoint(big); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%d pages: checkpoint: %v", pages, err)
		}
		_, err := r.SaveWeights(Weights{Params: big.Tensors})
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%d pages: weights: %v", pages, err)
		}
		var w *WriteError
		if !errors.As(err, &w) || w.Path != filepath.Join(r.Dir(), weightsFile) || w.Need < 4*8192 || w.Free < 0 ||
			w.Free > w.Need ||
			!containsAll(err.Error(), weightsFile, fmt.Sprintf("it needs %d bytes", w.Need),
				fmt.Sprintf("free at least %d bytes", w.Need-w.Free)) {
			t.Errorf("%d pages: weights: %v", pages, err)
		}
		err = nil
		for i := 0; err == nil && i < 1000; i++ { // until the log is full too
			err = r.Log(Metric{Epoch: 1, Step: int64(i), Name: "x", Value: 1})
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%d pages: metrics: %v", pages, err)
		}
		if err := r.Finish(Failed, nil, err); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%d pages: record: %v", pages, err)
		}
		free()
		r = again(t, s, r)
		wantCheckpoint(t, r, 10)
		if _, err := ReadMetrics(MetricsPath(r.Dir())); err != nil {
			t.Error(err)
		}
		finish(t, r)
		for _, name := range []string{".writing-*", "checkpoint-*"} {
			if left, _ := filepath.Glob(filepath.Join(r.Dir(), name)); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		}
	}
}

// On a full disk no run begins, and none is thought to have begun.
func TestStartOnFullDisk(t *testing.T) {
	s := &Store{Root: small(t, "size=8m")}
	// Room for the patch of any working tree that the tests may run in.
	free := fill(t, s.Root, 0)
	if _, err := s.Start(record("a"), StartOptions{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
	free()
	finish(t, start(t, s, "a", StartOptions{}))
}

// A disk that becomes read-only ends a run with a clear error.
func TestReadOnlyDisk(t *testing.T) {
	s := &Store{Root: small(t, "size=256k")}
	r := start(t, s, "a", StartOptions{})
	if err := r.closeFiles(); err != nil { // the kernel refuses while files are open for writing
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		if err := syscall.Mount("tmpfs", s.Root, "tmpfs", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	if err := r.save(); !errors.Is(err, syscall.EROFS) {
		t.Errorf("record: %v", err)
	}
	if _, err := r.SaveWeights(Weights{}); !errors.Is(err, syscall.EROFS) {
		t.Errorf("weights: %v", err)
	}
	remount(0)
}
