package serve

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ablate/experiments"
)

// A library holds what is known of a folder of runs. It is read incrementally: files that have not changed on disk are
// not read again.
type library struct {
	store *experiments.Store
	logs  logs

	mu          sync.Mutex // one scan at a time
	scanned     time.Time
	folders     map[string]*folder
	runs        map[string]*run // by folder
	recipes     map[string]*sharedRecipe
	provenances map[string][]*experiments.Provenance
	versions    int64
	empty       []string // folders of variants, and of runs without a record

	now atomic.Pointer[shelf]
}

// A shelf is the library at one moment. It is immutable.
type shelf struct {
	version int64
	studies []*study // by name
	byName  map[string]*study
	problem string // why the folder cannot be read
}

// A study holds what is on disk for one study.
type study struct {
	name     string
	declared experiments.Declaration
	problem  string // why its declaration, its notes or its folder cannot be read
	notes    experiments.Notes
	runs     []*run // by variant and seed
	records  int64  // version of the records
	logs     int64  // version of the records and the logs
}

// A run holds what is on disk for one run.
type run struct {
	study, variant string
	seed           uint64
	dir            string
	record         experiments.Record
	recipe         *sharedRecipe
	broken         string // why it cannot be read
	stamp, log     stamp  // of run.json, and of metrics.jsonl while the run is not finished
	said           stamp  // of notes.json
	notes          experiments.Notes
	version        int64
	progress       progress
}

// A stamp identifies a version of a file.
type stamp struct {
	size     int64
	modified time.Time
}

func newLibrary(store *experiments.Store) *library {
	l := &library{
		store: store, folders: map[string]*folder{}, runs: map[string]*run{}, recipes: map[string]*sharedRecipe{},
		provenances: map[string][]*experiments.Provenance{},
	}
	l.now.Store(&shelf{byName: map[string]*study{}})
	return l
}

// fresh is how old a look at the disk may be when a page is requested.
const fresh = 500 * time.Millisecond

// look returns the library as it is on disk, or was at most fresh ago.
func (l *library) look() *shelf {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.scanned) > fresh {
		l.scan()
	}
	return l.now.Load()
}

// rescan looks at the whole folder. It also returns the folders in which a run may start.
func (l *library) rescan() (now *shelf, empty []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scan()
	return l.now.Load(), slices.Clone(l.empty)
}

// A folder is a listing read earlier.
type folder struct {
	modified, read time.Time
	entries        []fs.DirEntry
}

// list lists a folder, from memory if the folder's modification time is unchanged. A change within the same tick of the
// file system's clock would not show, so a folder that changed just before it was read is read again.
func (l *library) list(dir string) ([]fs.DirEntry, error) {
	info, err := os.Stat(dir)
	if err != nil {
		delete(l.folders, dir)
		return nil, err
	}
	const tick = 3 * time.Second
	if f := l.folders[dir]; f != nil && f.modified.Equal(info.ModTime()) && f.read.Sub(f.modified) > tick {
		return f.entries, nil
	}
	now := time.Now()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	l.folders[dir] = &folder{info.ModTime(), now, entries}
	return entries, nil
}

// errOutside is the error for a symbolic link that leads out of the folder of runs.
var errOutside = errors.New("a symbolic link that leads out of the folder of runs; it is not followed")

// confined refuses a path whose last part is a symbolic link out of the folder.
func (l *library) confined(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return nil // whoever reads a missing path reports it
	}
	root, err := filepath.EvalSymlinks(l.store.Root)
	if err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(root, real); err != nil || !filepath.IsLocal(rel) {
		return fmt.Errorf("%s: %w", path, errOutside)
	}
	return nil
}

// A found is a folder that the scan found.
type found struct {
	study, variant string
	seed           uint64
	dir            string
	broken         error
}

// scan looks at the whole folder.
func (l *library) scan() {
	problem := ""
	l.empty = l.empty[:0]
	studies := map[string]*study{}
	var all []found
	entries, err := l.list(l.store.Root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		problem = err.Error()
	}
	for _, e := range entries {
		dir := filepath.Join(l.store.Root, e.Name())
		if !isFolder(dir, e) {
			continue
		}
		s := &study{name: e.Name()}
		studies[s.name] = s
		if err := l.confined(dir); err != nil {
			s.problem = err.Error()
			continue
		}
		s.declared, err = l.declaration(s.name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.problem = err.Error()
		}
		if s.notes, err = l.readNotes(dir); err != nil {
			s.problem = err.Error()
		}
		all = append(all, l.runFolders(s, dir)...)
	}
	l.read(all)
	for _, f := range all {
		s := studies[f.study]
		if r := l.runs[f.dir]; r != nil {
			s.runs = append(s.runs, r)
		} else {
			l.empty = append(l.empty, f.dir)
		}
	}
	l.publish(studies, problem)
	l.scanned = time.Now()
}

