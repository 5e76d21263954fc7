package importer

import (
	"ablate/experiments"
)

// A Tally counts the runs that an import wrote, and those it found with the same figures.
type Tally struct{ Written, Same int }

// Write stores a study's runs as records. It leaves records with the same figures as they are. Any other record in a
// run's place is an error, before which some runs may have been written: repeating the import continues it.
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
