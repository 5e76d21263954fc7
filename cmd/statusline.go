package cmd

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// A statusLine says how far something has come: on a terminal it is one line that
// is rewritten, elsewhere a line now and then.
type statusLine struct {
	w     io.Writer
	live  bool          // w is a terminal
	every time.Duration // between two lines
	shown time.Time     // when the last one was
	width int           // of the line that stands on the terminal
}

// newStatusLine makes a status line. quiet is the time between lines where w is no terminal.
func newStatusLine(w io.Writer, quiet time.Duration) *statusLine {
	s := &statusLine{w: w, every: quiet, shown: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.live, s.every = true, 100*time.Millisecond
	}
	return s
}

// due says whether it is time for the next line.
func (s *statusLine) due() bool { return time.Since(s.shown) >= s.every }

// show shows a line in place of the last.
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

// leave prints a line that stays.
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
