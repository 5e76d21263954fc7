//go:build unix

package serve

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"ablate/experiments"
)

// studyOf makes a folder with a study of so many variants under eight seeds, each logged for a hundred epochs. The last
// run of the last variant is training; dir is its folder.
func studyOf(b *testing.B, variants int) (root, dir string) {
	root = b.TempDir()
	for v := range variants {
		for seed := uint64(1); seed <= 8; seed++ {
			simulated(b, root, v, seed, 100, experiments.Done)
		}
	}
	return root, simulated(b, root, variants-1, 8, 50, experiments.Running)
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
			root, _ := studyOf(b, 125)
			used := processTime()
			for b.Loop() {
				get(b, serving(b, root, ""), c.path, 200)
			}
			reportTime(b, used)
		})
		for _, what := range []string{"line", "record"} {
			b.Run("update/"+what+"/"+c.name, func(b *testing.B) {
				root, dir := studyOf(b, 125)
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

// A server that has just started opens 10,000 runs.
func BenchmarkTenThousandRuns(b *testing.B) {
	root, _ := studyOf(b, 1250)
	for _, c := range []struct{ name, path string }{{"runs", "/runs"}, {"study", "/study/s"}, {"studies", "/"}} {
		b.Run("open/"+c.name, func(b *testing.B) {
			used := processTime()
			for b.Loop() {
				get(b, serving(b, root, ""), c.path, 200)
			}
			reportTime(b, used)
		})
	}
}

// What 50 open pages of a thousand runs take of a core: while nothing changes, and while the training run logs a line
// a second and one of the pages, which shows the run, is requested again each time.
func BenchmarkOpenPages(b *testing.B) {
	const watched = 5 * time.Second
	for _, c := range []struct {
		name     string
		training bool
	}{{"idle", false}, {"training", true}} {
		b.Run(c.name, func(b *testing.B) {
			root, dir := studyOf(b, 125)
			h := serving(b, root, "")
			for i := range 50 {
				of := []string{"all", "study:s", "run:s/v124/8"}[i%3]
				stream, err := http.Get(h.URL + "/events?of=" + of)
				if err != nil {
					b.Fatal(err)
				}
				defer stream.Body.Close()
				go io.Copy(io.Discard, stream.Body)
			}
			get(b, h, "/run/s/v124/8", 200)
			time.Sleep(watched) // a folder that has just changed is listed again and again
			logLine, epoch := logging(b, dir), 50
			var used time.Duration
			for b.Loop() {
				began := processTime()
				for range watched / time.Second {
					if c.training {
						epoch++
						logLine(epoch)
						get(b, h, "/run/s/v124/8", 200)
					}
					time.Sleep(time.Second)
				}
				used += processTime() - began
			}
			b.ReportMetric(100*used.Seconds()/float64(b.N)/watched.Seconds(), "%-of-a-core")
		})
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