// isFolder reports whether an entry is a folder, or a link to one.
func isFolder(path string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink != 0 {
		info, err := os.Stat(path)
		return err == nil && info.IsDir()
	}
	return e.IsDir()
}

// runFolders lists the folders VARIANT/seed-N of a study.
func (l *library) runFolders(s *study, dir string) []found {
	var all []found
	variants, err := l.list(dir)
	if err != nil {
		s.problem = err.Error()
	}
	for _, v := range variants {
		path := filepath.Join(dir, v.Name())
		if !isFolder(path, v) {
			continue
		}
		outside := l.confined(path)
		if outside != nil {
			s.problem = outside.Error()
			continue
		}
		l.empty = append(l.empty, path)
		runs, err := l.list(path)
		if err != nil {
			s.problem = err.Error()
		}
		for _, r := range runs {
			number, ok := strings.CutPrefix(r.Name(), "seed-")
			seed, err := strconv.ParseUint(number, 10, 64)
			at := filepath.Join(path, r.Name())
			if !ok || err != nil || number != strconv.FormatUint(seed, 10) || !isFolder(at, r) {
				continue
			}
			all = append(all, found{study: s.name, variant: v.Name(), seed: seed, dir: at, broken: l.confined(at)})
		}
	}
	return all
}

// declaration reads a study's declaration.
func (l *library) declaration(name string) (experiments.Declaration, error) {
	path := experiments.DeclarationPath(l.store.Study(name))
	if err := l.confined(path); err != nil {
		return experiments.Declaration{}, err
	}
	return l.store.Declaration(name)
}

// read brings the runs in the folders up to date, several at a time.
func (l *library) read(all []found) {
	seen := make(map[string]bool, len(all))
	updated := make([]*run, len(all))
	each(len(all), func(i int) { updated[i] = l.readRun(all[i], l.runs[all[i].dir]) })
	for i, f := range all {
		seen[f.dir] = true
		l.keep(f.dir, updated[i])
	}
	for dir := range l.runs {
		if !seen[dir] {
			delete(l.runs, dir)
			l.logs.forget(dir)
		}
	}
}

// keep stores a run that was read. It keeps one copy of what many records have in common.
func (l *library) keep(dir string, r *run) {
	switch old := l.runs[dir]; {
	case r == nil:
		delete(l.runs, dir) // without a record it is not a run yet
	case r != old:
		if r.recipe == nil {
			l.share(r)
		}
		if r.broken == "" && !r.record.Status.Final() {
			r.progress = l.progress(r)
		}
		l.versions++
		r.version = l.versions
		l.runs[dir] = r
	}
}

// readRun returns the old run if nothing has changed, and nil if there is no record.
func (l *library) readRun(f found, old *run) *run {
	r := &run{study: f.study, variant: f.variant, seed: f.seed, dir: f.dir}
	if f.broken != nil {
		r.spoil(f.broken.Error())
		if old != nil && old.broken == r.broken {
			return old
		}
		return r
	}
	path := experiments.RecordPath(f.dir)
	info, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	r.stamp, r.said = stampOf(info), stampAt(experiments.NotesPath(f.dir))
	if old != nil && old.stamp == r.stamp {
		same := *old
		if old.broken == "" && !old.record.Status.Final() {
			same.log = stampAt(experiments.MetricsPath(f.dir))
		}
		if same.said = r.said; same.said == old.said && same.log == old.log {
			return old
		}
		if same.said != old.said {
			l.note(&same)
		}
		return &same
	}
	r.log = stampAt(experiments.MetricsPath(f.dir))
	l.note(r)
	if err := l.confined(path); err != nil {
		r.spoil(err.Error())
		return r
	}
	if r.record, err = experiments.ReadRecord(f.dir); err != nil {
		r.spoil(err.Error())
	} else if r.record.Study != f.study || r.record.Variant != f.variant || r.record.Seed != f.seed {
		r.spoil(fmt.Sprintf("%s: it is the record of %s/%s/%d", path, r.record.Study, r.record.Variant, r.record.Seed))
	}
	return r
}

