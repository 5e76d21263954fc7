// Package external trains a run with a program of the user's: it starts the
// program, keeps what it prints, reads what it measures while it measures it, and
// says how it ended. docs/trainers.md tells users what a program is given and how it
// answers.
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

// ErrDiverged is a program whose figure is no finite number at the end.
var ErrDiverged = errors.New("diverged")

// A Run is what a program is to train.
type Run struct {
	Study, Variant string
	Seed           uint64
	Device         string // what the user asked for: auto, cpu, cuda:0 …
	Recipe         recipe.Recipe
}

// Progress is how far a program says that it is.
type Progress struct {
	Epoch int     // completed
	Share float64 // of the run, 0 where the program does not say of how many its steps are
	Name  string  // the last value of the figure that variants are compared by, "" before there is one
	Value float64
}

// The names in a run's folder that a program may write to.
const (
	outputFolder      = "output"
	checkpointFolder  = "checkpoints"
	recipeFile        = "recipe.json"
	resultFile        = "result.json"
	predictionsFile   = "predictions.csv"
	metricsFilePrefix = "measured-" // and the attempt's number
)

// usageNames are what is measured of every program.
var usageNames = []string{"wall_seconds", "cpu_seconds", "peak_memory_bytes"}

const (
	pollEvery    = 200 * time.Millisecond
	defaultGrace = 30 * time.Second
	// mostReserve is what a program must leave of the disk, so that the record of its end can be written; a
	// disk that has little more to begin with keeps a half of that.
	mostReserve = 16 << 20
)

// Check says whether a program can be started at all, before anything is written.
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
	output   string // that the program writes to
	measured string // the file that it appends its measurements to
	log      *measurements
	tail     *tail
	reserve  int64 // bytes that the program must leave of the disk
	floor    int64 // bytes of memory that a program's peak begins with
}

// Train starts the program and returns what it measured. The context's end is told to
// the program by SIGTERM. Calls of progress come from one goroutine.
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

// prepare makes the run's folders and files, and the command with its words filled in.
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
	for _, stale := range []string{resultFile, predictionsFile} { // an earlier attempt's
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
	if err := experiments.WriteFile(t.measured, nil); err != nil { // a name of an attempt that was never recorded
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

// environment is that of ablate, what the study adds, and what every program is told.
func (t *trainer) environment(told map[string]string) []string {
	if t.rec.Attempt() > 1 {
		told["ABLATE_RESUME"] = "1"
	}
	if gpu, ok := strings.CutPrefix(t.Device, "cuda:"); ok {
		told["CUDA_VISIBLE_DEVICES"] = strings.ReplaceAll(gpu, ",cuda:", ",")
	}
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ABLATE_RESUME=") { // of an ablate that this one was started by
			env = append(env, v)
		}
	}
	if threads := os.Getenv("GOMAXPROCS"); threads != "" { // a share of the cores: what PyTorch and NumPy take, too
		env = append([]string{"OMP_NUM_THREADS=" + threads}, env...)
	}
	env = append(env, "PYTHONUNBUFFERED=1") // so that log.txt has what was printed when it was
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
				stop(err) // the program's figures cannot be kept: it need not go on
			}
		case err := <-ended:
			p.killGroup()
			return t.end(ctx, c, err, time.Since(started), progress)
		}
	}
}

// follow records what the program has measured since the last look.
func (t *trainer) follow(progress func(Progress)) error {
	if err := t.log.poll(false); err != nil {
		return err
	}
	if progress != nil {
		progress(t.log.progress())
	}
	return nil
}

// roomLeft stops a program that has filled the disk while there is room for the record of it.
func (t *trainer) roomLeft() error {
	if free := experiments.FreeSpace(t.dir); free >= 0 && free < t.reserve {
		return fmt.Errorf("the disk of %s has %d bytes left; the program was stopped while its end could be recorded",
			t.dir, free)
	}
	return nil
}

// end turns the way in which the program ended into an error, or records its last figures.
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

// withOutput adds the last lines that the program printed.
func (t *trainer) withOutput(err error) error {
	if said := t.tail.lines(); said != "" {
		return fmt.Errorf("%w; its last words: %s", err, said)
	}
	return fmt.Errorf("%w; it printed nothing", err)
}

// result is what the program came to.
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

// tail hands what a program prints on, and keeps the last lines.
type tail struct {
	to io.Writer

	mu   sync.Mutex
	kept []byte
	err  error
}

// Bounds on what an error repeats of a program's output.
const (
	keptBytes = 8 << 10
	keptLines = 8
	lineWidth = 160
)

func newTail(to io.Writer) *tail { return &tail{to: to} }

// Write keeps going when the log cannot be written: the program would block, and its end would be lost.
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

// failed is why the log cannot be written, if it cannot.
func (t *tail) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// lines are the last lines in one.
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
