package importer

import (
	"ablate/experiments"
)

// A Tally counts what an import did.
type Tally struct{ Written, Same int }

// Write keeps a study's runs as records. What is there already with the same figures is left as it is; anything
// else in its place is an error, before which whole runs may have been written: the same import goes on.
func (s *Study) Write(store *experiments.Store) (Tally, error) {
	var t Tally
	for _, r := range s.Records {
		if err := store.Importable(r); err != nil {
			return t, err
		}
	}
	if _, err := store.Declare(s.Declaration); err != nil {
		return t, err
	}
	for _, r := range s.Records {
		log, err := s.Metrics(r)
		if err != nil {
			return t, err
		}
		written, err := store.Import(r, log)
		if err != nil {
			return t, err
		}
		if written {
			t.Written++
		} else {
			t.Same++
		}
	}
	return t, nil
}
