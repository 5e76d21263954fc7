//go:build unix

// Manyruns makes a folder of records as large as a study of 10,000 runs leaves
// behind. It prints what ablate runs, status and report need to read it: seconds,
// seconds of CPU, and memory. It trains nothing.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ablate/experiments"
	"ablate/runner"
)

func main() {
	variants := flag.Int("variants", 100, "`N` variants")
	seeds := flag.Int("seeds", 100, "`N` seeds")
	epochs := flag.Int("epochs", 40, "`N` epochs of a run")
	flag.Parse()
	if err := simulate(*variants, *seeds, *epochs); err != nil {
		fmt.Fprintln(os.Stderr, "manyruns:", err)
		os.Exit(1)
	}
}

func simulate(variants, seeds, epochs int) error {
	dir, err := os.MkdirTemp("", "manyruns")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "ablate")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", program, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	plan, err := planOf(dir, program, variants, seeds, epochs)
	if err != nil {
		return err
	}
	if err := writeRecords(filepath.Join(dir, "runs"), plan, epochs); err != nil {
		return err
	}
	if err := playSlurm(dir, plan); err != nil {
		return err
	}
	files, size, err := count(filepath.Join(dir, "runs"))
	if err != nil {
		return err
	}
	fmt.Printf("%d runs of %d epochs: %d files, %.0f MB without weights, a plan of %.1f MB\n", len(plan.Tasks), epochs,
		files, float64(size)/1e6, float64(planSize(plan))/1e6)
	for _, c := range []struct{ what, args string }{
		{"runs, building the index", "runs many"},
		{"runs, from the index", "runs many"},
		{"runs, without an index", "runs many --rebuild"},
		{"status", "status many"},
		{"report", "report many.yaml"},
		{"report as a page", "report many.yaml --format html -o page.html"},
	} {
		if err := measure(dir, program, c.what, strings.Fields(c.args)); err != nil {
			return err
		}
	}
	return nil
}

// planOf freezes a study with this many variants.
func planOf(dir, program string, variants, seeds, epochs int) (*runner.Frozen, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "study: many\nnet: alexnet-32\ndata: {name: shapes, train: 50, test: 100, scale: 0.02}\n"+
		"train: {batch: 10, epochs: %d, lr: 0.01}\nseeds: %d\nvariants:\n", epochs, seeds)
	for v := 1; v < variants; v++ {
		fmt.Fprintf(&b, "  v%03d: {edits: [{set: {key: train.weight_decay, value: %g}}]}\n", v, float64(v)*1e-5)
	}
	if err := os.WriteFile(filepath.Join(dir, "many.yaml"), []byte(b.String()), 0o644); err != nil {
		return nil, err
	}
	c := exec.Command(program, "plan", "many.yaml", "--program", program, "-o", "plan.json")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("plan: %w: %s", err, out)
	}
	return runner.OpenFrozen(filepath.Join(dir, "plan.json"))
}

func planSize(plan *runner.Frozen) int {
	var b bytes.Buffer
	if err := plan.Write(&b); err != nil {
		return 0
	}
	return b.Len()
}

