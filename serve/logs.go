package serve

import (
	"os"
	"sync"
	"time"

	"ablate/experiments"
)

// maxLogged bounds how many lines of logs are kept in memory, at 56 bytes each.
const maxLogged = 1_200_000

// logs caches the series read from runs' logs.
type logs struct {
	mu    sync.Mutex
	kept  map[string]*logged // by the run's folder
	lines int
	turn  int64
}

type logged struct {
	stamp  stamp
	series []experiments.Metric
	err    error
	used   int64
}

// of returns the series of a run, read again where the file has changed.
func (l *library) series(r *run) ([]experiments.Metric, error) {
	path := experiments.MetricsPath(r.dir)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	now := stampOf(info)
	if kept, ok := l.logs.get(r.dir, now); ok {
		return kept.series, kept.err
	}
	var log []experiments.Metric
	if err = l.confined(path); err == nil {
		log, err = experiments.ReadMetrics(path)
	}
	kept := &logged{stamp: now, series: experiments.Series(log), err: err}
	l.logs.put(r.dir, kept)
	return kept.series, kept.err
}

func (l *logs) get(dir string, now stamp) (*logged, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept, ok := l.kept[dir]
	if !ok || kept.stamp != now {
		return nil, false
	}
	l.turn++
	kept.used = l.turn
	return kept, true
}

// put stores a series. If there are too many lines, it first drops the series that has been unused for longest.
func (l *logs) put(dir string, k *logged) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == nil {
		l.kept = map[string]*logged{}
	}
	l.drop(dir)
	l.turn++
	k.used = l.turn
	l.kept[dir] = k
	l.lines += len(k.series)
	for l.lines > maxLogged && len(l.kept) > 1 {
		oldest := ""
		for d, o := range l.kept {
			if oldest == "" || o.used < l.kept[oldest].used {
				oldest = d
			}
		}
		l.drop(oldest)
	}
}

func (l *logs) forget(dir string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(dir)
}

func (l *logs) drop(dir string) {
	if k := l.kept[dir]; k != nil {
		l.lines -= len(k.series)
		delete(l.kept, dir)
	}
}

// A progress describes how far an unfinished run has come.
type progress struct {
	epoch, epochs int
	step          int64
	written       time.Time     // when it last logged something
	remaining     time.Duration // time of training left; 0 if it is not known yet
	perEpoch      time.Duration
}

// progress reads from its log how far a run has come. The pace is that of its last attempt.
func (l *library) progress(r *run) progress {
	p := progress{epochs: r.recipe.epochs, written: r.stamp.modified}
	if r.log.modified.After(p.written) {
		p.written = r.log.modified
	}
	series, err := l.series(r)
	if err != nil || len(series) == 0 {
		return p
	}
	last := series[len(series)-1]
	first := last
	for _, m := range series {
		if m.Attempt == last.Attempt {
			first = m
			break
		}
	}
	p.epoch, p.step = last.Epoch, last.Step
	switch epochs := float64(last.Epoch - first.Epoch); {
	case epochs > 0:
		p.perEpoch = seconds((last.Seconds - first.Seconds) / epochs)
	case last.Epoch > 0 && last.Attempt <= 1:
		p.perEpoch = seconds(last.Seconds / float64(last.Epoch))
	}
	if left := p.epochs - p.epoch; left > 0 {
		p.remaining = p.perEpoch * time.Duration(left)
	}
	return p
}

// seconds turns a logged number into a duration. It returns 0 for a number that cannot be one.
func seconds(s float64) time.Duration {
	const most = 100 * 366 * 24 * 3600
	if !(s > 0 && s < most) {
		return 0
	}
	return time.Duration(s * float64(time.Second))
}
