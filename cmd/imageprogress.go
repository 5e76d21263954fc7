package cmd

import (
	"fmt"
	"io"
	"time"

	"ablate/reports"
	"ablate/runner/data/pack"
)

// imageProgress shows how many images have been read, checked or packed.
type imageProgress struct {
	line    *statusLine
	started time.Time
}

func newImageProgress(w io.Writer) *imageProgress {
	return &imageProgress{line: newStatusLine(w, 30*time.Second), started: time.Now()}
}

// packed shows the progress of packing.
func (p *imageProgress) packed(now pack.Progress) {
	if p.line.due() {
		p.line.show(packLine(now, time.Since(p.started)))
	}
}

// read shows how many images have been read.
func (p *imageProgress) read(done, total int) {
	if done <= 1 { // a new pass begins
		p.started = time.Now()
	}
	if p.line.due() {
		p.line.show(imageLine(done, total, time.Since(p.started)))
	}
}

// imageLine formats how many images have been read, how fast, and how long the rest will take.
func imageLine(done, total int, since time.Duration) string {
	line := fmt.Sprintf("%s of %s images", reports.Thousands(done), reports.Thousands(total))
	if seconds := since.Seconds(); seconds > 0 && done > 0 {
		rate := float64(done) / seconds
		left := time.Duration(float64(total-done) / rate * float64(time.Second))
		line += fmt.Sprintf("  %.0f images/s  ETA %v", rate, left.Round(time.Second))
	}
	return line
}

// packLine formats the progress of packing, its speed and how long the rest will take. Files that
// an earlier attempt packed do not count for the speed.
func packLine(now pack.Progress, since time.Duration) string {
	line := fmt.Sprintf("%s of %s files", reports.Thousands(now.Files), reports.Thousands(now.Total))
	done := now.Files - now.Kept
	if seconds := since.Seconds(); seconds > 0 && done > 0 {
		rate := float64(done) / seconds
		left := time.Duration(float64(now.Total-now.Files) / rate * float64(time.Second))
		line += fmt.Sprintf("  %.0f images/s  %.1f MB/s  ETA %v",
			rate, float64(now.Bytes)/1e6/seconds, left.Round(time.Second))
	}
	if now.Skipped > 0 {
		line += fmt.Sprintf("  %d bad", now.Skipped)
	}
	return line
}