// spoil reduces a run to its name and the reason why it cannot be read.
func (r *run) spoil(why string) {
	r.broken = why
	r.record = experiments.Record{Study: r.study, Variant: r.variant, Seed: r.seed, Status: broken, Error: why}
}

// note reads the tags and notes on a run.
func (l *library) note(r *run) {
	notes, err := l.readNotes(r.dir)
	if err != nil {
		notes.Notes = []experiments.Note{{Text: err.Error()}}
	}
	r.notes = notes
}

func (l *library) readNotes(dir string) (experiments.Notes, error) {
	if err := l.confined(experiments.NotesPath(dir)); err != nil {
		return experiments.Notes{}, err
	}
	return experiments.ReadNotes(dir)
}

func stampOf(info fs.FileInfo) stamp { return stamp{info.Size(), info.ModTime()} }

func stampAt(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stampOf(info)
}

// share lets records share one copy of equal recipes and of equal provenance. Ten thousand runs have a handful of
// either.
func (l *library) share(r *run) {
	text := string(r.record.Recipe)
	k := l.recipes[text]
	if k == nil {
		k = newSharedRecipe(r.record.Recipe)
		l.recipes[text] = k
	}
	r.recipe, r.record.Recipe = k, k.text
	p := r.record.Provenance
	if p == nil {
		return
	}
	key := p.Commit + p.Patch + strings.Join(p.Command, " ")
	for _, q := range l.provenances[key] {
		if reflect.DeepEqual(p, q) {
			r.record.Provenance = q
			return
		}
	}
	l.provenances[key] = append(l.provenances[key], p)
}

// publish makes the shelf that pages read. Studies without changes keep their value.
func (l *library) publish(studies map[string]*study, problem string) {
	old := l.now.Load()
	next := &shelf{version: old.version, byName: studies, problem: problem}
	changed := problem != old.problem || len(studies) != len(old.byName)
	for _, s := range studies {
		slices.SortFunc(s.runs, func(a, b *run) int {
			return cmp.Or(strings.Compare(a.variant, b.variant), cmp.Compare(a.seed, b.seed))
		})
		was := old.byName[s.name]
		switch records, logs := s.differs(was); {
		case records:
			l.versions++
			s.records, s.logs = l.versions, l.versions
		case logs:
			l.versions++
			s.records, s.logs = was.records, l.versions
		default:
			next.studies = append(next.studies, was)
			studies[s.name] = was
			continue
		}
		changed = true
		next.studies = append(next.studies, s)
	}
	if !changed {
		return
	}
	slices.SortFunc(next.studies, func(a, b *study) int { return strings.Compare(a.name, b.name) })
	l.versions++
	next.version = l.versions
	l.now.Store(next)
}

// differs reports what has changed since the study was last read.
func (s *study) differs(was *study) (records, logs bool) {
	if was == nil || s.problem != was.problem || len(s.runs) != len(was.runs) ||
		!reflect.DeepEqual(s.declared, was.declared) || !reflect.DeepEqual(s.notes, was.notes) {
		return true, true
	}
	for i, r := range s.runs {
		w := was.runs[i]
		if r.dir != w.dir || r.stamp != w.stamp || r.broken != w.broken {
			return true, true
		}
		logs = logs || r.version != w.version
	}
	return false, logs
}

// find returns a run of the shelf.
func (s *study) find(variant string, seed uint64) *run {
	i, found := slices.BinarySearchFunc(s.runs, run{variant: variant, seed: seed}, func(r *run, wanted run) int {
		return cmp.Or(strings.Compare(r.variant, wanted.variant), cmp.Compare(r.seed, wanted.seed))
	})
	if !found {
		return nil
	}
	return s.runs[i]
}

// whole returns the records that can be read.
func (s *study) whole() []experiments.Record {
	var records []experiments.Record
	for _, r := range s.runs {
		if r.broken == "" {
			records = append(records, r.record)
		}
	}
	return records
}

// sorted returns the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// each calls f with 0 to n−1, several calls at a time.
func each(n int, f func(i int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	workers.Wait()
}