// writeRecords writes the files that runs leave behind. Nine of ten runs are finished.
func writeRecords(root string, plan *runner.Frozen, epochs int) error {
	random := rand.New(rand.NewPCG(1, 2))
	recipes, changes := map[string]json.RawMessage{}, map[string][]string{}
	for _, v := range plan.Variants {
		recipes[v.Name], changes[v.Name] = v.Recipe, v.Changes
	}
	began := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	for i, t := range plan.Tasks {
		if i%10 == 9 {
			continue
		}
		dir := filepath.Join(root, "many", t.Variant, fmt.Sprint("seed-", t.Seed))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		wrong := 0.2 + 0.02*random.NormFloat64()
		rec := experiments.Record{
			Version: experiments.FormatVersion, Study: "many", Variant: t.Variant, Seed: t.Seed, Identity: t.Variant,
			Recipe: recipes[t.Variant], Changes: changes[t.Variant], Params: 1e6, MACs: 1e7, Status: experiments.Done,
			Attempts: []experiments.Attempt{{Started: began, Ended: began.Add(time.Hour), PID: i, Host: "n1",
				Device: "cuda:0", Hardware: "a GPU", Threads: 8}},
			Result: &experiments.Result{Epochs: epochs, TrainLoss: 0.1, TestLoss: 0.5, Top1Error: experiments.Number(wrong),
				TestExamples: 10000, ImagesPerSecond: 1000, WeightsSHA256: fmt.Sprintf("%064x", i)},
			Provenance: &experiments.Provenance{Data: map[string]string{"test": "0123", "train": "4567"}},
		}
		text, err := json.MarshalIndent(rec, "", "  ")
		if err != nil {
			return err
		}
		var log bytes.Buffer
		fmt.Fprintln(&log, `{"format":"ablate-metrics","version":1}`)
		for e := 1; e <= epochs; e++ {
			for _, name := range []string{"lr", "train_loss", "train_top1_error", "test_loss", "test_top1_error",
				"test_top5_error"} {
				line, err := json.Marshal(experiments.Metric{Attempt: 1, Epoch: e, Step: int64(e * 5), Name: name,
					Value: experiments.Number(wrong + random.Float64()/float64(e)), Seconds: float64(e)})
				if err != nil {
					return err
				}
				log.Write(append(line, '\n'))
			}
		}
		for name, text := range map[string][]byte{"run.json": text, "metrics.jsonl": log.Bytes(), "log.txt": nil} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// playSlurm writes the files that a submission leaves behind, and a squeue that lists all of its tasks.
func playSlurm(dir string, plan *runner.Frozen) error {
	folder := filepath.Join(dir, "runs", "many", ".submit")
	if err := os.MkdirAll(filepath.Join(folder, "1"), 0o755); err != nil {
		return err
	}
	all := make([]int, len(plan.Tasks))
	for i := range all {
		all[i] = i
	}
	plan.Pack(all, 1, nil, 0)
	var text, queue bytes.Buffer
	if err := plan.Write(&text); err != nil {
		return err
	}
	for i := range plan.Tasks {
		state := "COMPLETED|None|n1|2026-11-01T08:00:00"
		if i%10 == 9 {
			state = "PENDING|Priority||N/A"
		}
		fmt.Fprintf(&queue, "7|%d|%s\n", i, state)
	}
	jobs := fmt.Sprintf(`{"submission":1,"engine":"slurm","id":"7","first":0,"groups":%d,"time":"2026-11-01T07:00:00Z"}`,
		len(plan.Tasks))
	for path, f := range map[string]struct {
		text string
		mode fs.FileMode
	}{
		filepath.Join(folder, "1", "plan.json"): {text.String(), 0o644},
		filepath.Join(folder, "jobs.jsonl"):     {jobs + "\n", 0o644},
		filepath.Join(dir, "queue"):             {queue.String(), 0o644},
		filepath.Join(dir, "bin", "squeue"):     {"#!/bin/sh\ncat " + filepath.Join(dir, "queue") + "\n", 0o755},
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(f.text), f.mode); err != nil {
			return err
		}
	}
	return nil
}

// count counts files and their bytes.
func count(root string) (files int, size int64, err error) {
	err = filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			files, size = files+1, size+info.Size()
		}
		return err
	})
	return files, size, err
}

// measure runs a command and prints its time and memory.
func measure(dir, program, what string, args []string) error {
	c := exec.Command(program, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	var said bytes.Buffer
	c.Stderr = &said
	began := time.Now()
	out, err := c.Output()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", what, err, said.String())
	}
	took := time.Since(began)
	cpu := c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	usage := c.ProcessState.SysUsage().(*syscall.Rusage)
	fmt.Printf("%-26s %5.2f s, %5.2f s of CPU, %4d MiB, %d lines\n", what, took.Seconds(), cpu.Seconds(),
		usage.Maxrss>>10, bytes.Count(out, []byte("\n")))
	return nil
}
