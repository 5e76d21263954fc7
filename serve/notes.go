package serve

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"

	"ablate/experiments"
)

// notes holds the tags and notes that a page shows.
type notes struct {
	experiments.Notes
	Study  []string // tags on a run's study
	Action string   // address to which forms are sent
	Write  bool
}

// errReadOnly is the error for a write that the server was not started to allow.
var errReadOnly = errors.New("this server only reads; ablate serve --write takes notes and tags")

// maxForm bounds the size of a form, in bytes: a note of 10,000 characters, escaped.
const maxForm = 128 << 10

// note adds a note and a tag to a run or a study, or removes a tag.
func (s *Server) note(a *answer) error {
	if !s.Write {
		return errReadOnly
	}
	of, err := a.theStudy()
	if err != nil {
		return err
	}
	dir := s.Store.Study(of.name)
	if variant := a.request.PathValue("variant"); variant != "" {
		seed, err := strconv.ParseUint(a.request.PathValue("seed"), 10, 64)
		r := of.find(variant, seed)
		if err != nil || r == nil {
			return fmt.Errorf("%w: no run %s/%s/%s", errNotFound, of.name, variant, a.request.PathValue("seed"))
		}
		dir = r.dir
	}
	if err := s.library.confined(dir); err != nil {
		return err
	}
	if err := s.library.confined(experiments.NotesPath(dir)); err != nil {
		return err
	}
	a.request.Body = http.MaxBytesReader(a.ResponseWriter, a.request.Body, maxForm)
	if err := a.request.ParseForm(); err != nil {
		return fmt.Errorf("%w: %w", errQuery, err)
	}
	said, tag := strings.TrimSpace(a.request.PostForm.Get("note")), strings.TrimSpace(a.request.PostForm.Get("tag"))
	err = experiments.ChangeNotes(dir, func(n *experiments.Notes) error {
		if a.request.PostForm.Get("do") == "untag" {
			if !n.Untag(tag) {
				return fmt.Errorf("%w: there is no tag %.100q", errQuery, tag)
			}
			return nil
		}
		if said == "" && tag == "" {
			return fmt.Errorf("%w: neither a note nor a tag", errQuery)
		}
		if said != "" {
			if err := n.Say(said); err != nil {
				return err
			}
		}
		if tag != "" {
			return n.Tag(tag)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.watcher.tell(first(s.library.rescan()))
	// Back to the page that holds the note, by the server's own path, whatever the address began with.
	http.Redirect(a.ResponseWriter, a.request, path.Dir(a.request.URL.EscapedPath()), http.StatusSeeOther)
	return nil
}

func first(now *shelf, _ []string) *shelf { return now }
