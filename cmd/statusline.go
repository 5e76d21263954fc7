package cmd

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// A statusLine shows progress: on a terminal in one line that is rewritten, elsewhere in occasional
// lines.
type statusLine struct {
	w     io.Writer
	live  bool          // w is a terminal
	every time.Duration // time between two lines
	shown time.Time     // time of the last line
	width int           // of the line on the terminal
}

// newStatusLine makes a status line. quiet is the time between lines if w is not a terminal.
func newStatusLine(w io.Writer, quiet time.Duration) *statusLine {
	s := &statusLine{w: w, every: quiet, shown: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.live, s.every = true, 100*time.Millisecond
	}
	return s
}

// due reports whether it is time for the next line.
func (s *statusLine) due() bool { return time.Since(s.shown) >= s.every }

// show replaces the last line.
func (s *statusLine) show(line string) {
	s.shown = time.Now()
	if !s.live {
		fmt.Fprintln(s.w, line)
		return
	}
	n := len([]rune(line))
	fmt.Fprint(s.w, "\r", line, strings.Repeat(" ", max(0, s.width-n)))
	s.width = n
}

// leave prints a permanent line.
func (s *statusLine) leave(line string) {
	s.clear()
	s.shown = time.Now()
	fmt.Fprintln(s.w, line)
}

// clear removes the line from a terminal.
func (s *statusLine) clear() {
	if s.live && s.width > 0 {
		fmt.Fprint(s.w, "\r", strings.Repeat(" ", s.width), "\r")
		s.width = 0
	}
}
