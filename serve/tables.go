package serve

import (
	"cmp"
	"fmt"
	"sync"

	"ablate/experiments"
	"ablate/reports"
)

// tables caches comparisons by the reader's choices, and drawings of them by study and address.
type tables struct {
	mu    sync.Mutex
	kept  map[string]*table
	views map[string]*view
}

// A table is a study's comparison at one version of its records.
type table struct {
	once          sync.Once
	records, logs int64
	read          bool // logs were read for it
	comparison    *reports.Comparison
	err           error
}

// make makes the comparison once, for the first caller.
func (t *table) make(s *Server, of *study, q ask) *table {
	t.once.Do(func() { t.comparison, t.err = s.makeTable(of, q, &t.read) })
	return t
}

// fits reports whether everything behind the comparison is unchanged.
func (t *table) fits(of *study) bool {
	return t.records == of.records && (!t.read || t.logs == of.logs)
}

// maxTables bounds how many comparisons are kept.
const maxTables = 128

// An ask holds a reader's choices for a study's table. Empty fields mean what the study declares.
type ask struct{ metric, at, shape string }

func (s *Server) compareStudy(of *study, q ask) (*reports.Comparison, error) {
	t := s.tableOf(of, q)
	return t.comparison, t.err
}

// tableOf makes a study's comparison, or returns the earlier one if nothing behind it has changed.
func (s *Server) tableOf(of *study, q ask) *table {
	key := fmt.Sprintf("%q", []string{of.name, q.metric, q.at, q.shape})
	s.tables.mu.Lock()
	t := s.tables.kept[key]
	s.tables.mu.Unlock()
	if t == nil || !t.make(s, of, q).fits(of) {
		t = s.tables.put(key, &table{records: of.records, logs: of.logs}).make(s, of, q)
	}
	return t
}

// put stores a table, unless another request has stored one of the same version meanwhile.
func (t *tables) put(key string, next *table) *table {
	t.mu.Lock()
	defer t.mu.Unlock()
	if was := t.kept[key]; was != nil && was.records == next.records && was.logs == next.logs {
		return was
	}
	if t.kept == nil || len(t.kept) >= maxTables {
		t.kept = map[string]*table{}
	}
	t.kept[key] = next
	return next
}

// makeTable makes a comparison, and reports in read whether it read logs.
func (s *Server) makeTable(of *study, q ask, read *bool) (*reports.Comparison, error) {
	o, err := s.Table(of.name)
	if err != nil {
		return nil, err
	}
	if q.metric != "" {
		o.Metric = q.metric
	}
	if q.at != "" {
		if o.At, err = reports.ParseAt(q.at); err != nil {
			return nil, err
		}
	}
	o.Shape, o.Speed, o.Recipes = reports.Shape(q.shape), true, &s.recipes
	o.Metrics = func(r experiments.Record) ([]experiments.Metric, error) {
		*read = true
		return s.seriesOf(of, r)
	}
	o.Predictions = func(r experiments.Record) ([]experiments.Prediction, error) { return s.predictions(of, r) }
	return reports.Table(of.name, of.whole(), o)
}

// seriesOf reads the log of a study's record.
func (s *Server) seriesOf(of *study, r experiments.Record) ([]experiments.Metric, error) {
	run := of.find(r.Variant, r.Seed)
	if run == nil {
		return nil, errNotFound
	}
	return s.library.series(run)
}

func (s *Server) predictions(of *study, r experiments.Record) ([]experiments.Prediction, error) {
	run := of.find(r.Variant, r.Seed)
	if run == nil {
		return nil, errNotFound
	}
	path := experiments.PredictionsPath(run.dir)
	if err := s.library.confined(path); err != nil {
		return nil, err
	}
	return experiments.ReadPredictions(path)
}

func (s *Server) filters(r experiments.Record) (a, b experiments.Tensor, err error) {
	dir, err := s.Store.FindFolder(fmt.Sprintf("%s/%s/%d", r.Study, r.Variant, r.Seed))
	if err == nil {
		err = s.library.confined(experiments.FiltersPath(dir))
	}
	if err != nil {
		return a, b, err
	}
	return s.Store.Filters(r)
}

func (s *Server) times(r experiments.Record) (t experiments.Times, err error) {
	dir, err := s.Store.FindFolder(fmt.Sprintf("%s/%s/%d", r.Study, r.Variant, r.Seed))
	if err == nil {
		err = s.library.confined(experiments.TimesPath(dir))
	}
	if err != nil {
		return t, err
	}
	return s.Store.Times(r)
}

func (s *Server) features(r experiments.Record) (f experiments.Features, err error) {
	dir, err := s.Store.FindFolder(fmt.Sprintf("%s/%s/%d", r.Study, r.Variant, r.Seed))
	if err == nil {
		err = cmp.Or(s.library.confined(experiments.FeaturesPath(dir)), s.library.confined(experiments.PicturesPath(dir)))
	}
	if err != nil {
		return f, err
	}
	return experiments.ReadFeatures(dir)
}
