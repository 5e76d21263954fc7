// Package index lists runs quickly. It keeps a SQLite file beside the runs' folders with the
// contents of their records. The folders are the truth: the file is brought up to date before every
// use, and can be deleted at any time.
package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver" // database/sql's "sqlite3"

	"ablate/experiments"
)

// File is the index's name in the folder of runs.
const File = "index.sqlite"

// An Entry is a run in a listing. Missing numbers are nil.
type Entry struct {
	Study     string              `json:"study"`
	Variant   string              `json:"variant"`
	Seed      uint64              `json:"seed"`
	Dir       string              `json:"dir"`
	Status    experiments.Status  `json:"status"`
	Attempts  int                 `json:"attempts"`
	Started   time.Time           `json:"started"` // start of the first attempt
	Ended     time.Time           `json:"ended,omitzero"`
	Epochs    *int                `json:"epochs,omitempty"`
	Top1Error *experiments.Number `json:"top1_error,omitempty"`
	Hardware  string              `json:"hardware"`
	Commit    string              `json:"commit,omitempty"`
	Identity  string              `json:"identity"`
	Weights   string              `json:"weights_sha256,omitempty"`
	Error     string              `json:"error,omitempty"`
}

// schema is version 1 of the index. stamp changes whenever run.json does.
const schema = `
CREATE TABLE IF NOT EXISTS runs (
	dir TEXT PRIMARY KEY, stamp TEXT NOT NULL,
	study TEXT NOT NULL, variant TEXT NOT NULL, seed TEXT NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL,
	started TEXT NOT NULL, ended TEXT NOT NULL, epochs INTEGER, top1_error REAL,
	hardware TEXT NOT NULL, commit_hash TEXT NOT NULL, identity TEXT NOT NULL, weights TEXT NOT NULL, error TEXT NOT NULL
) STRICT;
PRAGMA user_version = 1;`

// List brings the index up to date and lists runs by study, variant and seed. It returns the errors
// of records that cannot be read as problems. A damaged index is rebuilt. If it cannot be written,
// for example on a full disk, or should not be, on a network file system, it is made in memory.
func List(ctx context.Context, store *experiments.Store, f Filter, rebuild bool) ([]Entry, []error, error) {
	if path := place(store); path != memory {
		// One process at a time: otherwise another one's rebuilding would delete the file under
		// this one.
		release, err := store.Guard()
		if err != nil {
			return nil, nil, err
		}
		defer release()
		if rebuild {
			remove(path)
		}
		runs, problems, err := list(ctx, store, path, f)
		if err != nil && remove(path) == nil {
			runs, problems, err = list(ctx, store, path, f)
		}
		if err == nil || ctx.Err() != nil {
			return runs, problems, err
		}
	}
	return list(ctx, store, memory, f)
}

func list(ctx context.Context, store *experiments.Store, path string, f Filter) ([]Entry, []error, error) {
	x, err := open(ctx, store, path)
	if err != nil {
		return nil, nil, err
	}
	defer x.close()
	problems, err := x.refresh(ctx)
	if err != nil {
		return nil, problems, err
	}
	runs, err := x.runs(ctx, f)
	return runs, problems, err
}

// memory is SQLite's name for a database without a file.
const memory = ":memory:"

// place returns where a store's index is kept. If there is nothing to list, no file is made.
func place(store *experiments.Store) string {
	info, err := os.Stat(store.Root)
	if err != nil || !info.IsDir() {
		return memory
	}
	// SQLite's locks do not hold across the hosts of a network file system (sqlite.org/howtocorrupt.html, 2.1).
	if experiments.IsNetwork(store.Root) {
		return memory
	}
	return filepath.Join(store.Root, File)
}

func remove(path string) error {
	for _, p := range []string{path + "-journal", path} {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("rebuild the index: %w", err)
		}
	}
	return nil
}

// An index is an open database.
type index struct {
	db    *sql.DB
	store *experiments.Store
}

// patience is how long a process waits for another one that writes the index.
const patience = 30 * time.Second

