//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// A check is one call of run.
type check struct {
	device, out, programs, python string
	all, speed, longest           time.Duration
	only                          *regexp.Regexp
	env                           []string
	began                         time.Time
	report                        report
}

// A part is a process with a log of its own.
type part struct {
	name    string
	command []string
	env     []string
	limit   time.Duration // 0 means the longest limit of the check
	tests   bool          // a test binary, whose failed tests run again
}

// A result states how a part ended.
type result struct {
	Part     string   `json:"part"`
	Outcome  string   `json:"outcome"` // passed, failed, stopped or no time left
	Seconds  float64  `json:"seconds"`
	Log      string   `json:"log,omitempty"`
	Failures []string `json:"failures,omitempty"` // the tests that failed
	Last     []string `json:"last,omitempty"`     // the last lines, if it did not pass
}

// Outcomes of a part.
const (
	passed  = "passed"
	failed  = "failed"
	stopped = "stopped"
	noTime  = "no time left"
)

// emulated is the device of a rehearsal.
const emulated = "emulated"

// engine returns the device to pass to ablate, which has no emulated device.
func (c *check) engine() string {
	if c.device == emulated {
		return "cpu"
	}
	return c.device
}

func (c *check) program(name string) string { return filepath.Join(c.programs, name) }

// run runs all parts. The most important come first, since time may run out: does it work at all, is it fast, is it
// right, and why.
func (c *check) run() error {
	c.began = time.Now()
	if err := os.MkdirAll(filepath.Join(c.out, "logs"), 0o755); err != nil {
		return err
	}
	c.report.Device, c.report.Began = c.device, c.began.Format(time.RFC3339)
	c.findLibraries()
	c.each(c.first())
	c.compareSpeeds()
	c.each(c.families())
	c.twice()
	c.each(c.tables())
	c.report.Seconds = time.Since(c.began).Seconds()
	if err := c.write(); err != nil {
		return err
	}
	fmt.Printf("\n%s, %s\n", filepath.Join(c.out, "report.md"), filepath.Join(c.out, "results.tar.gz"))
	if bad := c.report.bad(); len(bad) > 0 {
		return fmt.Errorf("not passed: %s", strings.Join(bad, ", "))
	}
	fmt.Println("all passed")
	return nil
}

// findLibraries adds the folders of the interpreter that has PyTorch, if a library is not found otherwise.
func (c *check) findLibraries() {
	said, _ := exec.Command(c.program("ablate"), "doctor").CombinedOutput()
	missing := bytes.Contains(said, []byte("was not found"))
	if os.Getenv("ABLATE_CUDA_LIBS") != "" || !missing {
		return
	}
	const ask = `import glob, os, torch
site = os.path.dirname(os.path.dirname(torch.__file__))
print(":".join(sorted(glob.glob(os.path.join(site, "nvidia", "*", "lib")))))`
	if dirs, err := exec.Command(c.python, "-c", ask).Output(); err == nil {
		c.env = append(c.env, "ABLATE_CUDA_LIBS="+strings.TrimSpace(string(dirs)))
	}
}

// precisions returns the precisions of a GPU; the CPU of a rehearsal has one.
func (c *check) precisions() []string {
	if c.device == emulated {
		return []string{"float32"}
	}
	return []string{"bf16", "tf32", "float32"}
}

// exact keeps NVIDIA's libraries from using TF32 where float32 is asked for.
func exact(precision string) []string {
	if precision == "float32" {
		return []string{"NVIDIA_TF32_OVERRIDE=0"}
	}
	return nil
}

// first returns the parts that show what the machine has, and whether anything works at all.
func (c *check) first() []part {
	parts := []part{
		{name: "doctor", command: []string{c.program("ablate"), "doctor"}},
		{name: "libraries", command: []string{c.program("nvidia.test"), "-test.v", "-test.run",
			"^TestLibraries|^TestSignatures"}},
	}
	if c.device != emulated {
		parts = append(parts, part{name: "driver", command: []string{"nvidia-smi"}})
	}
	for _, p := range c.precisions() {
		parts = append(parts, part{name: "smoke " + p, env: exact(p), command: []string{c.program("ablate"), "bench",
			"cifar-quick-lrn", "--device", c.engine(), "--batch", "32", "--steps", "2", "--precision", p, "--whole"}})
	}
	return parts
}

