package serve

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// version returns the version of what a page shows, which a word names: all, a study, or a run. It changes when the
// contents change, and is 0 if they do not exist.
func version(now *shelf, what string) int64 {
	kind, name, _ := strings.Cut(what, ":")
	switch kind {
	case "all":
		return now.version
	case "study":
		if s := now.byName[name]; s != nil {
			return s.logs
		}
	case "run":
		parts := strings.Split(name, "/")
		if len(parts) != 3 {
			return 0
		}
		seed, err := strconv.ParseUint(parts[2], 10, 64)
		if s := now.byName[parts[0]]; s != nil && err == nil {
			if r := s.find(parts[1], seed); r != nil {
				return r.version
			}
		}
	}
	return 0
}

func (a *answer) versionOf(what string) int64 {
	if what == "" {
		return 0
	}
	return version(a.now, what)
}

// breath is the interval at which an idle open page hears that the server is still running.
const breath = 15 * time.Second

// events tells an open page whenever its contents have changed. It sends server-sent events of one number, after which
// the page requests itself again.
func (s *Server) events(a *answer) error {
	what := a.query.Get("of")
	r := s.watcher.join(func(now *shelf) int64 { return version(now, what) })
	if r == nil {
		a.Header().Set("Retry-After", "10")
		http.Error(a, fmt.Sprintf("%d pages are open; close one", maxWatchers), http.StatusServiceUnavailable)
		return nil
	}
	defer s.watcher.leave(r)
	a.Header().Set("Content-Type", "text/event-stream")
	a.Header().Set("Cache-Control", "no-store")
	send := func(text string) bool {
		a.write([]byte(text))
		a.sent = 0
		a.flush()
		return a.err == nil
	}
	if !send(fmt.Sprintf("retry: 1000\nevent: version\ndata: %d\n\n", r.shown)) {
		return nil
	}
	pulse := time.NewTicker(breath)
	defer pulse.Stop()
	for {
		said := ""
		select {
		case <-a.request.Context().Done():
			return nil
		case <-s.watcher.done:
			return nil
		case v := <-r.news:
			said = fmt.Sprintf("event: version\ndata: %d\n\n", v)
		case <-pulse.C:
			said = ":\n\n"
		}
		if !send(said) {
			return nil
		}
	}
}
