package cmd

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Ctrl-C, SIGTERM, a terminal that is closed and a reader that is gone save where
// the run stands, end with code 3 and say how to continue.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows: a process cannot be sent signals")
	}
	dir := t.TempDir()
	text := strings.NewReplacer("epochs: 2", "epochs: 2000", "checkpoint: 1 step",
		"checkpoint: never").Replace(killStudies["plain"])
	if err := os.WriteFile(filepath.Join(dir, "plain.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE} {
		if signal.Ignored(s) { // as SIGHUP is under nohup, where it must not stop a run
			continue
		}
		c := child(dir, "plain", "runs")
		var out bytes.Buffer
		c.Stderr = &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		waitForEpoch(t, filepath.Join(dir, "runs", "plain", "baseline", "seed-1", "metrics.jsonl"))
		if err := c.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		var e *exec.ExitError
		if err := c.Wait(); !errors.As(err, &e) || e.ExitCode() != exitInterrupted {
			t.Errorf("%v: %v\n%s", s, err, out.String())
		}
		if want := "continue with: ablate run plain.yaml --runs runs\n"; !strings.HasSuffix(out.String(), want) {
			t.Errorf("%v: %q does not end with %q", s, out.String(), want)
		}
		if states, _ := filepath.Glob(filepath.Join(dir, "runs", "plain", "baseline", "seed-1",
			"checkpoint-*")); len(states) == 0 {
			t.Errorf("%v: no checkpoint", s)
		}
	}
}

// waitForEpoch waits until a run's log has grown by an epoch.
func waitForEpoch(t *testing.T, path string) {
	t.Helper()
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	const patience = time.Minute // a process that ended without an epoch never logs one
	began := time.Now()
	for before := size(); size() < before+100; time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("%s has not grown for %v", path, patience)
		}
	}
}

func TestCommand(t *testing.T) {
	got := command([]string{"/tmp/x/ablate", "run", "my study.yaml", "--set", "train.epochs=1", "--variants", "it's"})
	if want := `ablate run 'my study.yaml' --set train.epochs=1 --variants 'it'\''s'`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
