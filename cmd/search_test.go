package cmd

import (
	"testing"
	"time"
)

func TestAgo(t *testing.T) {
	now := time.Date(2026, 11, 24, 0, 30, 0, 0, time.UTC) // a Tuesday, just after midnight
	for want, at := range map[string]time.Time{
		"today 00:01":      time.Date(2026, 11, 24, 0, 1, 0, 0, time.UTC),
		"yesterday 23:59":  time.Date(2026, 11, 23, 23, 59, 0, 0, time.UTC),
		"yesterday 00:00":  time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC),
		"Sun 23:59":        time.Date(2026, 11, 22, 23, 59, 0, 0, time.UTC),
		"Wed 00:00":        time.Date(2026, 11, 18, 0, 0, 0, 0, time.UTC),
		"2026-11-17 23:59": time.Date(2026, 11, 17, 23, 59, 0, 0, time.UTC),
		"2026-11-25 10:00": time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC), // a clock that is ahead
		"–":                {},
	} {
		if got := ago(at, now); got != want {
			t.Errorf("%v: %q, want %q", at, got, want)
		}
	}
}
