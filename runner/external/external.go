// Package external trains a run with the user's own program. It starts the program, keeps what it
// prints, reads its measurements as they are made, and reports how it ended. docs/trainers.md
// tells users what a program receives and how it answers.
package external

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ablate/experiments"
	"ablate/recipe"
)

// ErrDiverged reports a program whose final figure is not a finite number.
var ErrDiverged = errors.New("diverged")

// A Run describes what a program is to train.
type Run struct {
	Study, Variant string
	Seed           uint64
	Device         string // what the user asked for: auto, cpu, cuda:0 …
	Recipe         recipe.Recipe
}

// Progress tells how far a program says it has come.
type Progress struct {
	Epoch int     // completed
	Share float64 // of the run; 0 if the program does not give its number of steps
	Name  string  // the last value of the figure that compares variants, "" before the first value
	Value float64
}

// Names in a run's folder that a program may write to.
const (
	outputFolder      = "output"
	checkpointFolder  = "checkpoints"
	recipeFile        = "recipe.json"
	resultFile        = "result.json"
	predictionsFile   = "predictions.csv"
	metricsFilePrefix = "measured-" // followed by the attempt's number
)

// usageNames names the measurements that are made of every program.
var usageNames = []string{"wall_seconds", "cpu_seconds", "peak_memory_bytes"}

const (
	pollEvery    = 200 * time.Millisecond
	defaultGrace = 30 * time.Second
	// mostReserve is how many bytes of the disk a program must leave free, so that the record of its
	// end can be written. If the disk has little more at the start, half of the free space is
	// reserved.
	mostReserve = 16 << 20
)

// Check reports, before anything is written, whether a program can be started at all.
func Check(r recipe.Recipe) error {
	info, err := os.Stat(r.Trainer.Dir)
	if err != nil || !info.IsDir() {
		return fmt.Errorf("trainer.dir %s is not a folder", r.Trainer.Dir)
	}
	for key, command := range map[string][]string{"command": r.Trainer.Command, "setup": r.Trainer.Setup} {
		if len(command) == 0 {
			continue
		}
		name := command[0]
		if strings.ContainsRune(name, '/') && !filepath.IsAbs(name) {
			name = filepath.Join(r.Trainer.Dir, name)
		}
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("trainer.%s: %w", key, err)
		}
	}
	return nil
}

// A trainer is one attempt of a program at a run.
type trainer struct {
	Run
	rec      *experiments.Recorder
	dir      string // the run's
	output   string // the folder that the program writes to
	measured string // the file to which it appends its measurements
	log      *measurements
	tail     *tail
	reserve  int64 // bytes of the disk that the program must leave free
	floor    int64 // bytes of memory at which a program's peak begins
}

// Train starts the program and returns what it measured. When the context ends, the program
// receives SIGTERM. Calls of progress come from one goroutine.
func Train(ctx context.Context, run Run, rec *experiments.Recorder,
	progress func(Progress)) (*experiments.Result, error) {
	t := &trainer{
		Run: run, rec: rec, tail: newTail(rec.Output()), reserve: min(mostReserve, experiments.FreeSpace(rec.Dir())/2),
	}
	command, err := t.prepare()
	if err != nil {
		return nil, err
	}
	if t.log, err = newMeasurements(run.Recipe.Trainer.Metric.Name, rec, t.measured, t.output); err != nil {
		return nil, err
	}
	if err := t.run(ctx, command, progress); err != nil {
		return nil, err
	}
	return t.result()
}

