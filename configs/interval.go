package configs

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"ablate/strictyaml"
)

// An Interval is how often an unfinished run is saved, in one of three units. The zero value means
// only when it is interrupted. It does not change results.
type Interval struct {
	Time   time.Duration
	Epochs int
	Steps  int
}

// DefaultInterval loses at most ten minutes of work, and costs AlexNet about a second of them.
var DefaultInterval = Interval{Time: 10 * time.Minute}

// ParseInterval reads "10m", "2 epochs", "100 steps" or "never".
func ParseInterval(text string) (Interval, error) {
	if text == "never" {
		return Interval{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return Interval{Time: d}, nil
	}
	number, unit, _ := strings.Cut(text, " ")
	if n, err := strconv.Atoi(number); err == nil && n > 0 {
		switch unit {
		case "epoch", "epochs":
			return Interval{Epochs: n}, nil
		case "step", "steps":
			return Interval{Steps: n}, nil
		}
	}
	return Interval{}, fmt.Errorf("%q is not an interval; write 10m, 2 epochs, 100 steps or never", text)
}

// String returns the form that ParseInterval reads.
func (i Interval) String() string {
	switch {
	case i.Time > 0:
		return i.Time.String()
	case i.Epochs > 0:
		return fmt.Sprint(i.Epochs, " epochs")
	case i.Steps > 0:
		return fmt.Sprint(i.Steps, " steps")
	}
	return "never"
}

// UnmarshalStrict reads the same forms in a study.
func (i *Interval) UnmarshalStrict(n *strictyaml.Node) error {
	var text string
	if err := n.Decode(&text); err != nil {
		return err
	}
	var err error
	if *i, err = ParseInterval(text); err != nil {
		return n.Errorf("checkpoint: %w", err)
	}
	return nil
}
