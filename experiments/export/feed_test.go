package export_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"ablate/experiments"
	"ablate/experiments/export"
)

// A fake counts the measurements it receives, and fails as long as the test wants.
type fake struct {
	mu     sync.Mutex
	fails  int
	hangs  bool
	points int
	files  int
	keys   []string
	calls  chan int
}

func (f *fake) Name() string { return "fake" }

func (f *fake) Sync(ctx context.Context, s export.Study) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hangs {
		<-ctx.Done()
		select {} // it never returns, not even when cancelled
	}
	if f.fails > 0 {
		f.fails--
		return errors.New("down")
	}
	f.points, f.files, f.keys = 0, len(s.Files), s.Keys
	for _, r := range s.Runs {
		f.points += len(r.Metrics)
	}
	select {
	case f.calls <- f.points:
	default:
	}
	return ctx.Err()
}

// A sink that was down receives everything once it is back, both during training and at its end. A sink that never
// responds is named and delays nothing.
func TestFeed(t *testing.T) {
	store := &experiments.Store{Root: t.TempDir()}
	down := &fake{fails: 3, calls: make(chan int, 1)}
	deaf := &fake{hangs: true}
	planned := []json.RawMessage{json.RawMessage(`{"train": {"lr": 1}}`), json.RawMessage(`{"train": {"lr": 2}}`)}
	feed, err := export.StartFeed(store, "s", planned, time.Millisecond, []export.Sink{down, deaf})
	if err != nil {
		t.Fatal(err)
	}
	recorded(t, store, "baseline", 1, plain, 3, 2, 1)
	for points := range down.calls {
		if points == 3 {
			break
		}
	}
	recorded(t, store, "tanh", 1, plain, 3, 2)
	err = feed.Finish(300*time.Millisecond, []export.File{{Name: "report.txt"}})
	if !errors.Is(err, export.ErrSlow) {
		t.Errorf("%v, want the deaf sink named", err)
	}
	down.mu.Lock()
	defer down.mu.Unlock()
	if down.points != 5 || down.files != 1 {
		t.Errorf("the sink that was down knows %d measurements and %d files", down.points, down.files)
	}
	if len(down.keys) == 0 || down.keys[len(down.keys)-1] != "train.schedule.at.1" {
		t.Errorf("keys %q", down.keys)
	}
}
