//go:build linux

// Attack runs the built program on what it must refuse or survive: malformed
// studies and nets, damaged records and data files, signals, kills and full disks.
// It prints a table and fails where the program crashed, hung or took too much memory.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"
)

// Limits of a command.
const (
	timeLimit    = 60 * time.Second // for a busy machine; none of them needs a second on an idle one
	memoryLimit  = 512 << 20        // resident bytes
	addressLimit = 8 << 20          // KiB of address space: a bomb ends itself before it exhausts the machine
	lineLimit    = 450              // characters of a message
)

// Exit codes of ablate.
const (
	done        = 0
	failed      = 1
	refused     = 2
	interrupted = 3
	later       = 75
)

// A trial is one attack.
type trial struct {
	kind, name string
	attack     func(dir string) result
}

// A result states how the program responded to an attack.
type result struct {
	verdict verdict
	why     string
}

type verdict int

const (
	clean    verdict = iota // refused with the right exit code and one line that states why
	harmless                // nothing to refuse: the command did what it says
	crashed
	hung
	overMemory
	skipped // the machine does not allow the attack
)

func main() {
	program := flag.String("program", "", "attack `FILE`, a built ablate; without it one is built")
	share := flag.Float64("share", 1, "try this `SHARE` of the attacks")
	seed := flag.Uint64("seed", 1, "draw the attacks from `SEED`")
	flag.Parse()
	failures, err := run(*program, *share, *seed)
	if err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(2)
	}
	if failures > 0 {
		os.Exit(1)
	}
}

func run(program string, share float64, seed uint64) (failures int, err error) {
	scratch, err := os.MkdirTemp("", "ablate-attack-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(scratch)
	if program == "" {
		program = filepath.Join(scratch, "ablate")
		if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
			return 0, fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	if program, err = filepath.Abs(program); err != nil {
		return 0, err
	}
	a := &attacker{program: program, scratch: scratch, random: rand.New(rand.NewPCG(seed, 24))}
	all, err := a.trials()
	if err != nil {
		return 0, err
	}
	a.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:max(1, int(float64(len(all))*min(share, 1)))]
	return report(all, a.try(all)), nil
}

// try runs all trials, as many at a time as there are cores.
func (a *attacker) try(all []trial) []result {
	results := make([]result, len(all))
	var wait sync.WaitGroup
	next := make(chan int)
	for range runtime.NumCPU() {
		wait.Go(func() {
			for i := range next {
				dir := filepath.Join(a.scratch, fmt.Sprint("trial-", i))
				if err := os.Mkdir(dir, 0o755); err != nil {
					results[i] = result{skipped, err.Error()}
					continue
				}
				results[i] = all[i].attack(dir)
				os.RemoveAll(dir)
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	wait.Wait()
	return results
}

// report prints the failures and the table, and returns the number of failures.
func report(all []trial, results []result) (failures int) {
	counts := map[string]*[skipped + 1]int{}
	kinds := []string{"studies", "nets", "records", "data", "signals", "disks"}
	for _, kind := range append(kinds, "all") {
		counts[kind] = &[skipped + 1]int{}
	}
	for i, r := range results {
		counts[all[i].kind][r.verdict]++
		counts["all"][r.verdict]++
		if r.verdict >= crashed && r.verdict < skipped {
			failures++
			fmt.Printf("%s: %s: %s\n\n", all[i].kind, all[i].name, r.why)
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\ttried\trefused cleanly\tharmless\tcrashed\thung\tover memory\tskipped\t")
	for _, kind := range append(kinds, "all") {
		c, tried := counts[kind], 0
		for v := clean; v < skipped; v++ {
			tried += c[v]
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", kind, tried, c[clean], c[harmless], c[crashed], c[hung],
			c[overMemory], c[skipped])
	}
	w.Flush()
	return failures
}

// An attacker makes trials and runs the program.
type attacker struct {
	program, scratch string
	random           *rand.Rand
	records          string // a folder of a study and its finished runs
}

// command returns the program in a folder, with limits on its resources.
func (a *attacker) command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", fmt.Sprintf(`ulimit -v %d; exec "$@"`, addressLimit),
		"sh", a.program}, args...)...)
	c.Dir = dir
	c.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "ABLATE_DATA="+dir, "ABLATE_THREADS=1")
	c.WaitDelay = time.Second
	return c
}

// must runs a command that must end with one of these exit codes.
func (a *attacker) must(dir string, codes []int, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
	defer cancel()
	c := a.command(ctx, dir, args...)
	var out, messages bytes.Buffer
	c.Stdout, c.Stderr = &out, &messages
	err := c.Run()
	return judge(ctx, c, err, codes, out.String(), messages.String())
}

// judge returns how a command ended.
func judge(ctx context.Context, c *exec.Cmd, err error, codes []int, out, messages string) result {
	what := strings.Join(append([]string{"ablate"}, c.Args[5:]...), " ")
	bad := func(v verdict, format string, args ...any) result {
		return result{v, fmt.Sprintf("%s: %s\n%.1500s", what, fmt.Sprintf(format, args...), messages)}
	}
	if ctx.Err() != nil {
		return bad(hung, "still running after %v", timeLimit)
	}
	if c.ProcessState == nil {
		return bad(crashed, "%v", err)
	}
	if used := c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10; used > memoryLimit {
		return bad(overMemory, "took %d MiB", used>>20)
	}
	code := c.ProcessState.ExitCode()
	for _, trace := range []string{"goroutine ", "panic: ", "fatal error: ", "runtime error: "} {
		if strings.Contains(messages, trace) {
			return bad(crashed, "%v", c.ProcessState)
		}
	}
	allowed := false
	for _, want := range codes {
		allowed = allowed || code == want
	}
	if !allowed {
		return bad(crashed, "%v, where one of %v is right", c.ProcessState, codes)
	}
	if strings.ContainsAny(out+messages, "\x1b\x07\x00") {
		return bad(crashed, "control characters were printed")
	}
	for line := range strings.Lines(messages) {
		if n := len([]rune(line)); n > lineLimit {
			return bad(crashed, "a message of %d characters", n)
		}
	}
	if code == done {
		return result{verdict: harmless}
	}
	if out+messages == "" {
		return bad(crashed, "%v without a word", c.ProcessState)
	}
	return result{verdict: clean}
}

// trials returns all attacks.
func (a *attacker) trials() ([]trial, error) {
	a.records = filepath.Join(a.scratch, "records")
	if err := os.Mkdir(a.records, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(a.records, "s.yaml"), []byte(smallStudy), 0o644); err != nil {
		return nil, err
	}
	if r := a.must(a.records, []int{done}, "run", "s.yaml"); r.verdict != harmless {
		return nil, errors.New(r.why)
	}
	studies, err := a.studies()
	if err != nil {
		return nil, err
	}
	records, err := a.damagedRecords()
	if err != nil {
		return nil, err
	}
	all := append(studies, records...)
	all = append(all, a.dataFiles()...)
	all = append(all, a.signals()...)
	return append(all, a.disks()...), nil
}
