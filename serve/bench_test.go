//go:build unix

package serve

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"ablate/experiments"
)

// thousand makes a folder with a study of 125 variants under eight seeds, each logged for a hundred epochs. The last
// run of the last variant is training; dir is its folder.
func thousand(b *testing.B) (root, dir string) {
	root = b.TempDir()
	for v := range 125 {
		for seed := uint64(1); seed <= 8; seed++ {
			simulated(b, root, v, seed, 100, experiments.Done)
		}
	}
	return root, simulated(b, root, 124, 8, 50, experiments.Running)
}

func simulated(b *testing.B, root string, v int, seed uint64, epochs int, status experiments.Status) string {
	name := fmt.Sprintf("v%d", v)
	if v == 0 {
		name = "baseline"
	}
	var logged []float64
	for e := range epochs {
		logged = append(logged, 0.2+0.001*float64(v%7)+0.5*math.Exp(-float64(e)/20)+0.0001*float64(seed))
	}
	return put(b, root, experiments.Record{Study: "s", Variant: name, Seed: seed, Status: status}, logged...)
}

// logging returns a function with which the training run logs a line.
func logging(b *testing.B, dir string) func(int) {
	return func(epoch int) {
		f, err := os.OpenFile(experiments.MetricsPath(dir), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprint(f, line(epoch, 0.3))
		f.Close()
	}
}

// ending returns a function with which the training run ends, then trains again.
func ending(b *testing.B, root string) func(int) {
	return func(epoch int) {
		status := experiments.Running
		if epoch%2 == 1 {
			status = experiments.Done
		}
		simulated(b, root, 124, 8, epoch, status)
	}
}

// A page is opened once, and requested again after each change of its contents. cpu-ms is the CPU time of this process,
// which other load on the machine lengthens less than the elapsed time.
func BenchmarkThousandRuns(b *testing.B) {
	for _, c := range []struct{ name, path string }{{"runs", "/runs"}, {"study", "/study/s"}, {"studies", "/"}} {
		b.Run("open/"+c.name, func(b *testing.B) {
			root, _ := thousand(b)
			used := processTime()
			for b.Loop() {
				get(b, serving(b, root, ""), c.path, 200)
			}
			reportTime(b, used)
		})
		for _, what := range []string{"line", "record"} {
			b.Run("update/"+what+"/"+c.name, func(b *testing.B) {
				root, dir := thousand(b)
				change := map[string]func(int){"line": logging(b, dir), "record": ending(b, root)}[what]
				h := serving(b, root, "")
				get(b, h, c.path, 200)
				var used time.Duration
				for i := 51; b.Loop(); i++ {
					change(i)
					time.Sleep(fresh)
					began := processTime()
					get(b, h, c.path, 200)
					used += processTime() - began
				}
				b.ReportMetric(float64(used.Microseconds())/1e3/float64(b.N), "cpu-ms/op")
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MiB")
				runtime.KeepAlive(h)
			})
		}
	}
}

func reportTime(b *testing.B, since time.Duration) {
	b.ReportMetric(float64((processTime()-since).Microseconds())/1e3/float64(b.N), "cpu-ms/op")
}

// processTime returns the CPU time that this process has used.
func processTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