// prepare makes the run's folders and files, and the command with its placeholders filled in.
func (t *trainer) prepare() (*exec.Cmd, error) {
	dir, err := filepath.Abs(t.rec.Dir())
	if err != nil {
		return nil, err
	}
	t.dir, t.output = dir, filepath.Join(dir, outputFolder)
	t.measured = filepath.Join(dir, metricsFilePrefix+strconv.Itoa(t.rec.Attempt())+".jsonl")
	checkpoints, recipePath := filepath.Join(dir, checkpointFolder), filepath.Join(dir, recipeFile)
	for _, folder := range []string{t.output, checkpoints} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
	}
	for _, stale := range []string{resultFile, predictionsFile} { // files of an earlier attempt
		if err := os.Remove(filepath.Join(t.output, stale)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	text, err := json.MarshalIndent(t.Recipe.Params, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := experiments.WriteFile(recipePath, append(text, '\n')); err != nil {
		return nil, err
	}
	if err := experiments.WriteFile(t.measured, nil); err != nil { // an unrecorded attempt may have had the name
		return nil, err
	}
	seed := strconv.FormatUint(t.Seed+uint64(t.Recipe.Trainer.SeedOffset), 10)
	words, err := t.Recipe.Expand(t.Recipe.Trainer.Command, map[string]string{
		"recipe": recipePath, "seed": seed, "run": t.output, "study": t.Study, "variant": t.Variant, "device": t.Device,
	})
	if err != nil {
		return nil, fmt.Errorf("trainer.command: %w", err)
	}
	c := exec.Command(words[0], words[1:]...)
	c.Dir = t.Recipe.Trainer.Dir
	c.Env = t.environment(map[string]string{
		"ABLATE_METRICS": t.measured, "ABLATE_RUN": t.output, "ABLATE_RECIPE": recipePath, "ABLATE_SEED": seed,
		"ABLATE_STUDY": t.Study, "ABLATE_VARIANT": t.Variant, "ABLATE_CHECKPOINTS": checkpoints, "ABLATE_DEVICE": t.Device,
	})
	c.Stdout, c.Stderr = t.tail, t.tail
	return c, t.rec.Logf("in %s: %s", c.Dir, strings.Join(words, " "))
}

// environment returns the variables of ablate, those that the study adds, and those that every
// program receives.
func (t *trainer) environment(told map[string]string) []string {
	if t.rec.Attempt() > 1 {
		told["ABLATE_RESUME"] = "1"
	}
	if gpu, ok := strings.CutPrefix(t.Device, "cuda:"); ok {
		told["CUDA_VISIBLE_DEVICES"] = strings.ReplaceAll(gpu, ",cuda:", ",")
	}
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ABLATE_RESUME=") { // set by an ablate that started this one
			env = append(env, v)
		}
	}
	if threads := os.Getenv("GOMAXPROCS"); threads != "" { // a share of the cores, which PyTorch and NumPy use too
		env = append([]string{"OMP_NUM_THREADS=" + threads}, env...)
	}
	env = append(env, "PYTHONUNBUFFERED=1") // so that log.txt has each line as soon as it is printed
	for _, more := range []map[string]string{told, t.Recipe.Trainer.Env} {
		for _, name := range slices.Sorted(maps.Keys(more)) {
			env = append(env, name+"="+more[name])
		}
	}
	return env
}

// run starts the program and follows it to its end.
func (t *trainer) run(ctx context.Context, c *exec.Cmd, progress func(Progress)) error {
	timeout := time.Duration(t.Recipe.Trainer.Timeout)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if timeout > 0 {
		timer := time.AfterFunc(timeout, func() { stop(fmt.Errorf("no end within %s", timeout)) })
		defer timer.Stop()
	}
	grace := cmp.Or(time.Duration(t.Recipe.Trainer.Grace), defaultGrace)
	ended := make(chan error, 1)
	started := time.Now()
	p, err := start(c, grace, ended)
	if err != nil {
		return fmt.Errorf("start the program: %w", err)
	}
	t.floor = ownPeak()
	watch := time.NewTicker(pollEvery)
	defer watch.Stop()
	stopping := ctx.Done()
	for {
		select {
		case <-stopping:
			stopping = nil
			if err := t.rec.Logf("the program is told to end: %v", context.Cause(ctx)); err != nil {
				stop(err)
			}
			p.terminate()
		case <-watch.C:
			if err := cmp.Or(t.follow(progress), t.tail.failed(), t.roomLeft()); err != nil {
				stop(err) // the program's figures cannot be stored: it need not go on
			}
		case err := <-ended:
			p.killGroup()
			return t.end(ctx, c, err, time.Since(started), progress)
		}
	}
}

// follow records what the program has measured since the last call.
func (t *trainer) follow(progress func(Progress)) error {
	if err := t.log.poll(false); err != nil {
		return err
	}
	if progress != nil {
		progress(t.log.progress())
	}
	return nil
}

