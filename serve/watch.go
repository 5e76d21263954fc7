package serve

import (
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"ablate/experiments"
)

// How often the folder is looked at while a page is open.
const (
	pollEvery  = time.Second             // where nobody tells of changes: a network file system, or no watches left
	checkEvery = 1500 * time.Millisecond // where the system does: what it is not asked about, or forgets to tell
	settle     = 300 * time.Millisecond
)

// maxFolders bounds how many folders the system is asked to watch; beyond it the folder is polled.
const maxFolders = 4096

// A watcher tells open pages that the folder has changed. It looks at nothing while no page is open.
type watcher struct {
	library *library

	mu      sync.Mutex
	readers map[*reader]bool
	stop    chan struct{} // ends the loop; nil while there is none
	closed  bool
	done    chan struct{} // closed when the server ends
}

// A reader is an open page.
type reader struct {
	version func(*shelf) int64 // of what the page shows
	shown   int64
	news    chan int64
}

func newWatcher(l *library) *watcher {
	return &watcher{library: l, readers: map[*reader]bool{}, done: make(chan struct{})}
}

// join returns a reader, or nil where there are too many. The first one starts the watching.
func (w *watcher) join(version func(*shelf) int64) *reader {
	now := w.library.look()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.readers) >= maxWatchers {
		return nil
	}
	r := &reader{version: version, shown: version(now), news: make(chan int64, 1)}
	w.readers[r] = true
	if w.stop == nil {
		w.stop = make(chan struct{})
		go w.watch(w.stop)
	}
	return r
}

// leave ends a reader; with the last one the watching ends.
func (w *watcher) leave(r *reader) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.readers, r)
	if len(w.readers) == 0 && w.stop != nil {
		close(w.stop)
		w.stop = nil
	}
}

func (w *watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.closed = true
		close(w.done)
		if w.stop != nil {
			close(w.stop)
			w.stop = nil
		}
	}
}

// tell lets each reader know that what its page shows has changed.
func (w *watcher) tell(now *shelf) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := range w.readers {
		v := r.version(now)
		if v == r.shown {
			continue
		}
		r.shown = v
		select {
		case <-r.news: // one that was not taken yet is old
		default:
		}
		r.news <- v
	}
}

// watch looks at the folder whenever the system tells of a change in it, and
// every second where it cannot: a network file system tells of what this host
// writes alone.
func (w *watcher) watch(stop chan struct{}) {
	system := newNotifier(w.library.store.Root)
	defer system.close()
	for {
		now, empty := w.library.rescan()
		w.tell(now)
		every := pollEvery
		if system.follow(w.library.store.Root, now, empty) {
			every = checkEvery
		}
		select {
		case <-stop:
			return
		case <-time.After(every):
		case e := <-system.changed():
			system.forget(e)
			select { // a run that ends writes several files
			case <-stop:
				return
			case <-time.After(settle):
			}
			system.drain()
		}
	}
}

// A notifier is told of changes by the system.
type notifier struct {
	watcher  *fsnotify.Watcher // nil where the folder has to be polled
	followed map[string]bool
}

func newNotifier(root string) *notifier {
	n := &notifier{followed: map[string]bool{}}
	if !experiments.IsNetwork(root) {
		n.watcher, _ = fsnotify.NewWatcher() // without one, the folder is polled
	}
	return n
}

// follow has the system watch the folders in which something can happen, and says
// whether it does: those of studies and variants, of runs that are not done, and those without a record yet.
func (n *notifier) follow(root string, now *shelf, empty []string) bool {
	if n.watcher == nil {
		return false
	}
	wanted := map[string]bool{root: true}
	for _, s := range now.studies {
		wanted[filepath.Join(root, s.name)] = true
		for _, r := range s.runs {
			wanted[filepath.Dir(r.dir)] = true
			if r.broken != "" || !r.record.Status.Final() {
				wanted[r.dir] = true
			}
		}
	}
	for _, dir := range empty {
		wanted[dir] = true
	}
	if len(wanted) > maxFolders {
		n.close()
		return false
	}
	for dir := range n.followed {
		if !wanted[dir] {
			n.watcher.Remove(dir) // its folder may be gone, and the watch with it
			delete(n.followed, dir)
		}
	}
	all := true
	for dir := range wanted {
		if n.followed[dir] {
			continue
		}
		if n.watcher.Add(dir) != nil {
			all = false // gone meanwhile, or no watches left
			continue
		}
		n.followed[dir] = true
	}
	return all
}

func (n *notifier) changed() <-chan fsnotify.Event {
	if n.watcher == nil {
		return nil
	}
	return n.watcher.Events
}

// drain takes what has come meanwhile.
func (n *notifier) drain() {
	for n.watcher != nil {
		select {
		case e, open := <-n.watcher.Events:
			if !open {
				return
			}
			n.forget(e)
		case <-n.watcher.Errors:
		default:
			return
		}
	}
}

// forget drops a folder that is gone, and its watch with it: one of the same name may come.
func (n *notifier) forget(e fsnotify.Event) {
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		delete(n.followed, e.Name)
	}
}

func (n *notifier) close() {
	if n.watcher != nil {
		n.watcher.Close()
		n.watcher = nil
	}
}
