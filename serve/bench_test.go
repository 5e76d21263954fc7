package serve

import (
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	"ablate/experiments"
)

// A thousand runs of a hundred epochs: the first look at the folder, the page of the study, and the page again once a
// record has changed. The heap is what is left after collection.
func BenchmarkThousandRuns(b *testing.B) {
	root := b.TempDir()
	change := func(v int, seed uint64) {
		name := fmt.Sprintf("v%d", v)
		if v == 0 {
			name = "baseline"
		}
		var logged []float64
		for e := range 100 {
			logged = append(logged, 0.2+0.001*float64(v%7)+0.5*math.Exp(-float64(e)/20)+0.0001*float64(seed))
		}
		put(b, root, experiments.Record{Study: "s", Variant: name, Seed: seed, Status: experiments.Done}, logged...)
	}
	for v := range 125 {
		for seed := uint64(1); seed <= 8; seed++ {
			change(v, seed)
		}
	}
	for b.Loop() {
		h := serving(b, root, "")
		began := time.Now()
		get(b, h, "/runs", 200)
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/open")
		began = time.Now()
		get(b, h, "/study/s", 200)
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/study")
		time.Sleep(fresh)
		change(3, 3)
		began = time.Now()
		get(b, h, "/study/s", 200)
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/update")
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MiB")
		runtime.KeepAlive(h)
	}
}
