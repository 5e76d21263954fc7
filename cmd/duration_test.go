package cmd

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestAbout(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1234 * time.Millisecond:   "1.23s",
		95 * time.Second:          "1m35s",
		3*time.Hour - time.Minute: "2h59m",
		76*time.Hour + 20*60e9:    "3d4h",
		year * 5 / 4:              "1.2 years",
		math.MaxInt64:             "more than 292 years",
	} {
		if got := about(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	start := time.Date(2026, 11, 24, 22, 30, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		20 * time.Minute: "until 22:50",
		13 * time.Hour:   "until Wed 25 Nov 2026 11:30",
		math.MaxInt64:    "until 2319",
	} {
		if got := until(start, d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// A study of more than a year asks for --yes before it writes anything.
func TestConfirm(t *testing.T) {
	var o runOptions
	if err := o.confirm(year - 1); err != nil {
		t.Error(err)
	}
	err := o.confirm(3 * year)
	if err == nil || !strings.Contains(err.Error(), "predicted to take 3.0 years, until ") ||
		!strings.Contains(err.Error(), "use --yes") {
		t.Error(err)
	}
	if o.yes = true; o.confirm(math.MaxInt64) != nil {
		t.Error("--yes is not enough")
	}
}
