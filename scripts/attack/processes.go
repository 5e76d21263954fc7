//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// signals returns trials that stop a run: with a signal that lets it save itself, and with a kill, after which the same
// command reaches the same weights as an undisturbed run.
func (a *attacker) signals() []trial {
	var all []trial
	long := strings.Replace(smallStudy, "epochs: 2", "epochs: 1000000", 1)
	huge := fmt.Sprintf(study, fmt.Sprintf(smallNet, "{dense: {outputs: 60000, init: {kind: he}}}, "), drawn, "")
	shapes := strings.Replace(smallStudy, "train: 100", "train: 200000", 1)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE} {
		for i := range 5 {
			after := time.Duration(500+a.random.IntN(1500)) * time.Millisecond
			all = append(all, trial{"signals", fmt.Sprintf("%v of a run after %v (%d)", s, after, i), func(dir string) result {
				return a.signal(dir, long, s, after, "run", "s.yaml", "--yes")
			}})
		}
	}
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		after := time.Duration(500+a.random.IntN(1000)) * time.Millisecond
		for name, text := range map[string]string{"weights": huge, "images": shapes} {
			for _, args := range [][]string{{"run", "s.yaml", "--dry-run"}, {"run", "s.yaml", "--yes"}} {
				all = append(all, trial{"signals", fmt.Sprintf("%v while %s are drawn: %v", s, name, args),
					func(dir string) result {
						return a.signal(dir, text, s, after, args...)
					}})
			}
		}
	}
	for i := range 30 {
		moments := [3]time.Duration{}
		for k := range moments {
			moments[k] = time.Duration(20+a.random.IntN(600)) * time.Millisecond
		}
		all = append(all, trial{"signals", fmt.Sprintf("killed after %v (%d)", moments, i), func(dir string) result {
			return a.kill(dir, moments[:])
		}})
	}
	return all
}

// signal stops a command and expects exit code 3, unless it had already ended.
func (a *attacker) signal(dir, text string, s syscall.Signal, after time.Duration, args ...string) result {
	if err := os.WriteFile(filepath.Join(dir, "s.yaml"), []byte(text), 0o644); err != nil {
		return result{skipped, err.Error()}
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
	defer cancel()
	c := a.command(ctx, dir, args...)
	var out, messages bytes.Buffer
	c.Stdout, c.Stderr = &out, &messages
	if err := c.Start(); err != nil {
		return result{skipped, err.Error()}
	}
	time.Sleep(after)
	c.Process.Signal(s)
	return judge(ctx, c, c.Wait(), []int{done, interrupted}, out.String(), messages.String())
}

// kill kills a study at these moments, then lets it finish.
func (a *attacker) kill(dir string, moments []time.Duration) result {
	if err := os.WriteFile(filepath.Join(dir, "s.yaml"), []byte(smallStudy), 0o644); err != nil {
		return result{skipped, err.Error()}
	}
	for _, moment := range moments {
		c := a.command(context.Background(), dir, "run", "s.yaml")
		if err := c.Start(); err != nil {
			return result{skipped, err.Error()}
		}
		time.Sleep(moment)
		c.Process.Kill()
		c.Wait()
	}
	if r := a.must(dir, []int{done}, "run", "s.yaml"); r.verdict != harmless {
		return r
	}
	for _, variant := range []string{"baseline", "rate"} {
		for _, name := range []string{"weights.safetensors", "predictions.csv"} {
			path := filepath.Join("runs", "s", variant, "seed-1", name)
			want, err := os.ReadFile(filepath.Join(a.records, path))
			got, gotErr := os.ReadFile(filepath.Join(dir, path))
			if err := errors.Join(err, gotErr); err != nil || !bytes.Equal(want, got) {
				return result{crashed, fmt.Sprintf("%s is not that of a run in peace (%v)", path, err)}
			}
		}
	}
	return result{verdict: harmless}
}

// disks returns trials that run studies on disks too small for them.
func (a *attacker) disks() []trial {
	var all []trial
	for i := range 40 {
		size := 4096 << a.random.IntN(10)
		size += 4096 * a.random.IntN(1+size/4096)
		all = append(all, trial{"disks", fmt.Sprintf("%d bytes (%d)", size, i), func(dir string) result {
			disk := filepath.Join(dir, "disk")
			if err := os.Mkdir(disk, 0o755); err != nil {
				return result{skipped, err.Error()}
			}
			if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprint("size=", size)); err != nil {
				return result{skipped, err.Error()} // only root may
			}
			defer syscall.Unmount(disk, syscall.MNT_DETACH)
			if err := os.WriteFile(filepath.Join(dir, "s.yaml"), []byte(smallStudy), 0o644); err != nil {
				return result{skipped, err.Error()}
			}
			r := a.must(dir, []int{done, later}, "run", "s.yaml", "--runs", "disk")
			if r.verdict > harmless {
				return r
			}
			if list := a.must(dir, []int{done}, "runs", "--runs", "disk"); list.verdict != harmless {
				return list
			}
			// With room again the same command ends the study.
			if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
				return result{skipped, err.Error()}
			}
			if again := a.must(dir, []int{done}, "run", "s.yaml", "--runs", "disk"); again.verdict != harmless {
				return again
			}
			return r
		}})
	}
	return all
}
