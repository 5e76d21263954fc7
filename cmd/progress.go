package cmd

import (
	"fmt"
	"io"
	"strings"
	"time"

	"ablate/experiments"
	"ablate/runner"
	"ablate/runner/external"
	"ablate/runner/train"
)

// progress prints how a study proceeds. On a terminal it rewrites one line, or draws a bar for each
// of several runs. Elsewhere it prints a line for every epoch, and at least every minute.
type progress struct {
	line    *statusLine
	bars    *bars // nil unless several runs train on a terminal
	jobs    []runner.Job
	work    float64 // of all runs to train
	done    float64 // of the runs that have ended
	skipped int
	ended   int
	started time.Time
	reading *imageProgress
	running map[runID]*standing
}

// A runID identifies a run within a study.
type runID struct {
	variant string
	seed    uint64
}

func idOf(j runner.Job) runID { return runID{j.Variant.Name, j.Seed} }

// A standing is how far a run is.
type standing struct {
	number int // place of the run in the order in which runs began or were skipped
	share  float64
	last   train.Epoch
	// program is the progress of the user's program, if one trains the run
	program external.Progress
}

var _ runner.Progress = (*progress)(nil)

// newProgress prints to w how a study proceeds that trains several runs at a time.
func newProgress(w io.Writer, slots int) *progress {
	p := &progress{line: newStatusLine(w, time.Minute), running: map[runID]*standing{}}
	if p.line.live && slots > 1 {
		p.bars = &bars{to: w}
	}
	return p
}

// leave prints a permanent line.
func (p *progress) leave(line string) {
	if p.bars != nil {
		p.bars.leave(line)
		return
	}
	p.line.leave(line)
}

// Data shows how much of a data set has been read before training begins.
func (p *progress) Data(name string, done, total int) {
	if p.reading == nil {
		p.reading = &imageProgress{line: p.line, started: time.Now()}
	}
	p.reading.read(done, total)
}

// Start prints how many runs there are to train, and when they will end.
func (p *progress) Start(jobs []runner.Job, predicted time.Duration) {
	p.line.clear()
	p.jobs, p.started = jobs, time.Now()
	for _, j := range jobs {
		p.work += work(j)
	}
	if predicted > 0 {
		p.leave(fmt.Sprintf("%d runs, predicted to take %s, %s",
			len(jobs), about(predicted), until(p.started, predicted)))
	}
}

// work returns the work of a run, which depends on its net's cost and its epochs.
func work(j runner.Job) float64 { return j.Work(1) }

// Skip counts a run that was done before, and no longer counts its work.
func (p *progress) Skip(j runner.Job) {
	p.skipped++
	p.ended++
	p.work -= work(j)
}

// Held prints who trains a run. Its work still counts: this process may have to train it after all.
func (p *progress) Held(j runner.Job, err error) {
	p.leave(fmt.Sprintf("%s seed %d is left to another process: %s", j.Variant.Name, j.Seed,
		plain(err.Error(), longestMessage)))
}

// Retry prints why a run begins again.
func (p *progress) Retry(j runner.Job, err error) {
	p.drop(j)
	p.leave(fmt.Sprintf("%s seed %d begins again from its last checkpoint: %s", j.Variant.Name, j.Seed,
		plain(err.Error(), longestMessage)))
}

// Begin starts a run's line.
func (p *progress) Begin(j runner.Job, _ string) {
	p.running[idOf(j)] = &standing{number: p.ended + len(p.running) + 1}
}

// standing returns how far a run is; the run may not have begun.
func (p *progress) standing(j runner.Job) *standing {
	if s, ok := p.running[idOf(j)]; ok {
		return s
	}
	return &standing{number: p.ended + 1}
}

// drop forgets a run that is no longer being trained.
func (p *progress) drop(j runner.Job) {
	delete(p.running, idOf(j))
	if p.bars != nil {
		p.bars.drop(idOf(j))
	}
}

// Step shows how far a run is, if it is time for it.
func (p *progress) Step(j runner.Job, epoch int, share float64) {
	p.standing(j).share = share
	switch {
	case p.bars != nil:
		p.bars.show(idOf(j), share, p.words(j, epoch))
	case p.line.due():
		p.line.show(p.words(j, epoch))
	}
}

// Epoch shows the results of an epoch.
func (p *progress) Epoch(j runner.Job, e train.Epoch) {
	s, epochs := p.standing(j), j.Variant.Recipe.Train.Epochs
	s.last, s.share = e, float64(e.Number)/float64(epochs)
	if !p.line.live && e.Number < epochs { // after the last one comes the run's own line
		p.line.show(p.words(j, e.Number))
	}
}

// Program shows the progress of a user's program, if it is time for it.
func (p *progress) Program(j runner.Job, at external.Progress) {
	s := p.standing(j)
	s.program, s.share = at, at.Share
	switch {
	case p.bars != nil:
		p.bars.show(idOf(j), at.Share, p.programWords(j))
	case p.line.due():
		p.line.show(p.programWords(j))
	}
}

// programWords formats the progress of a program, as far as it reports any.
func (p *progress) programWords(j runner.Job) string {
	s := p.standing(j)
	line := fmt.Sprintf("[%d/%d] %s seed %d", s.number, len(p.jobs), j.Variant.Name, j.Seed)
	if s.program.Epoch > 0 {
		line += fmt.Sprintf("  epoch %d", s.program.Epoch)
	}
	if s.share > 0 {
		line += fmt.Sprintf("  %3.0f %%", 100*s.share)
	}
	return line + measured(s.program) + p.eta()
}

// measured formats the last value of a program's figure, or nothing before the first value.
func measured(p external.Progress) string {
	if p.Name == "" {
		return ""
	}
	return fmt.Sprintf("  %s %.5g", plain(p.Name, longestCell), p.Value)
}

// words formats how far a run is.
func (p *progress) words(j runner.Job, epoch int) string {
	s := p.standing(j)
	line := fmt.Sprintf("[%d/%d] %s seed %d  epoch %d/%d  %3.0f %%", s.number, len(p.jobs), j.Variant.Name, j.Seed,
		epoch, j.Variant.Recipe.Train.Epochs, 100*s.share)
	if s.last.Number > 0 {
		line += fmt.Sprintf("  loss %.3f  test error %.1f %%", s.last.Train.Loss(), 100*s.last.Test.Top1Error())
	}
	return line + p.eta()
}

// eta formats how long the rest takes at the speed so far, or nothing while that is unknown.
func (p *progress) eta() string {
	done := p.done
	for _, j := range p.jobs {
		if s, ok := p.running[idOf(j)]; ok {
			done += work(j) * s.share
		}
	}
	since := time.Since(p.started)
	if done <= 0 || since < time.Second || p.work <= done {
		return ""
	}
	return "  ETA " + about(time.Duration(float64(since)*(p.work-done)/done))
}

// End prints the permanent line of a run.
func (p *progress) End(j runner.Job, status experiments.Status, err error) {
	s := p.standing(j)
	p.drop(j)
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
	case j.Variant.Recipe.IsProgram():
		line += measured(s.program)
	default:
		line += fmt.Sprintf("  loss %.3f  test error %.2f %%", s.last.Train.Loss(), 100*s.last.Test.Top1Error())
	}
	if status != experiments.Interrupted {
		line += p.eta()
	}
	p.leave(line)
}

func (p *progress) close() {
	p.line.clear()
	if p.skipped > 0 {
		p.leave(fmt.Sprintf("%d runs were done already", p.skipped))
	}
	if p.bars != nil {
		p.bars.close()
	}
}
