package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"ablate/experiments"
	"ablate/runner/engine"
)

func TestPrintable(t *testing.T) {
	const in = "a\tb\n\x1b]0;title\x07 \u009b2J é \u00a0 \x7f 日本 \xc2"
	const want = "a\tb\n\\x1b]0;title\\x07 \\u009b2J é \u00a0 \\x7f 日本 "
	for _, size := range []int{1, 2, 3, 1000} { // wherever a write is cut
		var b bytes.Buffer
		p := &printable{w: &b}
		for rest := []byte(in); len(rest) > 0; {
			n := min(size, len(rest))
			if m, err := p.Write(rest[:n]); m != n || err != nil {
				t.Fatal(m, err)
			}
			rest = rest[n:]
		}
		if b.String() != want {
			t.Errorf("in parts of %d: %q", size, b.String())
		}
	}
}

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"short", 5, "short"},
		{"ééééé", 5, "ééééé"},
		{"a long name", 6, "a lo … (5 characters) … me"},
	} {
		if got := shorten(c.text, c.limit); got != c.want {
			t.Errorf("%q", got)
		}
	}
	var b bytes.Buffer
	complain(&b, errors.Join(errors.New("a name of "+strings.Repeat("x\x1b", 1<<20)), errors.New("more")))
	if lines := strings.Split(b.String(), "\n"); len(lines) != 3 || len(b.String()) > 5*longestMessage ||
		strings.Contains(b.String(), "\x1b") {
		t.Errorf("%d bytes: %.200s", b.Len(), b.String())
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// Exit code 2 is for what the user typed, and not for a disk or another process.
func TestExitCodes(t *testing.T) {
	for want, err := range map[int]error{
		exitUsage:       errors.New("unknown key"),
		exitLater:       fmt.Errorf("run: %w", experiments.ErrBusy),
		exitInterrupted: &exit{exitInterrupted, experiments.ErrBusy},
	} {
		if got := exitCode(err); got != want {
			t.Errorf("%v: %d", err, got)
		}
	}
	for _, err := range []error{experiments.ErrLost, engine.ErrDeviceLost, &experiments.WriteError{Err: syscall.ENOSPC}} {
		if got := exitCode(err); got != exitLater {
			t.Errorf("%v: %d", err, got)
		}
	}
	var said bytes.Buffer
	if got := Execute([]string{"nets"}, full{}, &said); got != exitFailed ||
		!strings.Contains(said.String(), "no space left") {
		t.Errorf("a full output: %d, %s", got, said.String())
	}
	if got := Execute([]string{"nets", "nothing"}, io.Discard, io.Discard); got != exitUsage {
		t.Errorf("an unknown net: %d", got)
	}
}
