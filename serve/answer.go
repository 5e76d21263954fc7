package serve

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"ablate/experiments"
	"ablate/experiments/query"
	"ablate/reports"
	"ablate/reports/page"
)

//go:embed pages
var files embed.FS

var layout = template.Must(page.Sections().Funcs(template.FuncMap{
	"study": studyURL, "run": runURL, "at": at, "age": age, "link": link, "join": join,
}).ParseFS(files, "pages/*.html"))

// An answer is a request together with the response to it.
type answer struct {
	http.ResponseWriter
	request *http.Request
	query   url.Values
	has     map[string]string // digests of the parts that the requesting page already has
	now     *shelf
	sent    int
	err     error // the error of writing to a reader that has gone
}

// Errors that a reader can correct.
var (
	errNotFound = errors.New("there is no such page")
	errQuery    = errors.New("the address asks for what there is not")
)

// answering makes a handler of a page. It adds bounds, error pages and one look at the disk.
func (s *Server) answering(page func(*answer) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := &answer{ResponseWriter: w, request: r, has: partsOf(r.Header.Get(hasHeader))}
		var err error
		if len(r.URL.RawQuery) > maxQuery {
			a.refuse(http.StatusRequestURITooLong, fmt.Errorf("%w: it is longer than %d bytes", errQuery, maxQuery))
			return
		}
		if a.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
			a.refuse(http.StatusBadRequest, fmt.Errorf("%w: %w", errQuery, err))
			return
		}
		if r.URL.Path != "/events" && !strings.HasPrefix(r.URL.Path, "/assets/") {
			select {
			case s.drawing <- struct{}{}:
				defer func() { <-s.drawing }()
			case <-r.Context().Done():
				return
			}
			a.now = s.library.look()
			w.Header().Set("Cache-Control", "no-store")
		}
		switch err := page(a); {
		case err == nil:
		case errors.Is(err, errNotFound):
			a.refuse(http.StatusNotFound, err)
		case errors.Is(err, errReadOnly):
			a.refuse(http.StatusForbidden, err)
		case errors.Is(err, errQuery), errors.Is(err, reports.ErrOption), errors.Is(err, reports.ErrFormat),
			errors.Is(err, experiments.ErrNote), errors.Is(err, query.ErrQuery):
			a.refuse(http.StatusBadRequest, err)
		default:
			a.refuse(http.StatusInternalServerError, err)
		}
	}
}

// refuse shows an error. If a part of the page has been sent, the error follows below it.
func (a *answer) refuse(status int, err error) {
	if a.sent > 0 {
		a.show("refused", err.Error())
		return
	}
	a.Header().Set("Content-Type", "text/html; charset=utf-8")
	a.Header().Del("Content-Disposition")
	a.WriteHeader(status)
	title := http.StatusText(status)
	a.show("head", head{Title: title})
	a.show("refused", err.Error())
	a.show("foot", nil)
}

// A head holds what a page's frame shows.
type head struct {
	Title, Here string
	Events      string // the parameter for /events; empty for a page without live updates
	Version     string
}

// show writes a template of a page.
func (a *answer) show(piece string, data any) error {
	text, err := drawn(piece, data)
	if err != nil {
		return err
	}
	return a.write(thin(text, a.has))
}

// drawn returns a template of a page, filled in.
func drawn(piece string, data any) ([]byte, error) {
	var b bytes.Buffer
	if err := layout.ExecuteTemplate(&b, piece, data); err != nil {
		return nil, fmt.Errorf("page %s: %w", piece, err)
	}
	return b.Bytes(), nil
}

// write sends bytes, up to the longest allowed answer.
func (a *answer) write(text []byte) error {
	if a.sent += len(text); a.sent > maxResponse {
		return fmt.Errorf("the answer is longer than %d bytes; ask for less", maxResponse)
	}
	// Whoever reads too slowly is cut off; what they hold up would otherwise wait for ever.
	http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(30 * time.Second))
	_, a.err = a.ResponseWriter.Write(text)
	return nil // a reader that has gone is not the page's error
}

// flush sends what was written so far, so that the reader sees it while the rest is made.
func (a *answer) flush() { http.NewResponseController(a.ResponseWriter).Flush() }

// begin writes a page's frame down to its heading.
func (a *answer) begin(h head) error {
	a.Header().Set("Content-Type", "text/html; charset=utf-8")
	if v := a.versionOf(h.Events); v != 0 {
		h.Version = fmt.Sprint(v)
	}
	return a.show("head", h)
}

// end closes the frame.
func (a *answer) end() error { return a.show("foot", nil) }

// whole writes a complete page.
func (a *answer) whole(h head, part string, data any) error {
	return cmp.Or(a.begin(h), a.show(part, data), a.end())
}

// theStudy returns the study that the address names.
func (a *answer) theStudy() (*study, error) {
	s := a.now.byName[a.request.PathValue("study")]
	if s == nil {
		return nil, fmt.Errorf("%w: no study %q", errNotFound, a.request.PathValue("study"))
	}
	return s, nil
}

// choice returns a parameter that must be one of some words. Without the parameter it returns the first word.
func (a *answer) choice(name string, words ...string) (string, error) {
	v := a.query.Get(name)
	if v == "" {
		return words[0], nil
	}
	if !slices.Contains(words, v) {
		return "", fmt.Errorf("%w: %s=%.40q; want one of %s", errQuery, name, v, strings.Join(words, ", "))
	}
	return v, nil
}

// many returns the values of a parameter that may be repeated, or hold several values separated by commas.
func many(q url.Values, name string) []string {
	var all []string
	for _, v := range q[name] {
		if v = strings.TrimSpace(v); v != "" && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// link returns an address with some parameters replaced: pairs of a name and a value. An empty value removes its
// parameter.
func link(path string, q url.Values, pairs ...string) string {
	changed := url.Values{}
	for name, values := range q {
		changed[name] = values
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			changed.Del(pairs[i])
		} else {
			changed.Set(pairs[i], pairs[i+1])
		}
	}
	if len(changed) == 0 {
		return path
	}
	return path + "?" + changed.Encode()
}

func studyURL(name string) string { return "/study/" + url.PathEscape(name) }

func runURL(study, variant string, seed uint64) string {
	return fmt.Sprintf("/run/%s/%s/%d", url.PathEscape(study), url.PathEscape(variant), seed)
}

// at writes a time in this machine's time zone.
func at(t time.Time) string {
	if t.IsZero() {
		return reports.None
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// age writes a duration without the digits that nobody reads: 36s, 12m, 3h05m, 2d04h.
func age(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d >= time.Second:
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}

func join(words []string) string { return strings.Join(words, ", ") }

// share returns a part of a whole in percent, for <progress>.
func share(part, whole int) int {
	if whole <= 0 {
		return 0
	}
	return min(100, 100*part/whole)
}

// asset responds with the style sheet or the script.
func asset(a *answer) error {
	a.Header().Set("Cache-Control", "no-cache")
	switch a.request.PathValue("file") {
	case "style.css":
		a.Header().Set("Content-Type", "text/css; charset=utf-8")
		own, err := files.ReadFile("pages/live.css")
		if err != nil {
			return err
		}
		return a.write(append([]byte(page.Style()), own...))
	case "live.js":
		a.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		script, err := files.ReadFile("pages/live.js")
		if err != nil {
			return err
		}
		return a.write(append(script, page.Script()...))
	}
	return errNotFound
}
