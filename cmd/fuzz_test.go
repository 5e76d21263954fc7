package cmd

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ablate/experiments"
)

// Whatever a record and its log hold, what is printed of them is bounded and
// holds no controls, and no command takes long or panics.
func FuzzRecords(f *testing.F) {
	text, err := os.ReadFile("../experiments/testdata/format-1/runs/old/baseline/seed-1/run.json")
	if err != nil {
		f.Fatal(err)
	}
	log, err := os.ReadFile("../experiments/testdata/format-1/runs/old/baseline/seed-1/metrics.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, log)
	f.Add([]byte(`{"version":2,"study":"s","variant":"v","seed":1,"status":"done","attempts":null,`+
		`"result":{"epochs":2,"top1_error":0.5,"test_examples":9,"bytes_moved":1},"provenance":{}}`), []byte(
		`{"format":"ablate-metrics","version":1}`+"\n"+
			`{"epoch":4611686018427387904,"step":1,"name":"test_top1_error","value":0.5,"seconds":-1e308}`+"\n"))
	f.Add([]byte(`{"version":1,"study":"\u001b","variant":"","recipe":{"net":null},"changes":["`+"\u202e"+
		`"],"result":{}}`), []byte(nil))
	f.Fuzz(func(t *testing.T, text, log []byte) {
		root := t.TempDir()
		dir := filepath.Join(root, "s", "v", "seed-1")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for path, text := range map[string][]byte{experiments.RecordPath(dir): text, experiments.MetricsPath(dir): log} {
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		// Not runs: the index is SQLite, whose own tests are better, and slow under the coverage that fuzzing needs.
		for _, args := range [][]string{
			{"show", "s/v/1"}, {"show", "s/v/1", "--json"}, {"diff", "s/v/1", "s/v/1"}, {"report", "s"},
			{"report", "s", "--format", "csv", "--at", "best"}, {"report", "s", "--format", "html"},
		} {
			begun := time.Now()
			out := &counter{}
			Execute(append(args, "--runs", root), out, io.Discard)
			if out.n > 1<<20+20*(len(text)+len(log)) || out.control {
				t.Errorf("%v: %d bytes, with controls: %v", args, out.n, out.control)
			}
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("%v: %v", args, took)
			}
		}
	})
}

// counter counts what is printed.
type counter struct {
	n       int
	control bool
}

func (c *counter) Write(text []byte) (int, error) {
	c.n += len(text)
	for _, b := range text {
		c.control = c.control || b < ' ' && b != '\n' && b != '\t' || b == 0x7F
	}
	return len(text), nil
}
