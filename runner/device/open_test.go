package device

import (
	"strings"
	"testing"
)

func TestOpen(t *testing.T) {
	for list, c := range map[string]struct{ devices, given, threads int }{
		"cpu":                     {devices: 1, given: 3, threads: 3},
		"auto":                    {devices: 1, given: 2, threads: 2},
		"cpu:1":                   {devices: 1, given: 4, threads: 2},
		"cpu:0,cpu:1":             {devices: 2, given: 5, threads: 4},
		"cpu:3,cpu:0,cpu:1,cpu:2": {devices: 4, given: 4, threads: 4},
	} {
		g, err := Open(list, c.given)
		if err != nil {
			t.Errorf("%s: %v", list, err)
			continue
		}
		if g.Len() != c.devices || g.Threads() != c.threads {
			t.Errorf("%s with %d threads: %d devices of %d threads together, want %d of %d", list, c.given, g.Len(), g.Threads(),
				c.devices, c.threads)
		}
		g.Close()
	}
	for list, want := range map[string]string{
		"gpu":             "no device is called gpu",
		"":                "lacks a name",
		"cpu:0,":          "lacks a name",
		"cpu:2":           "the 2 shares of the cores are cpu:0 to cpu:1",
		"cpu:x":           "the 2 shares of the cores are cpu:0 to cpu:1",
		"cpu:0,cpu:0":     "named twice",
		"cpu,cpu:0":       "stand alone",
		"auto,cuda:0":     "GPUs and cores do not share a run",
		"cpu:0,cuda:1":    "GPUs and cores do not share a run",
		"cuda:x":          "GPUs are cuda:0, cuda:1 and so on",
		"cuda:-1":         "GPUs are cuda:0, cuda:1 and so on",
		"cuda:0,cuda:0":   "named twice",
		"cuda,cuda:0":     "device cuda:0 is named twice",
		"cpu:0,cpu:1,gpu": "no device is called gpu",
	} {
		if _, err := Open(list, 4); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", list, err, want)
		}
	}
	for _, threads := range []int{-1, maxThreads + 1, 10_000_000} {
		if _, err := Open("cpu", threads); err == nil || !strings.Contains(err.Error(), "1 to 4096 are possible") {
			t.Errorf("%d threads: error %v", threads, err)
		}
	}
	if _, err := Open("cpu:0,cpu:1", 1); err == nil || !strings.Contains(err.Error(),
		"2 shares need at least 2 threads, not 1") {
		t.Errorf("one thread for two shares: error %v", err)
	}
}