// families returns the conformance suite, split into separate processes, since a broken context stays within its
// process. Our own kernels come first, because the others depend on them.
func (c *check) families() []part {
	var parts []part
	test := func(name, program, pattern string) {
		parts = append(parts, part{name: name, tests: true,
			command: []string{c.program(program), "-test.v", "-test.run", pattern}})
	}
	for _, with := range []string{"own kernels", "libraries"} {
		for _, family := range []string{"kernels", "kernels in bfloat16", "dropout off", "update", "factors", "averages",
			"optimizers", "ema", "nets", "pruning", "repeatable"} {
			if with == "own kernels" && family == "kernels in bfloat16" {
				continue // these tests need the libraries
			}
			test(with+": "+family, "cuda.test", "^TestGPU$/^"+underscored(with)+"$/^"+underscored(family)+"$")
		}
	}
	for _, family := range []string{"images", "twice", "memory"} {
		test(family, "cuda.test", "^TestGPU$/^"+family+"$")
	}
	if c.device == emulated {
		return parts
	}
	for _, name := range []string{"TestGPUFollowsCPU", "TestPrecisionsStayNear", "TestGPURunsAreEqual"} {
		test(name, "train.test", "^"+name+"$")
	}
	test("compiler", "kernels.test", "^TestNVRTC")
	return parts
}

// underscored returns a name as the testing package writes it.
func underscored(name string) string { return strings.ReplaceAll(name, " ", "_") }

// tables returns the parts that explain the speeds.
func (c *check) tables() []part {
	net, batch := "alexnet", "256"
	if c.device == emulated {
		net, batch = "cifar-quick", "2"
	}
	parts := []part{{name: "algorithms", command: []string{c.program("cuda.test"), "-test.v", "-test.run",
		"^TestGPUAlgorithmTable$"}}}
	for _, p := range c.precisions() {
		parts = append(parts, part{name: "kernel by kernel " + p, env: exact(p), command: []string{c.program("ablate"),
			"bench", net, "--device", c.engine(), "--batch", batch, "--steps", "5", "--precision", p}})
	}
	if ncu, err := exec.LookPath("ncu"); err == nil && c.device != emulated {
		parts = append(parts, part{name: "names of the kernels of a step", command: []string{ncu, "--metrics",
			"gpu__time_duration.sum", c.program("ablate"), "bench", net, "--device", c.device, "--batch", batch, "--steps", "1",
			"--precision", "bf16", "--whole"}})
	}
	if c.device != emulated && c.hasPyTorch() {
		parts = append(parts, part{name: "names of PyTorch's kernels", command: []string{c.python, c.program("torch_peer.py"),
			net, "--device", c.device, "--batch", batch, "--precision", "bf16", "--mode", "compile-channels-last", "--profile"}})
	}
	return parts
}

// each runs parts one after the other.
func (c *check) each(parts []part) {
	for _, p := range parts {
		if c.only.MatchString(p.name) {
			r := c.one(p)
			if p.tests && r.Outcome != passed && r.Outcome != noTime {
				c.again(p)
			}
		}
	}
}

// again repeats a part's tests with tools that find the cause: kernel after kernel, cuDNN's log, and compute-sanitizer
// if it is installed.
func (c *check) again(p part) {
	p.name += ", again"
	p.tests, p.limit = false, min(c.longest, 2*time.Minute)
	log, err := filepath.Abs(filepath.Join(c.out, "logs", slug(p.name)+".cudnn"))
	if err == nil {
		p.env = append(p.env, "CUDNN_LOGLEVEL_DBG=2", "CUDNN_LOGDEST_DBG="+log)
	}
	p.env = append(p.env, "ABLATE_CUDA_SYNC=1", "CUDA_LAUNCH_BLOCKING=1")
	if tool, err := exec.LookPath("compute-sanitizer"); err == nil {
		p.command = append([]string{tool}, p.command...)
	}
	c.one(p)
}

// one runs a part and records its result.
func (c *check) one(p part) result {
	r := result{Part: p.name, Outcome: noTime}
	limit := p.limit
	if limit == 0 {
		limit = c.longest
	}
	limit = min(limit, c.all-time.Since(c.began))
	if limit >= time.Second {
		r.Log = filepath.Join("logs", fmt.Sprintf("%02d-%s.log", len(c.report.Parts)+1, slug(p.name)))
		c.logged(p, limit, &r)
	}
	c.note(r)
	return r
}

