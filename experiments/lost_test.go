package experiments

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A run whose figures are deleted, replaced or cut while it trains has lost them:
// it ended as done.
func TestMetricsLost(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"deleted": os.Remove,
		"replaced": func(path string) error {
			return errors.Join(os.Remove(path), os.WriteFile(path, []byte(metricsHead+"\n"), 0o644))
		},
		"cut": func(path string) error { return os.Truncate(path, int64(len(metricsHead)+1)) },
		"appended": func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			_, err = f.WriteString(`{"attempt":9,"epoch":1,"step":1,"name":"other","value":1,"seconds":0}` + "\n")
			return errors.Join(err, f.Close())
		},
	} {
		s := &Store{Root: t.TempDir()}
		r := start(t, s, "a", StartOptions{})
		if err := r.Log(Metric{Epoch: 1, Step: 10, Name: "x", Value: 1}); err != nil {
			t.Fatal(err)
		}
		if err := harm(MetricsPath(r.Dir())); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"log":        r.Log(Metric{Epoch: 2, Step: 20, Name: "x", Value: 1}),
			"checkpoint": r.SaveCheckpoint(checkpointAt(20)),
			"finish":     r.Finish(Done, &Result{}, nil),
		} {
			if !errors.Is(err, ErrLost) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		r.Close()
		if rec, err := ReadRecord(r.Dir()); err != nil || rec.Status != Running {
			t.Errorf("%s: the record says %s, %v", name, rec.Status, err)
		}
		finish(t, start(t, s, "a", StartOptions{})) // from the beginning
	}
}

// Two writers, which there should never be, tear no line.
func TestMetricsAreAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), metricsFile)
	one, err := openMetrics(path)
	if err != nil {
		t.Fatal(err)
	}
	two, err := openMetrics(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 { // past the check that would refuse it
		for _, l := range []*metricsLog{one, two} {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			l.size = info.Size()
			if err := l.append(Metric{Step: int64(i), Name: "x"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if m, err := ReadMetrics(path); err != nil || len(m) != 20 {
		t.Errorf("%d metrics, %v", len(m), err)
	}
}

// A runs folder that is replaced while a study trains is noticed by the next run:
// the rest of the study went into the empty mount point of a disk that was gone.
func TestRunsFolderReplaced(t *testing.T) {
	for name, harm := range map[string]func(root string) error{
		"gone":     func(root string) error { return os.Rename(root, root+".away") },
		"replaced": func(root string) error { return errors.Join(os.Rename(root, root+".away"), os.Mkdir(root, 0o755)) },
		"elsewhere": func(root string) error {
			other := root + ".other"
			return errors.Join(os.Rename(root, root+".away"), os.Mkdir(other, 0o755), os.Symlink(other, root))
		},
	} {
		root := filepath.Join(t.TempDir(), "runs")
		s, err := Open(root)
		if err != nil {
			t.Fatal(err)
		}
		finish(t, start(t, s, "a", StartOptions{}))
		if err := harm(root); err != nil {
			t.Fatal(err)
		}
		rec := record("a")
		rec.Seed++
		if _, err := s.Start(rec, StartOptions{}); !errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", name, err)
		}
		if studies, err := s.Studies(); err != nil || len(studies) > 0 {
			t.Errorf("%s: something was written: %v, %v", name, studies, err)
		}
	}
}

// The folder of a study or a variant may be a link to another disk. Runs were
// trained there, and no listing and no report found them.
func TestLinkedFolders(t *testing.T) {
	for _, link := range []string{"s", filepath.Join("s", "v")} {
		s := &Store{Root: t.TempDir()}
		elsewhere := t.TempDir()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(s.Root, link)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(elsewhere, filepath.Join(s.Root, link)); err != nil {
			t.Skip(err)
		}
		finish(t, start(t, s, "a", StartOptions{}))
		if records, problems := s.Load("s"); len(records) != 1 || len(problems) > 0 {
			t.Errorf("%s: %d records, %v", link, len(records), problems)
		}
		if folders, problems := s.Folders(); len(folders) != 1 || len(problems) > 0 {
			t.Errorf("%s: %v, %v", link, folders, problems)
		}
		start(t, s, "b", StartOptions{Fresh: true}).Close()
		if paths, problems := s.Garbage(); len(paths) != 1 || len(problems) > 0 {
			t.Errorf("%s: %v, %v", link, paths, problems)
		}
	}
}

// A run continues on the images it began with, or not at all.
func TestChangedData(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	with := func(train string) Record {
		rec := record("a")
		rec.Provenance = &Provenance{Data: map[string]string{"train": train, "test": "t"}}
		return rec
	}
	r, err := s.Start(with("one"), StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Finish(Interrupted, nil, nil); err != nil {
		t.Fatal(err)
	}
	r.Close()
	_, err = s.Start(with("two"), StartOptions{})
	if want := "train was one, is two"; !errors.Is(err, ErrData) || !containsAll(err.Error(), r.Dir(), want, "--fresh") {
		t.Errorf("%v", err)
	}
	if rec, err := ReadRecord(r.Dir()); err != nil || rec.Provenance.Data["train"] != "one" || len(rec.Attempts) != 1 {
		t.Errorf("%+v, %v", rec, err)
	}
	if r, err = s.Start(with("one"), StartOptions{}); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if r, err = s.Start(with("two"), StartOptions{Fresh: true}); err != nil {
		t.Fatal(err)
	}
	r.Close()
}
