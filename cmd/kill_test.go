package cmd

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ablate/experiments"
)

// killStudies are nets that differ in what a checkpoint must hold. They save
// after every step or two, so that many kills fall into the writing.
var killStudies = map[string]string{
	"plain": `
study: plain
net:
  net: plain
  input: {height: 32, width: 32, channels: 3}
  layers:
    - conv: {filters: 8, kernel: 5, stride: 2, init: {kind: he}}
    - relu: {}
    - maxpool: {kernel: 3, stride: 2}
    - dense: {outputs: 10, init: {kind: he}}
    - softmax_loss: {}
data: {name: shapes, train: 100, test: 50, scale: 0.02}
train: {batch: 10, epochs: 2, lr: 0.01}
seeds: 1
checkpoint: 1 step
variants: {baseline: {}}
`,
	"columns": `
study: columns
net: alexnet-32
data: {name: shapes, train: 50, test: 20, scale: 0.02, flip: true}
train: {batch: 10, epochs: 2, lr: 0.01, weight_decay: 0.0005, schedule: {kind: step, at: [1]}}
seeds: 1
checkpoint: 2 steps
variants: {baseline: {}}
`,
	"plateau": `
study: plateau
net:
  net: plateau
  input: {height: 28, width: 28, channels: 3}
  layers:
    - conv: {filters: 16, kernel: 3, stride: 2, init: {kind: he}}
    - tanh: {}
    - lrn: {size: 3, alpha: 0.1, alpha_over_size: false, beta: 0.75, k: 1}
    - dense: {outputs: 32, init: {kind: he}}
    - relu: {}
    - dropout: {rate: 0.5}
    - dense: {outputs: 10, init: {kind: he}}
    - softmax_loss: {}
data: {name: shapes, train: 80, test: 20, scale: 0.02, crop: 28, flip: true}
train: {batch: 20, epochs: 5, lr: 0.01, schedule: {kind: plateau, patience: 1, factor: 0.5}}
seeds: 1
checkpoint: 1 step
variants: {baseline: {}}
`,
	"modern": `
study: modern
net:
  net: modern
  input: {height: 28, width: 28, channels: 3}
  layers:
    - conv: {filters: 16, kernel: 3, stride: 2, init: {kind: he}}
    - batch_norm: {}
    - relu: {}
    - dense: {outputs: 10, init: {kind: he}}
    - softmax_loss: {}
data: {name: shapes, train: 80, test: 20, validation: 20, scale: 0.02, crop: 28, flip: true}
train:
  {batch: 20, epochs: 6, lr: 0.01, optimizer: adamw, weight_decay: 0.05, decay_norms: true, clip_norm: 1, l1: 0.0001,
   label_smoothing: 0.1, ema: 0.8, early_stopping: 2, schedule: {kind: cosine, warmup: 0.5}}
log_every: 2
seeds: 1
checkpoint: 1 step
variants: {baseline: {}}
`,
}

// kills is how often a process is killed in the whole test.
const kills = 25

// A study whose process is killed at random moments ends like one that ran in peace.
func TestKilledRunsEndTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 25))
	dir := t.TempDir()
	done, writing, rounds := 0, 0, 0
	whole := map[string]killed{}
	took := map[string]time.Duration{}
	for name, text := range killStudies {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		if out, err := child(dir, name, "whole").CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		took[name] = time.Since(started)
		whole[name] = killedRun(t, filepath.Join(dir, "whole"), name)
	}
	for done < kills {
		rounds++
		for _, name := range []string{"plain", "columns", "plateau", "modern"} {
			root := fmt.Sprint("killed-", rounds)
			for again := true; again; { // until one process gets to the end
				c := child(dir, name, root)
				var out bytes.Buffer
				c.Stdout, c.Stderr = &out, &out
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- c.Wait() }()
				moment := time.Duration(random.Float64() * float64(took[name]))
				select {
				case err := <-ended:
					if err != nil {
						t.Fatalf("%s: %v\n%s", name, err, out.String())
					}
					again = false
				case <-time.After(moment):
					if err := c.Process.Kill(); err == nil {
						done++
					}
					<-ended
					cut, _ := filepath.Glob(filepath.Join(dir, root, name, "*", "*", ".writing-*"))
					writing += min(1, len(cut))
				}
			}
			if d := cmp.Diff(whole[name], killedRun(t, filepath.Join(dir, root), name),
				cmpopts.IgnoreFields(experiments.Metric{}, "Attempt", "Seconds")); d != "" {
				t.Errorf("%s, round %d (-whole +killed):\n%s", name, rounds, d)
			}
		}
	}
	t.Logf("%d kills, %d of them while a file was being written", done, writing)
}

// child is a process of ablate: this binary, told so (see TestMain).
func child(dir, study, root string) *exec.Cmd {
	c := exec.Command(os.Args[0], "run", study+".yaml", "--runs", root)
	c.Dir = dir
	c.Env = append(os.Environ(), asAblate+"=1")
	return c
}

// killed is what an interruption must not change.
type killed struct {
	Weights, Predictions string // SHA-256
	Series               []experiments.Metric
	FirstSteps           []string
}

func killedRun(t *testing.T, root, study string) killed {
	t.Helper()
	records, problems := (&experiments.Store{Root: root}).Load(study)
	if len(records) != 1 || len(problems) > 0 || records[0].Status != experiments.Done {
		t.Fatalf("%+v, %v", records, problems)
	}
	dir := filepath.Join(root, study, "baseline", "seed-1")
	digest := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", sha256.Sum256(text))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "checkpoint-") || e.Name() == "lock" {
			t.Errorf("%s was left behind", e.Name())
		}
	}
	metrics, err := experiments.ReadMetrics(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	k := killed{Weights: digest("weights.safetensors"), Predictions: digest("predictions.csv"),
		Series: experiments.Series(metrics), FirstSteps: records[0].FirstSteps}
	weights, err := experiments.ReadWeights(dir)
	if err != nil {
		t.Fatal(err)
	}
	if params, err := experiments.Digest(weights.Params); err != nil || params != records[0].Result.WeightsSHA256 {
		t.Error("the record holds another digest of the weights")
	}
	return k
}