// logged runs a part and copies its output to its log as it arrives.
func (c *check) logged(p part, limit time.Duration, r *result) {
	r.Outcome = failed
	began, file := time.Now(), filepath.Join(c.out, r.Log)
	log, err := os.Create(file)
	if err == nil {
		err = c.process(p, limit, log)
		fmt.Fprintf(log, "\n%.1f s, %v\n", time.Since(began).Seconds(), cmp.Or(err, errors.New("passed")))
		err = errors.Join(err, log.Close())
	}
	r.Seconds = time.Since(began).Seconds()
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		r.Outcome = stopped
	case err == nil:
		r.Outcome = passed
		return
	}
	said, wrong := os.ReadFile(file)
	if wrong != nil {
		r.Last = []string{wrong.Error()}
		return
	}
	r.Failures, r.Last = failures(said), last(said, 12)
}

// process runs a part's command and all processes that it starts, within a time limit.
func (c *check) process(p part, limit time.Duration, said io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	run := exec.CommandContext(ctx, p.command[0], p.command[1:]...)
	run.Stdout, run.Stderr = said, said
	run.Env = append(append(c.env[:len(c.env):len(c.env)], "ABLATE_TEST_DEVICE="+c.device), p.env...)
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	run.Cancel = func() error { return syscall.Kill(-run.Process.Pid, syscall.SIGKILL) }
	run.WaitDelay = time.Second
	err := run.Run()
	return cmp.Or(ctx.Err(), err)
}

// note adds a result, and writes the report before the next part begins.
func (c *check) note(r result) {
	c.report.Parts = append(c.report.Parts, r)
	fmt.Printf("%-44s %-12s %6.1f s\n", r.Part, r.Outcome, r.Seconds)
	for _, f := range r.Failures {
		fmt.Println("    " + f)
	}
	if err := c.write(); err != nil {
		fmt.Fprintln(os.Stderr, "gpucheck:", err)
	}
}

// failures returns the tests that failed, the innermost ones with their output.
func failures(log []byte) []string {
	var all []string
	for line := range strings.Lines(string(log)) {
		if text := strings.TrimSpace(line); strings.HasPrefix(text, "--- FAIL: ") && len(all) < 40 {
			all = append(all, strings.TrimPrefix(text, "--- FAIL: "))
		}
	}
	return all
}

// last returns the last lines of a log.
func last(log []byte, n int) []string {
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return lines[max(0, len(lines)-n):]
}

// slug returns a name in the form of a file name.
func slug(name string) string {
	return strings.Trim(regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(name, "-"), "-")
}

// twice trains the quickstart whole, then again with an interruption at half the time and a continuation. The weights
// must be equal.
func (c *check) twice() {
	const name = "stopped and resumed"
	if !c.only.MatchString(name) {
		return
	}
	scratch, err := os.MkdirTemp("", "gpucheck-")
	if err != nil {
		c.note(result{Part: name, Outcome: failed, Last: []string{err.Error()}})
		return
	}
	defer os.RemoveAll(scratch)
	run := []string{c.program("ablate"), "run", "quickstart", "--device", c.engine()}
	if c.device == emulated {
		run = append(run, "--seeds", "1", "--set", "train.epochs=1")
	}
	run = append(run, "--runs")
	into := func(dir string) []string { return append(run[:len(run):len(run)], filepath.Join(scratch, dir)) }
	whole := c.one(part{name: name + ": whole", command: into("whole")})
	if whole.Outcome != passed {
		return
	}
	again := into("stopped")
	// In the foreground timeout signals ablate alone, and once: a second signal would end it without saving.
	half := fmt.Sprintf(`timeout --foreground --preserve-status --signal=TERM %.2f "$@"; code=$?
[ $code = 3 ] || { echo "exit code $code, not 3"; exit 1; }`, whole.Seconds/2)
	first := part{name: name + ": stopped", command: append([]string{"bash", "-c", half, "-"}, again...)}
	if c.one(first).Outcome != passed {
		return
	}
	if c.one(part{name: name + ": continued", command: again}).Outcome != passed {
		return
	}
	compare := `cd "$1/whole" && n=0 && for f in $(find . -name weights.safetensors); do
cmp "$f" "$1/stopped/$f" || exit 1; n=$((n + 1)); done; echo "$n runs have equal weights"; [ $n -gt 0 ]`
	c.one(part{name: name + ": equal", command: []string{"bash", "-c", compare, "-", scratch}})
}

// decoded reads the last line that is a JSON object.
func decoded(said []byte, to any) error {
	i := bytes.IndexByte(said, '{')
	if i < 0 {
		return errors.New("no JSON")
	}
	return json.NewDecoder(bytes.NewReader(said[i:])).Decode(to)
}
