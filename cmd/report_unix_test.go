//go:build unix

package cmd

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"ablate/experiments"
)

// BenchmarkReportThousandRuns is the command on 1,000 runs of 100 epochs with four
// metrics each, at each run's best epoch, so that every log is read: seconds and the
// most memory the process held, as a table and as a page. Two seconds and 300 MiB are the bounds.
func BenchmarkReportThousandRuns(b *testing.B) {
	dir := b.TempDir()
	bin := filepath.Join(dir, "ablate")
	if out, err := exec.Command("go", "build", "-o", bin, "..").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	store := &experiments.Store{Root: filepath.Join(dir, "runs")}
	for v := range 50 {
		for seed := range uint64(20) {
			leaveRun(b, store, fmt.Sprintf("v%02d", v), seed)
		}
	}
	for _, format := range []string{"text", "html"} {
		b.Run(format, func(b *testing.B) {
			most, busy := int64(0), time.Duration(0)
			for b.Loop() {
				c := exec.Command(bin, "report", "s", "--at", "best", "--format", format, "--runs", store.Root)
				c.Stderr = os.Stderr
				if _, err := c.Output(); err != nil {
					b.Fatal(err)
				}
				most = max(most, int64(c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)) // KiB on Linux
				busy += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
			}
			b.ReportMetric(float64(most)/1024, "MiB")
			b.ReportMetric(busy.Seconds()/float64(b.N), "cpu-s/op") // of all cores; of use where others share them
		})
	}
}

// leaveRun writes a finished run's folder.
func leaveRun(b *testing.B, store *experiments.Store, variant string, seed uint64) {
	b.Helper()
	const epochs = 100
	r, err := store.Start(experiments.Record{Study: "s", Variant: variant, Seed: seed, Identity: variant,
		Recipe: json.RawMessage(`{"net": {"net": "alexnet-32"}, "data": {"name": "cifar10"}, "train": {"epochs": 100}}`)},
		experiments.StartOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for i := range epochs {
		for _, name := range []string{"train_loss", "train_top1_error", "test_loss", "test_top1_error"} {
			if err := r.Log(experiments.Metric{Epoch: i + 1, Step: int64(i), Name: name,
				Value: experiments.Number(1 / float64(i+2+int(seed))), Seconds: float64(i)}); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := r.Finish(experiments.Done, &experiments.Result{Epochs: epochs,
		Top1Error:    experiments.Number(float64(seed) / 100),
		TestExamples: 100, ImagesPerSecond: 1000}, nil); err != nil {
		b.Fatal(err)
	}
}
