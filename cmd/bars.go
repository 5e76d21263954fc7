package cmd

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bars draw on a terminal how far several runs are, a bar each, below the lines
// that stay. What is to be shown before the first run goes to the terminal itself.
type bars struct {
	to      io.Writer
	drawing *mpb.Progress
	of      map[runID]*bar
}

type bar struct {
	*mpb.Bar
	words atomic.Value
}

const (
	barWidth = 20
	barSteps = 1000 // that a bar is divided into; the terminal shows fewer
)

// show moves a run's bar.
func (b *bars) show(run runID, share float64, words string) {
	if b.drawing == nil {
		b.drawing, b.of = mpb.New(mpb.WithOutput(b.to), mpb.WithWidth(barWidth)), map[runID]*bar{}
	}
	one, ok := b.of[run]
	if !ok {
		one = new(bar)
		one.words.Store(words)
		one.Bar = b.drawing.New(barSteps, mpb.BarStyle(), mpb.AppendDecorators(
			decor.Any(func(decor.Statistics) string { return one.words.Load().(string) })))
		b.of[run] = one
	}
	one.words.Store(words)
	one.SetCurrent(min(int64(share*barSteps), barSteps-1)) // a full one would stay; the run's line follows
}

// drop removes a run's bar.
func (b *bars) drop(run runID) {
	if one, ok := b.of[run]; ok {
		one.Abort(true)
		delete(b.of, run)
	}
}

// leave prints a line that stays, above the bars.
func (b *bars) leave(line string) {
	if b.drawing == nil {
		fmt.Fprintln(b.to, line)
		return
	}
	fmt.Fprintln(b.drawing, line)
}

// close waits until everything is drawn.
func (b *bars) close() {
	if b.drawing == nil {
		return
	}
	for run := range b.of {
		b.drop(run)
	}
	b.drawing.Wait()
}
