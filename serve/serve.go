// Package serve shows a folder of runs as live pages: studies, a study, a run, a
// table of all runs, and published results. The model and the drawings are those
// of the tables and of the page that is written as a file (reports, reports/page).
// This package adds reading a folder that changes, and telling open pages so.
//
// It only reads, apart from notes and tags where Options allow them. Otherwise it
// writes and locks nothing in the folder, and it follows no link out of the folder.
// A record that cannot be read is shown as broken and breaks no page.
package serve

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"ablate/experiments"
	"ablate/reports"
)

// Options determine what is served, and to whom.
type Options struct {
	Store *experiments.Store
	// Table returns the options of the table that a study declares.
	Table func(study string) (reports.Options, error)
	// Token is required of every reader. If it is empty, the server responds only under this machine's own names.
	Token string
	// Write lets readers add notes and tags, and remove tags. Nothing else can be changed.
	Write bool
}

// A Server serves one folder of runs.
type Server struct {
	Options
	library *library
	watcher *watcher
	tables  tables
	recipes reports.Recipes
	drawing chan struct{} // bounds how many pages are made at a time
}

// Bounds on what a reader may ask of the server.
const (
	maxDrawing  = 4        // pages that are made at a time
	maxWatchers = 256      // pages that are open
	maxResponse = 64 << 20 // bytes of an answer
	maxQuery    = 16 << 10 // bytes of an address
)

// New returns a server for a folder of runs. The folder may be empty or not exist yet.
func New(o Options) *Server {
	l := newLibrary(o.Store)
	return &Server{Options: o, library: l, watcher: newWatcher(l), drawing: make(chan struct{}, maxDrawing)}
}

// Handler returns the handler of all pages.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, page := range map[string]func(*answer) error{
		"GET /{$}":                                 s.studies,
		"GET /study/{study}":                       s.study,
		"GET /study/{study}/classes":               s.classes,
		"GET /study/{study}/{file}":                s.download,
		"GET /run/{study}/{variant}/{seed}":        s.run,
		"GET /runs":                                s.runs,
		"GET /runs.csv":                            s.runsCSV,
		"GET /compare":                             s.compare,
		"GET /ledger":                              s.ledger,
		"GET /assets/{file}":                       asset,
		"GET /events":                              s.events,
		"POST /study/{study}/notes":                s.note,
		"POST /run/{study}/{variant}/{seed}/notes": s.note,
	} {
		mux.HandleFunc(pattern, s.answering(page))
	}
	mux.HandleFunc("/", s.answering(func(*answer) error { return errNotFound }))
	return s.guard(mux)
}

// Serve responds on a listener until the context is done. It returns the error that stopped it earlier, if any.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ReadTimeout: 30 * time.Second, MaxHeaderBytes: 1 << 16,
	}
	var ended sync.WaitGroup
	stop := context.AfterFunc(ctx, func() {
		ended.Add(1)
		defer ended.Done()
		s.watcher.close() // open pages wait on it
		patience, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if server.Shutdown(patience) != nil {
			server.Close()
		}
	})
	defer stop()
	err := server.Serve(l)
	ended.Wait()
	s.watcher.close()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
