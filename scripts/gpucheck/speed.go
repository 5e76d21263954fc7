//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"time"
)

// A speed is what one program reaches on one net, or the reason why it has none.
type speed struct {
	Net       string    `json:"net"`
	Batch     int       `json:"batch"`
	Precision string    `json:"precision"`
	Program   string    `json:"program"` // ablate, or a mode of PyTorch
	Rates     []float64 `json:"images_per_second,omitempty"`
	Error     string    `json:"error,omitempty"`
}

// median returns the median of all rounds, 0 without any.
func (s speed) median() float64 {
	if len(s.Rates) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.Rates))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// A race is a net at a batch size, with the target speeds in bf16, tf32 and float32 as multiples of PyTorch's best.
type race struct {
	net          string
	batch, steps int
	goals        map[string]float64
}

var races = []race{
	{"alexnet", 256, 20, map[string]float64{"bf16": 1.5, "tf32": 1.5, "float32": 1}},
	{"cifar-quick-lrn", 128, 200, map[string]float64{"bf16": 1.5, "tf32": 1.5, "float32": 1.5}},
	{"resnet-20", 128, 100, map[string]float64{"bf16": 1.5, "tf32": 1.5, "float32": 1.5}},
	{"alexnet", 1024, 10, map[string]float64{"bf16": 1.5, "tf32": 1.5, "float32": 1}},
}

// The modes of torch_peer.py: first those that decide, then the others.
var (
	deciding = []string{"compile-channels-last", "compile-graphs-channels-last"}
	others   = []string{"graphs-channels-last", "eager-channels-last", "eager", "compile",
		"compile-autotune-channels-last"}
)

// ours is the name of our program among PyTorch's modes.
const ours = "ablate"

// compileLimit is long enough for a cold torch.compile.
const compileLimit = 180 * time.Second

func (c *check) hasPyTorch() bool { return exec.Command(c.python, "-c", "import torch").Run() == nil }

// compareSpeeds times ablate beside PyTorch. The decisive modes come first, every measurement is written at
// once, and a second round begins only when all modes have had one.
func (c *check) compareSpeeds() {
	if !c.only.MatchString("speed") {
		return
	}
	nets, torch := races, c.hasPyTorch()
	if c.device == emulated {
		nets = []race{{"cifar-quick", 4, 2, map[string]float64{"float32": 1}}}
	}
	var all []*speed
	add := func(modes []string) {
		for _, p := range c.precisions() {
			for _, r := range nets {
				for _, mode := range modes {
					if mode == ours || torch {
						all = append(all, &speed{Net: r.net, Batch: r.batch, Precision: p, Program: mode})
					}
				}
			}
		}
	}
	add(append([]string{ours}, deciding...))
	add(others)
	until := time.Now().Add(c.speed)
	for round := range 3 {
		for _, s := range all {
			left := min(time.Until(until), c.all-time.Since(c.began))
			if s.Error == "" && left > time.Second {
				c.measure(s, nets, left)
				fmt.Printf("%-16s %5d %-8s %-32s round %d %12.0f images/s %s\n", s.Net, s.Batch, s.Precision, s.Program,
					round+1, s.median(), s.Error)
				c.report.Speeds = done(all)
				if err := c.write(); err != nil {
					fmt.Println("gpucheck:", err)
				}
			}
		}
	}
}

// done returns the speeds that were measured, or whose measurement failed.
func done(all []*speed) []speed {
	var some []speed
	for _, s := range all {
		if s.Error != "" || len(s.Rates) > 0 {
			some = append(some, *s)
		}
	}
	return some
}

// measure adds a round to a speed.
func (c *check) measure(s *speed, nets []race, left time.Duration) {
	i := slices.IndexFunc(nets, func(r race) bool { return r.net == s.Net && r.batch == s.Batch })
	command := []string{c.program("ablate"), "bench", s.Net, "--json", "--whole"}
	if s.Program != ours {
		command = []string{c.python, c.program("torch_peer.py"), s.Net, "--mode", s.Program}
	}
	command = append(command, "--device", c.engine(), "--batch", strconv.Itoa(s.Batch), "--steps",
		strconv.Itoa(nets[i].steps), "--precision", s.Precision)
	var all bytes.Buffer
	err := c.process(part{command: command, env: exact(s.Precision)}, min(left, compileLimit), &all)
	said := all.Bytes()
	var made struct {
		Rate float64 `json:"images_per_second"`
	}
	if err == nil {
		err = decoded(said, &made)
	}
	if err != nil {
		s.Error = fmt.Sprintf("%v: %s", err, last(said, 1)[0])
		return
	}
	s.Rates = append(s.Rates, made.Rate)
}
