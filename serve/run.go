package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ablate/experiments"
	"ablate/reports"
	"ablate/reports/page"
)

// A runPage holds what the page of one run shows.
type runPage struct {
	Study, Variant string
	Seed           uint64
	Query          url.Values
	Path           string
	Broken         string
	State          string
	Standing       string
	Percent        int
	Record         experiments.Record
	Facts          []page.Fact
	Choices
	Curves     []figure
	Machine    []figure
	Notes      notes
	LogText    string // the end of log.txt, if LogCut
	LogCut     bool
	Recipe     string
	Changes    []string
	Provenance []page.Fact
	Files      []file
	Filters    []page.FilterSet
	Neighbours []page.Neighbours
	Layers     []page.LayerTable
	Problems   []string
}

// A figure is a picture with a title.
type figure struct {
	Title   string
	Picture template.HTML
}

// A file is a file in a run's folder.
type file struct {
	Name     string
	Size     string
	Modified time.Time
}

// maxLog is how many bytes at the end of log.txt are shown.
const maxLog = 64 << 10

// run shows one run.
func (s *Server) run(a *answer) error {
	of, err := a.theStudy()
	if err != nil {
		return err
	}
	seed, err := strconv.ParseUint(a.request.PathValue("seed"), 10, 64)
	r := of.find(a.request.PathValue("variant"), seed)
	if err != nil || r == nil {
		return fmt.Errorf("%w: no run %s/%s/%s", errNotFound, of.name, a.request.PathValue("variant"),
			a.request.PathValue("seed"))
	}
	name := r.name()
	p := &runPage{
		Study: r.study, Variant: r.variant, Seed: r.seed, Query: a.query, Path: runURL(r.study, r.variant, r.seed),
		Broken: r.broken, State: r.state(), Standing: r.standing(), Record: r.record,
	}
	p.Notes = notes{Notes: r.notes, Study: of.notes.Tags, Action: p.Path + "/notes", Write: s.Write}
	p.Files, err = s.files(r)
	p.problem(err)
	p.LogText, p.LogCut, err = s.tail(experiments.LogPath(r.dir))
	p.problem(err)
	if r.broken == "" {
		if err := s.describeRun(a, r, p); err != nil {
			return err
		}
	}
	return a.whole(head{Title: name, Here: "studies", Events: "run:" + name}, "run", p)
}

func (p *runPage) problem(err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.Problems = append(p.Problems, err.Error())
	}
}

// describeRun fills in the contents of a readable record.
func (s *Server) describeRun(a *answer, r *run, p *runPage) error {
	done, all := r.epochs()
	p.Percent, p.Changes = share(done, all), r.record.Changes
	p.Facts = runFacts(r)
	var text bytes.Buffer
	if json.Indent(&text, r.record.Recipe, "", "  ") == nil {
		p.Recipe = text.String()
	}
	if err := s.drawRun(a, r, p); err != nil {
		return err
	}
	samples, err := s.samples(r)
	p.problem(err)
	p.Machine = drawMachine(samples)
	c := &reports.Comparison{Rows: []reports.Row{{Variant: r.variant}}}
	pictures := page.NewPictures(c, page.Source{
		Records: []experiments.Record{r.record}, Filters: s.filters, Times: s.times, Features: s.features,
	})
	_, p.Layers = pictures.Nets()
	p.Filters = pictures.Filters()
	p.Neighbours = pictures.Neighbours()
	p.Provenance = pictures.Provenance()
	p.Problems = append(p.Problems, pictures.Problems()...)
	return nil
}

// drawRun draws what the run logged. Metrics with the same unit share a picture.
func (s *Server) drawRun(a *answer, r *run, p *runPage) error {
	series, err := s.library.series(r)
	p.problem(err)
	seen := map[string]bool{}
	for _, m := range series {
		seen[m.Name] = true
	}
	p.Choices = curveChoices(a.query, sorted(seen), "")
	chosen, err := s.axes(a)
	if err != nil {
		return err
	}
	kinds := a.now.byName[r.study].declared.Metrics
	for _, group := range grouped(sorted(seen)) {
		axes := ofMetric(chosen, reports.NamedMetric(group[0], kinds, series))
		if a.query.Get("band") == "" {
			axes.Band = page.BandNone
		}
		var curves []page.Curve
		for i, name := range group {
			curves = append(curves, page.Curve{Name: name, Row: i, Metric: name, Logs: [][]experiments.Metric{series}})
		}
		if len(group) > 1 {
			axes.Title = upper(unit(group[0])) + " by " + string(axes.X)
		}
		if picture := page.DrawCurves(curves, axes); picture != "" {
			p.Curves = append(p.Curves, figure{axes.Title, picture})
		}
	}
	return nil
}

