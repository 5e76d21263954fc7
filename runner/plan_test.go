package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ablate/configs"
	"ablate/runner/graph"
)

const fuzzed = `study: s
net: %s
data: {name: shapes}
train: {batch: 2, epochs: 1, lr: 0.01}
seeds: 1
variants: {baseline: {}%s}
`

const fuzzedNet = "{net: x, input: {height: 8, width: 8, channels: 2}, layers: [%s, {dense: {outputs: 2, init: " +
	"{kind: he}}}, {softmax_loss: {}}]}"

// maxFuzzed is how many bytes a study of a few hundred bytes may allocate until its plan is made
// and its nets are graphs.
const maxFuzzed = 256 << 20

// A study is untrusted text until its plan and the graphs of its nets are made. It must not cause
// a panic, nor use more memory than its size justifies.
func FuzzStudyToPlan(f *testing.F) {
	for _, layer := range []string{
		"{conv: {filters: 4, kernel: 3, init: {kind: he}}}, {relu: {}}",
		"{lrn: {size: 9223372036854775807, alpha: 1, beta: 1, k: 1, alpha_over_size: true}}",
		"{lrn: {size: 16383, alpha: 1, beta: 1, k: 1, alpha_over_size: true, region: within_map}}",
		"{conv: {filters: 4, kernel: 3, pad: 9223372036854775807, init: {kind: he}}}",
		"{conv: {filters: 4, kernel: 3, pad: 1000000000000, stride: 1000000000000, init: {kind: he}}}",
		"{conv: {filters: 4, kernel: 16384, pad: 16384, stride: 16384, init: {kind: he}}}",
		"{conv: {filters: 4, kernel: 3000000000, pad: 3000000000, init: {kind: he}}}",
		"{dense: {outputs: 1048576, init: {kind: he}}}",
		"{spatialpyramid: {levels: [8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8]}}",
		"{spatialpyramid: {levels: [8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8]}}",
		"{maxpool: {kernel: 16384, stride: 16384, ceil: true}}",
		"{local: {filters: 64, kernel: 3, init: {kind: he}}}",
		"{residual: {layers: []}}",
	} {
		f.Add(fmt.Sprintf(fuzzed, fmt.Sprintf(fuzzedNet, layer), ""))
	}
	for _, variant := range []string{
		`, a: {edits: [{set: {key: "", value: 0}}]}`,
		", a: {edits: [{set: {key: data.short_side, value: 9}}]}",
		", a: {edits: [{insert: {after: {kind: [relu, conv]}, layers: [{relu: {}}, {tanh: {}}]}}]}",
		", a: {edits: [" + strings.Repeat("{insert: {after: {kind: relu}, layers: [{relu: {}}, {relu: {}}]}}, ", 12) + "]}",
		", a: {edits: [{set: {select: {kind: conv}, filters: {times: 1e18}}}]}",
		", con: {ablate: [no-lrn]}",
	} {
		f.Add(fmt.Sprintf(fuzzed, "alexnet-32", variant))
	}
	f.Add(fmt.Sprintf(fuzzed, "/etc/passwd", ""))
	f.Add("extends: /dev/zero\n")
	file := filepath.Join(f.TempDir(), "s.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		planned(t, file)
		if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > maxFuzzed {
			t.Errorf("%d MiB were allocated", (after.TotalAlloc-before.TotalAlloc)>>20)
		}
	})
}

// planned processes a study as far as a dry run does before it opens data and devices.
func planned(t *testing.T, file string) {
	t.Helper()
	s, err := configs.Load(file, nil)
	if err != nil {
		if text := err.Error(); len(text) > 1000 || strings.ContainsAny(text, "\n\x1b\x00") {
			t.Errorf("the message is %q", text)
		}
		return
	}
	jobs, err := Plan(s)
	if err != nil {
		t.Errorf("a study that was read has no plan: %v", err)
	}
	for _, j := range jobs[:min(len(jobs), 4)] {
		if j.Work(1) < 0 {
			t.Errorf("%s: %v multiply-accumulates", j.Variant.Name, j.Work(1))
		}
		if n := j.Variant.Recipe.Net; len(n.Layers) < 64 && j.Variant.Recipe.Train.Batch < 1024 {
			if _, err := graph.Build(n, j.Variant.Recipe.Train.Batch, true); err != nil {
				t.Errorf("net %s was read and is no graph: %v", n.Name, err)
			}
		}
	}
}
