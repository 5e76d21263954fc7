package experiments

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// notesFile holds what people write about a run or a study. It is separate from run.json, which
// belongs to the process that trains.
const notesFile = "notes.json"

// notesVersion is the version of notes.json.
const notesVersion = 1

// Notes are what people write about a run or a study.
type Notes struct {
	Version int      `json:"version"`
	Tags    []string `json:"tags,omitempty"` // sorted
	Notes   []Note   `json:"notes,omitempty"`
}

// A Note is a remark with its time.
type Note struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Limits on what is kept.
const (
	longestNote = 10_000 // characters
	mostNotes   = 1000
	mostTags    = 100
)

var tagName = regexp.MustCompile(`^[\pL\pN][\pL\pN._+-]{0,99}$`)

// ErrNote reports a note or tag that cannot be kept.
var ErrNote = errors.New("cannot be kept")

// NotesPath returns the path of the notes on a run or a study.
func NotesPath(dir string) string { return filepath.Join(dir, notesFile) }

// ReadNotes reads the notes in the folder of a run or a study; there may be none.
func ReadNotes(dir string) (Notes, error) {
	path := NotesPath(dir)
	text, err := readFile(path, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return Notes{}, nil
	}
	if err != nil {
		return Notes{}, err
	}
	var n Notes
	if err := json.Unmarshal(text, &n); err != nil {
		return Notes{}, fmt.Errorf("%s: %w", path, err)
	}
	if n.Version != notesVersion {
		return Notes{}, fmt.Errorf("%s: version %d; this program reads version %d", path, n.Version, notesVersion)
	}
	return n, nil
}

// ChangeNotes changes the notes in a folder. Processes that do so at the same time wait for each
// other.
func ChangeNotes(dir string, change func(*Notes) error) error {
	release, err := guard(dir)
	if err != nil {
		return err
	}
	defer release()
	n, err := ReadNotes(dir)
	if err != nil {
		return err
	}
	if err := change(&n); err != nil {
		return err
	}
	n.Version = notesVersion
	text, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(NotesPath(dir), append(text, '\n'))
}

// Say adds a note.
func (n *Notes) Say(text string) error {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return fmt.Errorf("an empty note %w", ErrNote)
	case !utf8.ValidString(text):
		return fmt.Errorf("a note that is not UTF-8 %w", ErrNote)
	case utf8.RuneCountInString(text) > longestNote:
		return fmt.Errorf("a note of more than %d characters %w", longestNote, ErrNote)
	case len(n.Notes) >= mostNotes:
		return fmt.Errorf("more than %d notes %w: remove some", mostNotes, ErrNote)
	}
	n.Notes = append(n.Notes, Note{At: now().UTC().Truncate(time.Second), Text: text})
	return nil
}

// Tag adds a tag, unless it is already there.
func (n *Notes) Tag(tag string) error {
	switch {
	case !tagName.MatchString(tag):
		return fmt.Errorf("tag %.100q %w: want letters, digits and . _ + -, at most 100", tag, ErrNote)
	case slices.Contains(n.Tags, tag):
		return nil
	case len(n.Tags) >= mostTags:
		return fmt.Errorf("more than %d tags %w: remove some", mostTags, ErrNote)
	}
	n.Tags = append(n.Tags, tag)
	slices.Sort(n.Tags)
	return nil
}

// Untag removes a tag and reports whether it was there.
func (n *Notes) Untag(tag string) bool {
	i := slices.Index(n.Tags, tag)
	if i < 0 {
		return false
	}
	n.Tags = slices.Delete(n.Tags, i, i+1)
	return true
}

// Notes returns the notes on a run, with the tags of its study.
func (s *Store) Notes(r Record) (Notes, error) {
	dir, err := s.Dir(r)
	if err != nil {
		return Notes{}, err
	}
	n, err := ReadNotes(dir)
	if err != nil {
		return n, err
	}
	study, err := ReadNotes(s.Study(r.Study))
	n.Tags = union(n.Tags, study.Tags)
	slices.Sort(n.Tags)
	return n, err
}

// FindNotes returns the folder of a run or a study with a name.
func (s *Store) FindNotes(name string) (dir string, err error) {
	dir, err = s.Find(name)
	if err == nil {
		return dir, nil
	}
	studies, serr := s.Studies()
	if serr == nil && slices.Contains(studies, filepath.Base(name)) && !strings.ContainsAny(name, `/\`) {
		return s.Study(name), nil
	}
	return "", err
}
