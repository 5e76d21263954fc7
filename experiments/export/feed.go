package export

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"ablate/experiments"
)

// A Feed keeps sinks up to date with a study's records while the study trains. It reads the disk in goroutines of its
// own: a sink that is slow or down does not affect the training, and gets what it missed when it is back.
type Feed struct {
	store   *experiments.Store
	study   string
	planned []Run // with only their keys
	every   time.Duration
	sinks   []Sink
	stop    context.CancelFunc
	idle    []chan struct{} // by sink: closed when nothing follows it any more
}

// readShare is the least time between reads, in units of the time that a read takes.
const readShare = 100

// StartFeed follows a study whose variants have these recipes. It returns an error for a recipe that cannot be read.
func StartFeed(store *experiments.Store, study string, recipes []json.RawMessage, every time.Duration,
	sinks []Sink) (*Feed, error) {
	f := &Feed{store: store, study: study, every: every, sinks: sinks}
	for _, r := range recipes {
		keys, err := Flatten(r)
		if err != nil {
			return nil, err
		}
		f.planned = append(f.planned, Run{Keys: keys})
	}
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	for _, s := range sinks {
		idle := make(chan struct{})
		f.idle = append(f.idle, idle)
		go func() {
			defer close(idle)
			f.follow(ctx, s)
		}()
	}
	return f, nil
}

// follow brings one sink up to date repeatedly. It ignores errors, since Finish tries again and reports them.
func (f *Feed) follow(ctx context.Context, s Sink) {
	r := reader{store: f.store, study: f.study}
	wait, failures := f.every, 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		began := time.Now()
		study := f.read(&r)
		wait = max(f.every, readShare*time.Since(began))
		if s.Sync(ctx, study) == nil {
			failures = 0
			continue
		}
		failures = min(failures+1, 5)
		wait = max(wait, f.every<<failures) // the pause grows with each failure
	}
}

func (f *Feed) read(r *reader) Study {
	runs := r.read()
	keys := Varying(append(runs[:len(runs):len(runs)], f.planned...))
	return Study{Name: f.study, Runs: runs, Keys: keys}
}

// ErrSlow is the error for a sink that does not respond in time.
var ErrSlow = errors.New("it does not answer in time")

// Finish brings the sinks up to the end of a study, with its table and page, within a time limit. It returns an error
// for everything that it could not send, including sinks that never respond.
func (f *Feed) Finish(within time.Duration, files []File) error {
	f.stop()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	study := f.read(&reader{store: f.store, study: f.study})
	study.Files = files
	ends := make([]chan error, len(f.sinks))
	for i, s := range f.sinks {
		ends[i] = make(chan error, 1)
		go func() {
			<-f.idle[i]
			ends[i] <- s.Sync(ctx, study)
		}()
	}
	var errs []error
	for i, s := range f.sinks {
		var err error
		select {
		case err = <-ends[i]:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			err = cmp.Or(err, ErrSlow)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s lacks some of %s: %w", s.Name(), f.study, err))
		}
	}
	return errors.Join(errs...)
}

// A reader reads a study's runs repeatedly, each only if its files have changed.
type reader struct {
	store *experiments.Store
	study string
	known map[string]known
}

type known struct {
	stamp string
	run   Run
}

// read returns the runs that can be read now.
func (r *reader) read() []Run {
	records, _ := r.store.Load(r.study)
	fresh := map[string]known{}
	var runs []Run
	for _, rec := range records {
		k := known{run: Run{Record: rec}}
		name := k.run.Name()
		k.stamp = r.stamp(rec)
		if old, ok := r.known[name]; ok && old.stamp == k.stamp {
			k = old
		} else if run, err := Open(r.store, rec); err == nil {
			k.run = run
		} else {
			continue // it is being written; the next read will get it
		}
		fresh[name] = k
		runs = append(runs, k.run)
	}
	r.known = fresh
	return runs
}

// stamp changes with a run's record and its log, which only grows.
func (r *reader) stamp(rec experiments.Record) string {
	stamp := Run{Record: rec}.Stamp()
	dir, err := r.store.Dir(rec)
	if err != nil {
		return stamp
	}
	if info, err := os.Stat(experiments.MetricsPath(dir)); err == nil {
		stamp += fmt.Sprint(" ", info.Size())
	}
	if notes, err := r.store.Notes(rec); err == nil {
		stamp += fmt.Sprint(" ", notes)
	}
	return stamp
}
