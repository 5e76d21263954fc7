package external

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"

	"ablate/experiments"
)

// A program that fills the disk is stopped while there is room left to record its end.
func TestFullDisk(t *testing.T) {
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("no small disk to fill: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(root, syscall.MNT_DETACH) })
	store := &experiments.Store{Root: root}
	_, err := attempt(t, context.Background(), store,
		`while :; do head -c 100000 /dev/zero >> "$ABLATE_RUN/large"; sleep 0.01; done`)
	if err == nil || !strings.Contains(err.Error(), "was stopped while its end could be recorded") {
		t.Fatal(err)
	}
	rec, err := experiments.ReadRecord(root + "/s/v/seed-3")
	if err != nil || rec.Status != experiments.Failed || !strings.Contains(rec.Error, "bytes left") {
		t.Errorf("%+v, %v", rec, err)
	}
	if err := os.Remove(root + "/s/v/seed-3/output/large"); err != nil {
		t.Fatal(err)
	}
	if _, err := attempt(t, context.Background(), store, `echo '{"accuracy": 1}' >> "$ABLATE_METRICS"`); err != nil {
		t.Error(err)
	}
}
