package cmd

import (
	"fmt"
	"io"
	"strings"
	"time"

	"ablate/experiments"
	"ablate/runner"
	"ablate/runner/train"
)

// progress prints how a study proceeds: on a terminal one line that is rewritten,
// elsewhere a line every epoch, and at least every minute.
type progress struct {
	line    *statusLine
	jobs    []runner.Job
	work    float64 // of all runs that are to be trained
	done    float64 // part of work: the runs that have ended
	skipped int
	ended   int
	started time.Time
	reading *imageProgress
	last    train.Epoch
}

var _ runner.Progress = (*progress)(nil)

func newProgress(w io.Writer) *progress { return &progress{line: newStatusLine(w, time.Minute)} }

// Data shows how far a data set has been read before training begins.
func (p *progress) Data(name string, done, total int) {
	if p.reading == nil {
		p.reading = &imageProgress{line: p.line, started: time.Now()}
	}
	p.reading.read(done, total)
}

// Start says what is ahead, and when it will end.
func (p *progress) Start(jobs []runner.Job, predicted time.Duration) {
	p.line.clear()
	p.jobs, p.started = jobs, time.Now()
	for _, j := range jobs {
		p.work += work(j)
	}
	if predicted > 0 {
		p.line.leave(fmt.Sprintf("%d runs, predicted to take %s, %s",
			len(jobs), about(predicted), until(p.started, predicted)))
	}
}

// work is how much of the study a run is. Runs differ in their net's cost and their epochs.
func work(j runner.Job) float64 { return j.Work(1) }

// Skip takes a run that was done before out of the reckoning.
func (p *progress) Skip(j runner.Job) {
	p.skipped++
	p.ended++
	p.work -= work(j)
}

// Held says who trains a run. It stays in the reckoning: it may have to be trained here after all.
func (p *progress) Held(j runner.Job, err error) {
	p.line.leave(fmt.Sprintf("%s seed %d is left to another process: %s", j.Variant.Name, j.Seed,
		plain(err.Error(), longestMessage)))
}

// Begin starts a run's line.
func (p *progress) Begin(j runner.Job, _ string) { p.last = train.Epoch{} }

// Step shows where a run stands, if it is time.
func (p *progress) Step(j runner.Job, epoch int, share float64) {
	if p.line.due() {
		p.line.show(p.standing(j, epoch, share))
	}
}

// Epoch shows what an epoch came to.
func (p *progress) Epoch(j runner.Job, e train.Epoch) {
	p.last = e
	epochs := j.Variant.Recipe.Train.Epochs
	if !p.line.live && e.Number < epochs { // the last one has the line of its run
		p.line.show(p.standing(j, e.Number, float64(e.Number)/float64(epochs)))
	}
}

// standing says where a run stands.
func (p *progress) standing(j runner.Job, epoch int, share float64) string {
	line := fmt.Sprintf("[%d/%d] %s seed %d  epoch %d/%d  %3.0f %%", p.ended+1, len(p.jobs), j.Variant.Name, j.Seed,
		epoch, j.Variant.Recipe.Train.Epochs, 100*share)
	if p.last.Number > 0 {
		line += fmt.Sprintf("  loss %.3f  test error %.1f %%", p.last.Train.Loss(), 100*p.last.Test.Top1Error())
	}
	return line + p.eta(work(j)*share)
}

// eta says how long the rest takes at the speed so far, nothing while that is not known.
func (p *progress) eta(current float64) string {
	done := p.done + current
	since := time.Since(p.started)
	if done <= 0 || since < time.Second || p.work <= done {
		return ""
	}
	return "  ETA " + about(time.Duration(float64(since)*(p.work-done)/done))
}

// End leaves a line behind.
func (p *progress) End(j runner.Job, status experiments.Status, err error) {
	p.done += work(j)
	p.ended++
	p.line.clear()
	if status == "" {
		return
	}
	line := fmt.Sprintf("[%d/%d] %s seed %d  %s", p.ended, len(p.jobs), j.Variant.Name, j.Seed, status)
	switch {
	case err != nil:
		line += ": " + plain(strings.SplitN(err.Error(), "\n", 2)[0], longestMessage)
	default:
		line += fmt.Sprintf("  loss %.3f  test error %.2f %%", p.last.Train.Loss(), 100*p.last.Test.Top1Error())
	}
	if status != experiments.Interrupted {
		line += p.eta(0)
	}
	p.line.leave(line)
}

func (p *progress) close() {
	p.line.clear()
	if p.skipped > 0 {
		p.line.leave(fmt.Sprintf("%d runs were done already", p.skipped))
	}
}
