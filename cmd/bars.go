package cmd

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bars shows on a terminal how far several runs are, with a bar for each run below the permanent
// lines. Text from before the first run is written to the terminal directly.
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
	barSteps = 1000 // steps of a bar; the terminal shows fewer
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
	one.SetCurrent(min(int64(share*barSteps), barSteps-1)) // a full bar would stay, but the run's own line follows
}

// drop removes a run's bar.
func (b *bars) drop(run runID) {
	if one, ok := b.of[run]; ok {
		one.Abort(true)
		delete(b.of, run)
	}
}

// leave prints a permanent line above the bars.
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