func open(ctx context.Context, store *experiments.Store, path string) (*index, error) {
	name := (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
	db, err := sql.Open("sqlite3", fmt.Sprintf("file:%s?_pragma=busy_timeout(%d)&_txlock=immediate", name,
		patience.Milliseconds()))
	if err != nil {
		return nil, fmt.Errorf("open the index: %w", err)
	}
	db.SetMaxOpenConns(1) // in memory, every connection would be a separate database
	x := &index{db: db, store: store}
	if err := x.prepare(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("open the index %s: %w", path, err)
	}
	return x, nil
}

// prepare makes the table in a new file, and refuses a file of another version.
func (x *index) prepare(ctx context.Context) error {
	var version int
	if err := x.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch version {
	case 0:
		_, err := x.db.ExecContext(ctx, schema)
		return err
	case 1:
		_, err := x.db.ExecContext(ctx, "SELECT dir, stamp, weights, error FROM runs LIMIT 1")
		return err
	}
	return fmt.Errorf("version %d, this ablate writes 1", version)
}

func (x *index) close() error { return x.db.Close() }

// refresh reads new and changed records and removes the entries of deleted ones. It returns the
// errors of records that cannot be read as problems.
func (x *index) refresh(ctx context.Context) (problems []error, err error) {
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("refresh the index: %w", err)
	}
	defer tx.Rollback() // after a commit it does nothing
	known, err := stamps(ctx, tx)
	if err != nil {
		return nil, err
	}
	folders, problems := x.store.Folders()
	for _, dir := range folders {
		rel, err := filepath.Rel(x.store.Root, dir)
		if err != nil {
			return problems, err
		}
		key := filepath.ToSlash(rel)
		stamp, ok := stampOf(dir)
		if !ok { // no record yet
			continue
		}
		if known[key] == stamp {
			delete(known, key)
			continue
		}
		rec, err := experiments.ReadRecord(dir)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if err := put(ctx, tx, key, stamp, rec); err != nil {
			return problems, err
		}
		delete(known, key)
	}
	for key := range known {
		if _, err := tx.ExecContext(ctx, "DELETE FROM runs WHERE dir = ?", key); err != nil {
			return problems, err
		}
	}
	return problems, tx.Commit()
}

func stamps(ctx context.Context, tx *sql.Tx) (map[string]string, error) {
	rows, err := tx.QueryContext(ctx, "SELECT dir, stamp FROM runs")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	known := map[string]string{}
	for rows.Next() {
		var dir, stamp string
		if err := rows.Scan(&dir, &stamp); err != nil {
			return nil, err
		}
		known[dir] = stamp
	}
	return known, rows.Err()
}

// stampOf returns a string that changes whenever a record is replaced. Times alone do not suffice:
// a clock can go back, and two writes can happen within one tick.
func stampOf(dir string) (string, bool) {
	info, err := os.Stat(experiments.RecordPath(dir))
	if err != nil {
		return "", false
	}
	return fmt.Sprint(info.ModTime().UnixNano(), "/", info.Size(), "/", fileNumber(info)), true
}

func put(ctx context.Context, tx *sql.Tx, dir, stamp string, r experiments.Record) error {
	var first, last experiments.Attempt
	if n := len(r.Attempts); n > 0 {
		first, last = r.Attempts[0], r.Attempts[n-1]
	}
	var epochs, top1, weights any = nil, nil, ""
	if r.Result != nil {
		epochs, top1, weights = r.Result.Epochs, float64(r.Result.Top1Error), r.Result.WeightsSHA256
	}
	_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO runs VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		dir, stamp, r.Study, r.Variant, fmt.Sprint(r.Seed), string(r.Status), len(r.Attempts),
		first.Started.Format(time.RFC3339Nano), last.Ended.Format(time.RFC3339Nano), epochs, top1,
		last.Hardware, last.Commit, r.Identity, weights, r.Error)
	if err != nil {
		return fmt.Errorf("index %s: %w", dir, err)
	}
	return nil
}

// A Filter selects runs; an empty field selects all.
type Filter struct {
	Study  string
	Status experiments.Status
}

// runs lists runs by study, variant and seed.
func (x *index) runs(ctx context.Context, f Filter) ([]Entry, error) {
	rows, err := x.db.QueryContext(ctx, `SELECT dir, study, variant, seed, status, attempts, started, ended, epochs,
		top1_error, hardware, commit_hash, identity, weights, error FROM runs
		WHERE (?1 = '' OR study = ?1) AND (?2 = '' OR status = ?2)
		ORDER BY study, variant, length(seed), seed`, f.Study, string(f.Status))
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	defer rows.Close()
	var list []Entry
	for rows.Next() {
		var e Entry
		var seed, started, ended string
		err := rows.Scan(&e.Dir, &e.Study, &e.Variant, &seed, &e.Status, &e.Attempts, &started, &ended, &e.Epochs,
			&e.Top1Error, &e.Hardware, &e.Commit, &e.Identity, &e.Weights, &e.Error)
		if err != nil {
			return nil, fmt.Errorf("list runs: %w", err)
		}
		if _, err := fmt.Sscan(seed, &e.Seed); err != nil {
			return nil, fmt.Errorf("list runs: seed %q: %w", seed, err)
		}
		if e.Started, err = time.Parse(time.RFC3339Nano, started); err == nil {
			e.Ended, err = time.Parse(time.RFC3339Nano, ended)
		}
		if err != nil {
			return nil, fmt.Errorf("list runs: %w", err)
		}
		list = append(list, e)
	}
	return list, rows.Err()
}
