package cmd

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"ablate/experiments"
	"ablate/runner"
	"ablate/runner/train"
)

// progress prints how a study goes: one line that is rewritten, with an ETA, on
// a terminal; a plain line at the end of every run elsewhere.
type progress struct {
	w        io.Writer
	live     bool
	jobs     []runner.Job
	work     float64 // of all runs that are to be trained
	done     float64 // of the runs that have ended
	skipped  int
	ended    int
	started  time.Time
	drawn    time.Time
	last     train.Epoch
	lastLine int
}

var _ runner.Progress = (*progress)(nil)

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, live: ok && term.IsTerminal(int(f.Fd()))}
}

// Start says what is ahead.
func (p *progress) Start(jobs []runner.Job) {
	p.jobs, p.started = jobs, time.Now()
	for _, r := range jobs {
		p.work += work(r)
	}
}

// work is how much of the study a run is. Runs differ in their net's cost and their epochs.
func work(r runner.Job) float64 { return r.Work(1) }

// Skip takes a run that was done before out of the reckoning.
func (p *progress) Skip(r runner.Job) {
	p.skipped++
	p.ended++
	p.work -= work(r)
}

// Held says who trains a run. It stays in the reckoning: it may have to be trained here after all.
func (p *progress) Held(r runner.Job, err error) {
	p.draw("")
	fmt.Fprintf(p.w, "%s seed %d is left to another process: %s\n", r.Variant.Name, r.Seed, plain(err.Error(), longestMessage))
}

// Begin starts a run's line.
func (p *progress) Begin(r runner.Job, _ string) { p.last = train.Epoch{} }

// Step redraws the line, ten times a second at most.
func (p *progress) Step(r runner.Job, epoch int, share float64) {
	if !p.live || time.Since(p.drawn) < 100*time.Millisecond {
		return
	}
	p.drawn = time.Now()
	line := fmt.Sprintf("[%d/%d] %s seed %d  epoch %d/%d  %3.0f %%", p.ended+1, len(p.jobs), r.Variant.Name, r.Seed,
		epoch, r.Variant.Recipe.Train.Epochs, 100*share)
	if p.last.Number > 0 {
		line += fmt.Sprintf("  loss %.3f  test error %.1f %%", p.last.Train.Loss(), 100*p.last.Test.Top1Error())
	}
	if eta := p.eta(work(r) * share); eta > 0 {
		line += "  ETA " + eta.Round(time.Second).String()
	}
	p.draw(line)
}

// eta is the time the rest takes at the speed so far.
func (p *progress) eta(current float64) time.Duration {
	done := p.done + current
	since := time.Since(p.started)
	if done <= 0 || since < time.Second {
		return 0
	}
	return time.Duration(float64(since) * (p.work - done) / done)
}

// Epoch remembers what the line shows.
func (p *progress) Epoch(_ runner.Job, e train.Epoch) { p.last = e }

// End leaves a line behind.
func (p *progress) End(r runner.Job, status experiments.Status, err error) {
	p.done += work(r)
	p.ended++
	p.draw("")
	if status == "" {
		return
	}
	line := fmt.Sprintf("[%d/%d] %s seed %d  %s", p.ended, len(p.jobs), r.Variant.Name, r.Seed, status)
	switch {
	case err != nil:
		line += ": " + strings.SplitN(err.Error(), "\n", 2)[0]
	default:
		line += fmt.Sprintf("  loss %.3f  test error %.2f %%", p.last.Train.Loss(), 100*p.last.Test.Top1Error())
	}
	if eta := p.eta(0); eta > 0 && p.ended < len(p.jobs) && status != experiments.Interrupted {
		line += "  ETA " + eta.Round(time.Second).String()
	}
	fmt.Fprintln(p.w, line)
}

func (p *progress) close() {
	p.draw("")
	if p.skipped > 0 {
		fmt.Fprintf(p.w, "%d runs were done already\n", p.skipped)
	}
}

// draw rewrites the line on a terminal.
func (p *progress) draw(line string) {
	if !p.live {
		return
	}
	n := len([]rune(line))
	fmt.Fprint(p.w, "\r", line, strings.Repeat(" ", max(0, p.lastLine-n)))
	if p.lastLine = n; line == "" {
		fmt.Fprint(p.w, "\r")
	}
}
