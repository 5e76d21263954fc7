package device

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSlots(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		list          string
		threads, runs int
		want          []Slot
	}{
		{"cpu:0,cpu:1", 4, 9, []Slot{{"cpu:0", "cpu", 2}, {"cpu:1", "cpu", 2}}},
		{"cpu:0,cpu:1,cpu:2", 4, 9, []Slot{{"cpu:0", "cpu", 1}, {"cpu:1", "cpu", 1}, {"cpu:2", "cpu", 1}}},
		{"cpu", 4, 9, []Slot{{"cpu", "cpu", 4}}},
		{"cuda:0,cuda:2", 4, 9, []Slot{{"cuda:0", "cuda:0", 2}, {"cuda:2", "cuda:2", 2}}},
		{"cuda:0,cuda:1", 1, 9, []Slot{{"cuda:0", "cuda:0", 1}, {"cuda:1", "cuda:1", 1}}},
	} {
		got, err := Slots(c.list, c.threads, c.runs)
		if err != nil {
			t.Errorf("%s: %v", c.list, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s on %d threads:\n%s", c.list, c.threads, d)
		}
	}
	for list, says := range map[string]string{
		"":                              "lacks a name",
		"cpu:0,":                        "lacks a name",
		"cpu:0,cpu:0":                   "named twice",
		"cpu:0,cuda:0":                  "do not share",
		"cpu,cpu:0":                     "stand alone",
		"auto,cpu:0":                    "stand alone",
		"cpu:x":                         "no device is called cpu:x",
		"tpu":                           "no device is called tpu",
		"cpu:0,cpu:1,cpu:2,cpu:3,cpu:4": "5 shares of 4 threads",
	} {
		if got, err := Slots(list, 4, 9); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, %v; want %q", list, got, err, says)
		}
	}
}

// Without a GPU, auto makes a share for each run, limited by the number of threads and by what
// fits into memory.
func TestSlotsAuto(t *testing.T) {
	t.Parallel()
	if len(gpus()) > 0 {
		t.Skip("this machine has GPUs")
	}
	for _, c := range []struct{ threads, runs, slots, each int }{
		{4, 80, 4, 1}, {4, 2, 2, 2}, {64, 80, mostShares, 8}, {1, 80, 1, 1}, {4, 0, 1, 4},
	} {
		got, err := Slots("auto", c.threads, c.runs)
		if err != nil || len(got) != c.slots || got[0].Threads != c.each || got[0].Device != "cpu" {
			t.Errorf("%d threads, %d runs: %+v, %v", c.threads, c.runs, got, err)
		}
	}
}
