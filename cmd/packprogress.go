package cmd

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"ablate/reports"
	"ablate/runner/data/pack"
)

// packProgress prints how packing goes: one line that is rewritten on a
// terminal, a line every half minute elsewhere.
type packProgress struct {
	w       io.Writer
	live    bool
	every   time.Duration
	started time.Time
	printed time.Time
	width   int
}

func newPackProgress(w io.Writer) *packProgress {
	f, ok := w.(*os.File)
	p := &packProgress{w: w, live: ok && term.IsTerminal(int(f.Fd())), every: 30 * time.Second, started: time.Now(), printed: time.Now()}
	if p.live {
		p.every = 100 * time.Millisecond
	}
	return p
}

func (p *packProgress) update(now pack.Progress) {
	if time.Since(p.printed) < p.every {
		return
	}
	p.printed = time.Now()
	line := packLine(now, time.Since(p.started))
	if !p.live {
		fmt.Fprintln(p.w, line)
		return
	}
	n := len([]rune(line))
	fmt.Fprint(p.w, "\r", line, strings.Repeat(" ", max(0, p.width-n)))
	p.width = n
}

// packLine says how far packing is, how fast it reads and when it will end. What
// an earlier attempt packed says nothing of the speed.
func packLine(now pack.Progress, since time.Duration) string {
	line := fmt.Sprintf("%s of %s files", reports.Thousands(now.Files), reports.Thousands(now.Total))
	done := now.Files - now.Kept
	if seconds := since.Seconds(); seconds > 0 && done > 0 {
		rate := float64(done) / seconds
		left := time.Duration(float64(now.Total-now.Files) / rate * float64(time.Second))
		line += fmt.Sprintf("  %.0f images/s  %.1f MB/s  ETA %v", rate, float64(now.Bytes)/1e6/seconds, left.Round(time.Second))
	}
	if now.Skipped > 0 {
		line += fmt.Sprintf("  %d bad", now.Skipped)
	}
	return line
}

// end clears the line.
func (p *packProgress) end() {
	if p.live {
		fmt.Fprint(p.w, "\r", strings.Repeat(" ", p.width), "\r")
	}
}