// unit returns what the metrics of one picture have in common.
func unit(name string) string {
	for _, ending := range []string{"error", "accuracy", "loss"} {
		if strings.HasSuffix(name, ending) {
			return ending
		}
	}
	return name
}

// grouped groups metrics by unit: errors, losses, and each other metric alone.
func grouped(names []string) [][]string {
	order := []string{"error", "accuracy", "loss"}
	var groups [][]string
	for _, name := range names {
		i := slices.IndexFunc(groups, func(g []string) bool { return unit(g[0]) == unit(name) })
		if i < 0 {
			groups = append(groups, []string{name})
			continue
		}
		groups[i] = append(groups[i], name)
	}
	place := func(g []string) int {
		if i := slices.Index(order, unit(g[0])); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(groups, func(x, y []string) int { return place(x) - place(y) })
	return groups
}

// runFacts returns a run's figures in words.
func runFacts(r *run) []page.Fact {
	var facts []page.Fact
	add := func(name, value string) {
		if value != "" && value != "0" {
			facts = append(facts, page.Fact{Name: name, Value: value})
		}
	}
	add("started", at(r.started()))
	if n := len(r.record.Attempts); n > 0 {
		add("attempts", strconv.Itoa(n))
		add("node", r.node())
		add("device", r.device())
		add("hardware", r.hardware())
		if end := r.record.Attempts[n-1].Ended; !end.IsZero() {
			add("ended", at(end))
			add("took", age(r.took()))
		} else {
			add("last written", at(r.progress.written))
		}
	}
	if left := r.progress.remaining; left > 0 {
		add("to go", age(left))
	}
	if res := r.record.Result; res != nil {
		if res.TestExamples > 0 {
			add("top-1 test error", reports.Percent(float64(res.Top1Error))+" % of "+
				reports.Thousands(res.TestExamples)+" images")
			add("top-5 test error", reports.Percent(float64(res.Top5Error))+" %")
			add("test loss", fmt.Sprintf("%.4f", float64(res.TestLoss)))
		}
		if v := float64(res.ImagesPerSecond); v > 0 {
			add("speed", reports.Thousands(v)+" training images/s")
		}
		add("weights", res.WeightsSHA256)
	}
	add("parameters", reports.Thousands(r.record.Params))
	add("MACs", reports.Thousands(r.record.MACs))
	add("ablations", join(r.record.Ablations))
	add("identity", r.record.Identity)
	return facts
}

// tail reads the end of a text file, from the start of a line.
func (s *Server) tail(path string) (text string, cut bool, err error) {
	if err := s.library.confined(path); err != nil {
		return "", false, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", false, err
	}
	if !info.Mode().IsRegular() {
		return "", false, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	if cut = info.Size() > maxLog; cut {
		if _, err := f.Seek(-maxLog, io.SeekEnd); err != nil {
			return "", false, err
		}
	}
	part, err := io.ReadAll(io.LimitReader(f, maxLog))
	if cut {
		if i := bytes.IndexByte(part, '\n'); i >= 0 {
			part = part[i+1:]
		}
	}
	var lines []string
	for line := range strings.Lines(string(part)) {
		lines = append(lines, reports.Sanitize(line))
	}
	return strings.Join(lines, "\n"), cut, err
}

// maxFiles bounds how many files of a run's folder are listed.
const maxFiles = 200

// files lists a run's folder, including its checkpoints.
func (s *Server) files(r *run) ([]file, error) {
	if err := s.library.confined(r.dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(r.dir)
	var all []file
	for _, e := range entries {
		if len(all) == maxFiles {
			break
		}
		info, err := os.Lstat(filepath.Join(r.dir, e.Name()))
		if err != nil || info.IsDir() {
			continue // removed meanwhile
		}
		all = append(all, file{e.Name(), bytesWords(info.Size()), info.ModTime()})
	}
	return all, err
}

// bytesWords writes a size: 512 B, 1.2 kB, 34 MB.
func bytesWords(n int64) string {
	v, unit := float64(n), "B"
	for _, next := range []string{"kB", "MB", "GB", "TB"} {
		if v < 1000 {
			break
		}
		v, unit = v/1000, next
	}
	if unit == "B" || v >= 10 {
		return fmt.Sprintf("%.0f %s", v, unit)
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}
