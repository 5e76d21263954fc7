package serve

import (
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"ablate/experiments"
)

// How often the folder is checked while a page is open.
const (
	pollEvery  = time.Second             // where the system reports no changes: a network file system, or no watches left
	checkEvery = 1500 * time.Millisecond // where it does: for what it does not watch or fails to report
	settle     = 300 * time.Millisecond
)

// maxFolders bounds how many folders the system is asked to watch. With more, the folder is polled.
const maxFolders = 4096

// A watcher tells open pages that the folder has changed. It does not check the folder while no page is open.
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
	version func(*shelf) int64 // version of what the page shows
	shown   int64
	news    chan int64
}

func newWatcher(l *library) *watcher {
	return &watcher{library: l, readers: map[*reader]bool{}, done: make(chan struct{})}
}

// join returns a reader, or nil if there are too many. The first reader starts the watching.
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

// leave removes a reader. The last reader stops the watching.
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
		case <-r.news: // a value that was not received yet is outdated
		default:
		}
		r.news <- v
	}
}

// watch checks the folder whenever the system reports a change in it, and every second where it cannot: a network file
// system reports only this host's own changes.
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

// A notifier receives changes from the system.
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

// follow watches the folders in which something can change: those of studies and variants, of runs that are not
// finished, and those without a record yet. It reports whether the system watches all of them.
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
			all = false // removed meanwhile, or no watches left
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

// drain discards the changes that have arrived meanwhile.
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

// forget drops a folder that was removed, and its watch: another folder may get the same name.
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