// roomLeft stops a program that fills the disk, while there is still room to record it.
func (t *trainer) roomLeft() error {
	if free := experiments.FreeSpace(t.dir); free >= 0 && free < t.reserve {
		return fmt.Errorf("the disk of %s has %d bytes left; the program was stopped while its end could be recorded",
			t.dir, free)
	}
	return nil
}

// end converts the way in which the program ended into an error, or records its last figures.
func (t *trainer) end(ctx context.Context, c *exec.Cmd, err error, took time.Duration, progress func(Progress)) error {
	var exited *exec.ExitError
	if err := t.tail.failed(); err != nil {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, context.Canceled) {
			if perr := t.log.poll(true); perr != nil {
				return perr
			}
		}
		return t.withOutput(cause)
	}
	switch {
	case errors.As(err, &exited):
		return t.withOutput(fmt.Errorf("%s ended with %s", filepath.Base(c.Path), exited.ProcessState))
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return t.withOutput(err)
	}
	if err := t.log.poll(true); err != nil {
		return t.withOutput(err)
	}
	if err := t.log.last(t.output, usage(c.ProcessState, took, t.floor)); err != nil {
		return t.withOutput(err)
	}
	return t.follow(progress)
}

// withOutput adds the last lines that the program printed to an error.
func (t *trainer) withOutput(err error) error {
	if said := t.tail.lines(); said != "" {
		return fmt.Errorf("%w; its last words: %s", err, said)
	}
	return fmt.Errorf("%w; it printed nothing", err)
}

// result returns the program's result.
func (t *trainer) result() (*experiments.Result, error) {
	metric := t.Recipe.Trainer.Metric.Name
	value, ok := t.log.values[metric]
	if !ok {
		known := slices.DeleteFunc(slices.Sorted(maps.Keys(t.log.values)), func(name string) bool {
			return slices.Contains(usageNames, name)
		})
		said := "it measured nothing; docs/trainers.md shows how a program tells its figures"
		if len(known) > 0 {
			said = "it measured " + strings.Join(known[:min(len(known), 20)], ", ")
		}
		return nil, t.withOutput(fmt.Errorf("the program ended without a %s: %s", metric, said))
	}
	predictions, err := readPredictions(filepath.Join(t.output, predictionsFile))
	if err != nil {
		return nil, err
	}
	if predictions != nil {
		if err := t.rec.SavePredictions(predictions); err != nil {
			return nil, err
		}
	}
	result := experiments.Measured(t.log.epochs, len(predictions), t.log.values)
	if v := float64(value); math.IsNaN(v) || math.IsInf(v, 0) {
		return result, fmt.Errorf("%w: %s is %v", ErrDiverged, metric, v)
	}
	return result, nil
}

// A tail passes on what a program prints, and keeps the last lines.
type tail struct {
	to io.Writer

	mu   sync.Mutex
	kept []byte
	err  error
}

// Bounds on how much of a program's output an error repeats.
const (
	keptBytes = 8 << 10
	keptLines = 8
	lineWidth = 160
)

func newTail(to io.Writer) *tail { return &tail{to: to} }

// Write succeeds even if the log cannot be written: otherwise the program would block, and its end
// would be lost.
func (t *tail) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		_, t.err = t.to.Write(text)
	}
	t.kept = append(t.kept, text[max(0, len(text)-keptBytes):]...)
	t.kept = t.kept[max(0, len(t.kept)-keptBytes):]
	return len(text), nil
}

// failed returns the error of writing the log, if there is one.
func (t *tail) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// lines returns the last lines, joined into one.
func (t *tail) lines() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []string
	for line := range strings.FieldsFuncSeq(string(t.kept), func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.TrimSpace(strings.Map(printable, strings.ToValidUTF8(line, "\uFFFD")))
		if runes := []rune(line); len(runes) > lineWidth {
			line = string(runes[:lineWidth]) + "…"
		}
		if line != "" {
			all = append(all, line)
		}
	}
	return strings.Join(all[max(0, len(all)-keptLines):], " | ")
}

func printable(r rune) rune {
	if r == '\t' {
		return ' '
	}
	if !strconv.IsPrint(r) {
		return -1
	}
	return r
}
