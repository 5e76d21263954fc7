package serve

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ablate/experiments"
	"ablate/reports"
)

const storedRecipe = `{"net": {"net": "tiny", "input": {"height": 8, "width": 8, "channels": 3}, "columns": 2,
"layers": [
{"conv": {"name": "conv1", "filters": 4, "kernel": 3, "init": {"kind": "he"}}}, {"relu": {"name": "relu1"}}, %s
{"dense": {"name": "fc", "outputs": 2, "init": {"kind": "he"}}}, {"softmax_loss": {"name": "loss"}}]},
"data": {"name": "shapes"}, "train": {"epochs": 4, "lr": %g}}`

const lrn = `{"lrn": {"name": "norm1", "size": 3, "alpha": 0.1, "alpha_over_size": false, "beta": 0.75, "k": 1}},`

// put writes a run's record and, for each epoch, a line of its log.
func put(t testing.TB, root string, r experiments.Record, logged ...float64) string {
	t.Helper()
	dir := filepath.Join(root, r.Study, r.Variant, fmt.Sprintf("seed-%d", r.Seed))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.Version, r.Identity = experiments.FormatVersion, "of "+r.Variant
	if r.Recipe == nil {
		layer, rate := lrn, 0.01
		if r.Variant != "baseline" {
			layer, rate = "", 0.02
			r.Changes = []string{"− norm1", "train.lr 0.01→0.02"}
		}
		r.Recipe = json.RawMessage(fmt.Sprintf(storedRecipe, layer, rate))
	}
	if r.Attempts == nil {
		began := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		r.Attempts = []experiments.Attempt{{Started: began, Host: "node1", Device: "cpu", Hardware: "a CPU, 2 threads"}}
		if r.Status.Final() {
			r.Attempts[0].Ended = began.Add(40 * time.Second)
		}
	}
	if r.Status == experiments.Done && r.Result == nil {
		e := experiments.Number(logged[len(logged)-1])
		r.Result = &experiments.Result{Epochs: len(logged), Top1Error: e, TestExamples: 1000, ImagesPerSecond: 100}
	}
	r.Provenance = &experiments.Provenance{Commit: "abc", Go: "go1.26", Command: []string{"ablate", "run", r.Study}}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := experiments.WriteFile(experiments.RecordPath(dir), text); err != nil {
		t.Fatal(err)
	}
	log := "{\"format\":\"ablate-metrics\",\"version\":1}\n"
	for i, v := range logged {
		log += line(i+1, v)
	}
	if err := os.WriteFile(experiments.MetricsPath(dir), []byte(log), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(experiments.LogPath(dir), []byte("2026-11-24T12:00:00Z attempt 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// line returns what a run logs after an epoch of ten seconds.
func line(epoch int, v float64) string {
	return fmt.Sprintf(`{"attempt":1,"epoch":%d,"step":%d,"name":"test_top1_error","value":%g,"seconds":%d}`+"\n",
		epoch, 10*epoch, v, 10*epoch)
}

// sample makes a folder with a study of two variants under six seeds, of which two runs are not finished.
func sample(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	for seed := uint64(1); seed <= 6; seed++ {
		put(t, root, experiments.Record{Study: "norm", Variant: "baseline", Seed: seed, Status: experiments.Done},
			0.4, 0.3, 0.25, 0.2+0.001*float64(seed))
		status := experiments.Done
		logged := []float64{0.5, 0.4, 0.35, 0.3 + 0.002*float64(seed)}
		if seed == 6 {
			status, logged = experiments.Running, logged[:2]
		}
		put(t, root, experiments.Record{Study: "norm", Variant: "no-lrn", Seed: seed, Status: status}, logged...)
	}
	return root
}

// serving starts a server for a folder.
func serving(t testing.TB, root, token string) *httptest.Server {
	t.Helper()
	store, err := experiments.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Store: store, Token: token, Table: func(study string) (reports.Options, error) {
		return reports.Options{Metrics: store.Metrics}, nil
	}})
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		s.watcher.close()
		h.CloseClientConnections()
		h.Close()
	})
	return h
}

// get returns the response of an address.
func get(t testing.TB, h *httptest.Server, path string, want int, change ...func(*http.Request)) string {
	t.Helper()
	r, err := http.NewRequest("GET", h.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(r)
	}
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := stay.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != want {
		t.Fatalf("%s: %s, want %d: %.300s", path, resp.Status, want, text)
	}
	return string(text)
}

// has checks that a page holds words, and lacks those that begin with an exclamation mark.
func has(t testing.TB, page string, words ...string) {
	t.Helper()
	for _, w := range words {
		w, not := strings.CutPrefix(w, "!")
		if strings.Contains(page, w) == not {
			t.Errorf("the page has %q: %v, in\n%.1500s", w, !not, page[max(0, strings.Index(page, "<main")):])
		}
	}
}

// Every page shows what is in the folder.
func TestPages(t *testing.T) {
	h := serving(t, sample(t), "")
	has(t, get(t, h, "/", 200), "norm", "11 done", "1 running", "on node1", "about 20s to go", "no-lrn")
	study := get(t, h, "/study/norm", 200)
	has(t, study, `<th scope="col">verdict</th>`, "Differences to the baseline", "Learning curves", "2/4 running",
		`class="curve s1 d0 r1"`, `<button type="submit">Show</button>`, "Speed against error", "The net of no-lrn")
	has(t, get(t, h, "/run/norm/no-lrn/6", 200), "epoch 2 of 4 on node1", "20s to go", "attempt 1", "− norm1",
		"Curves", "metrics.jsonl")
	has(t, get(t, h, "/runs", 200), "12 of 12 runs", "norm/no-lrn/6", "train.lr", `<button type="submit">Show</button>`)
	has(t, get(t, h, "/ledger", 200), "published comparisons", "Krizhevsky")
	has(t, get(t, h, "/study/norm/classes", 200), "No run of this study has stored its predictions.")
	has(t, get(t, h, "/compare?run=norm/baseline/1&run=norm/no-lrn/1", 200), "− norm1", "train.lr 0.01→0.02",
		"norm/no-lrn/1, epoch 4:")
}

// The address determines what is shown, so that a link shows the same. Unknown choices are refused.
func TestAddressHoldsState(t *testing.T) {
	h := serving(t, sample(t), "")
	has(t, get(t, h, "/study/norm?col=k&col=verdict&show=baseline", 200), `<th scope="col" class="right">k</th>`,
		`!<th scope="col">changed</th>`, `!<th scope="row">no-lrn</th>
<td`)
	has(t, get(t, h, "/study/norm?x=time&band=sd&smooth=0.8&log=1", 200), "seconds of training", "curve raw",
		"one standard deviation")
	has(t, get(t, h, "/study/norm?at=best", 200), "best epoch")
	for _, wrong := range []string{
		"x=day", "smooth=2", "band=wide", "col=nothing", "metric=nothing", "at=sometimes", "shape=round",
	} {
		get(t, h, "/study/norm?"+wrong, 400)
	}
	get(t, h, "/runs.csv?where=novalue", 400)
	get(t, h, "/runs?q="+strings.Repeat("a", maxQuery), http.StatusRequestURITooLong)
	get(t, h, "/study/nothing", 404)
	get(t, h, "/run/norm/baseline/99", 404)
	get(t, h, "/run/norm/baseline/-1", 404)
	get(t, h, "/nothing", 404)
}

// Runs are searched, filtered, sorted and grouped, and the same rows are saved.
func TestRunsTable(t *testing.T) {
	h := serving(t, sample(t), "")
	names := func(query string) string {
		var found []string
		for _, row := range strings.Split(get(t, h, "/runs.csv?"+query, 200), "\n")[1:] {
			if f := strings.SplitN(row, ",", 4); len(f) == 4 {
				found = append(found, f[1]+f[2])
			}
		}
		return strings.Join(found, " ")
	}
	for query, want := range map[string]string{
		"where=status = running":                                       "no-lrn6",
		"q=NODE1+running":                                              "no-lrn6",
		"where=train.lr >= 0.02 and seed < 3":                          "no-lrn1 no-lrn2",
		"where=variant != baseline&sort=-seed":                         "no-lrn6 no-lrn5 no-lrn4 no-lrn3 no-lrn2 no-lrn1",
		"where=changes ~ norm1&sort=top1_error":                        "no-lrn1 no-lrn2 no-lrn3 no-lrn4 no-lrn5 no-lrn6",
		"where=changes ~ norm1&sort=-top1_error":                       "no-lrn5 no-lrn4 no-lrn3 no-lrn2 no-lrn1 no-lrn6",
		"where=net.layers.norm1.size = 3 and top1_error >= 20.6%25":    "baseline6",
		"where=top1_error < 0.2015":                                    "baseline1",
		"where=metric.test_top1_error > 0.35":                          "no-lrn6",
		"where=(seed = 1 or seed = 2) and not variant = no-lrn&q=done": "baseline1 baseline2",
		"q=nothing+of+the+kind":                                        "",
	} {
		if got := names(strings.ReplaceAll(query, " ", "+")); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	has(t, get(t, h, "/runs.csv?where=seed=1&col=top1_error&col=metric.test_top1_error&col=train.lr", 200),
		"study,variant,seed,top1_error,metric.test_top1_error,train.lr\nnorm,baseline,1,0.201,0.201,0.01\n")
	has(t, get(t, h, "/runs?where=train.lt+>+1", 200),
		"at character 1: no run has train.lt; did you mean train.lr?", "!1 of 12 runs", "!compare norm")
	has(t, get(t, h, "/runs?group=variant", 200), "20.35 ± 0.19", "norm/no-lrn", "!compare norm/baseline/1")
}

// Tables, figures and the whole study are saved as files.
func TestDownloads(t *testing.T) {
	h := serving(t, sample(t), "")
	for file, want := range map[string]string{
		"table.csv": "variant,changed", "table.tex": `\begin{table`, "table.md": "| variant", "table.json": `"variant"`,
		"differences.svg": "ablate-forest", "curves.svg": "ablate-figure", "speed.svg": "ablate-figure",
		"page.html": "default-src 'none'",
	} {
		text := get(t, h, "/study/norm/"+file, 200)
		has(t, text, want, "!http://127")
		if strings.HasSuffix(file, ".svg") && (!strings.HasPrefix(text, "<svg ") || strings.Contains(text, "var(--")) {
			t.Errorf("%s begins with %.100s", file, text)
		}
	}
	get(t, h, "/study/norm/table.exe", 404)
	get(t, h, "/study/norm/run.json", 404)
}

// A record that cannot be read is shown as broken and spoils nothing.
func TestBrokenRecords(t *testing.T) {
	root := sample(t)
	write := func(path, text string) {
		path = filepath.Join(root, path)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("norm/baseline/seed-7/run.json", `{"version": 2, "study": `)
	write("norm/baseline/seed-8/run.json", `{"version": 99}`)
	write("norm/baseline/seed-9/run.json", `{"version": 2, "study": "another", "variant": "baseline", "seed": 9}`)
	write("norm/no-lrn/seed-1/metrics.jsonl", "not a log\n")
	write("norm/study.json", "[]")
	write("empty/v/seed-1/nothing", "")
	h := serving(t, root, "")
	has(t, get(t, h, "/", 200), "3 broken", "11 done")
	has(t, get(t, h, "/study/norm", 200), "Differences to the baseline", "broken", "seed-7/run.json",
		"it is the record of another/baseline/9", "not a metric log")
	has(t, get(t, h, "/run/norm/baseline/7", 200), "broken", "seed-7/run.json")
	has(t, get(t, h, "/runs?where=status=broken", 200), "3 of 15 runs")
	has(t, get(t, h, "/compare?run=norm/baseline/7&run=norm/baseline/1&run=norm/none/1", 200),
		"There is no run norm/none/1")
	has(t, get(t, h, "/study/empty", 200), "No run of this study has begun.")
	get(t, h, "/ledger", 200)
}

// Symbolic links are followed within the folder of runs and not out of it.
func TestLinksOutside(t *testing.T) {
	root, away := sample(t), sample(t)
	secret := filepath.Join(away, "secret.txt")
	if err := os.WriteFile(secret, []byte("a secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for path, to := range map[string]string{
		"norm/outside":           filepath.Join(away, "norm", "no-lrn"),
		"away":                   filepath.Join(away, "norm"),
		"norm/baseline/seed-11":  filepath.Join(away, "norm", "baseline", "seed-1"),
		"norm/inside":            filepath.Join(root, "norm", "no-lrn"),
		"norm/baseline/seed-1/x": secret,
	} {
		if err := os.Symlink(to, filepath.Join(root, path)); err != nil {
			t.Skip(err)
		}
	}
	log := filepath.Join(root, "norm/baseline/seed-1/log.txt")
	os.Remove(log)
	if err := os.Symlink(secret, log); err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(root, "norm/baseline/seed-2/run.json")
	os.Remove(record)
	if err := os.Symlink(filepath.Join(away, "norm/baseline/seed-2/run.json"), record); err != nil {
		t.Fatal(err)
	}
	h := serving(t, root, "")
	has(t, get(t, h, "/run/norm/baseline/1", 200), "leads out of the folder of runs", "!a secret")
	has(t, get(t, h, "/study/norm", 200), "norm/outside: a symbolic link that leads out", "seed-11: a symbolic link",
		"seed-2/run.json: a symbolic link")
	has(t, get(t, h, "/study/away", 200), "leads out of the folder of runs")
	for _, path := range []string{
		"/study/..%2f..%2fetc", "/run/norm/..%2f..%2f../1", "/study/norm/..%2fstudy.json", "/study/%00",
		"/assets/..%2fserve.go",
	} {
		get(t, h, path, 404)
	}
}

// Names that are markup, scripts or addresses are words.
func TestHostileNames(t *testing.T) {
	root := sample(t)
	bad := `"><script>alert(1)<` + `&x='`
	dir := put(t, root, experiments.Record{Study: bad, Variant: "baseline", Seed: 1, Status: experiments.Done,
		Changes: []string{bad}, Recipe: json.RawMessage(`{"train": {"epochs": 1, "<b>": "javascript:alert(1)"}}`)}, 0.5)
	put(t, root, experiments.Record{Study: bad, Variant: bad, Seed: 1, Status: experiments.Failed, Error: bad}, 0.5)
	os.WriteFile(experiments.LogPath(dir), []byte(bad+"\x1b[31m\n"), 0o644)
	h := serving(t, root, "")
	name := url.PathEscape(bad)
	for _, path := range []string{
		"/", "/study/" + name, "/run/" + name + "/baseline/1", "/run/" + name + "/" + name + "/1", "/runs",
		"/runs?q=" + url.QueryEscape(bad), "/runs?group=variant", "/study/" + name + "/classes",
		"/runs?col=train." + url.QueryEscape("<b>"),
		"/compare?run=" + url.QueryEscape(bad+"/baseline/1") + "&run=norm/baseline/1", "/study/" + name + "/page.html",
	} {
		has(t, get(t, h, path, 200), "!<script>alert", "!<b>", "!\x1b")
	}
	get(t, h, "/study/norm?metric="+url.QueryEscape(bad), 400)
}

// Without a token the server accepts only this machine's own names; with one it asks every reader for it.
func TestWhoMayRead(t *testing.T) {
	h := serving(t, sample(t), "")
	get(t, h, "/", 403, func(r *http.Request) { r.Host = "evil.example" })
	get(t, h, "/", 403, func(r *http.Request) { r.Host = "localhost.evil.example:80" })
	get(t, h, "/", 200, func(r *http.Request) { r.Host = "localhost:8080" })
	get(t, h, "/", 200, func(r *http.Request) { r.Host = "[::1]:8080" })
	get(t, h, "/events?of=all", 403, func(r *http.Request) {
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Sec-Fetch-Mode", "cors")
	})
	get(t, h, "/", 200, func(r *http.Request) { // a link on another page may be followed
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
	})

	closed := serving(t, sample(t), "open sesame")
	for _, path := range []string{"/", "/assets/live.js", "/events?of=all", "/?token=wrong", "/study/norm/table.csv"} {
		get(t, closed, path, 401)
	}
	get(t, closed, "/", 200, func(r *http.Request) { r.Header.Set("Authorization", "Bearer open sesame") })
	get(t, closed, "/", 200, func(r *http.Request) {
		r.Host = "node1:8080"
		r.AddCookie(&http.Cookie{Name: cookie, Value: "open sesame", Quoted: true})
	})
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := stay.Get(closed.URL + "//evil.example/?token=open+sesame&at=best")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if to := resp.Header.Get("Location"); resp.StatusCode != 303 || to != "/evil.example/?at=best" {
		t.Errorf("%s to %q", resp.Status, to)
	}
	if c := resp.Header.Get("Set-Cookie"); !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Lax") {
		t.Errorf("cookie %s", c)
	}
	p := resp.Header.Get("Content-Security-Policy")
	if !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") {
		t.Errorf("policy %s", p)
	}
}

// The server responds only to reads.
func TestReadsOnly(t *testing.T) {
	root := sample(t)
	h := serving(t, root, "")
	before := tree(t, root)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		r, _ := http.NewRequest(method, h.URL+"/study/norm", strings.NewReader("x"))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("%s: %s", method, resp.Status)
		}
	}
	for _, path := range []string{
		"/", "/study/norm", "/run/norm/baseline/1", "/runs", "/ledger", "/study/norm/page.html",
	} {
		get(t, h, path, 200)
	}
	if after := tree(t, root); after != before {
		t.Errorf("the folder was changed:\n%s\n%s", before, after)
	}
}

// With --write the server accepts notes and tags from its own pages, and no other changes.
func TestWrite(t *testing.T) {
	root := sample(t)
	store, err := experiments.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Store: store, Write: true, Table: func(string) (reports.Options, error) {
		return reports.Options{}, nil
	}})
	h := httptest.NewServer(s.Handler())
	defer h.Close()
	post := func(want int, path, origin string, form url.Values) {
		t.Helper()
		r, err := http.NewRequest("POST", h.URL+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if origin != "" {
			r.Header.Set("Origin", origin)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}
		stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		resp, err := stay.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s %v: %s, want %d", path, form, resp.Status, want)
		}
	}
	const one = "/run/norm/baseline/1/notes"
	post(303, one, "", url.Values{"note": {"<b>looks odd"}, "tag": {"paper"}, "do": {"add"}})
	post(303, "/study/norm/notes", "", url.Values{"tag": {"all"}, "do": {"add"}})
	page := get(t, h, "/run/norm/baseline/1", 200)
	has(t, page, "&lt;b&gt;looks odd", `<span class="tag">paper</span>`, "all (of the study)", "Remove the tag")
	has(t, get(t, h, "/study/norm", 200), `<span class="tag">all</span>`)
	has(t, get(t, h, "/study/norm/page.html", 200), "notes on baseline, seed 1", "tagged paper", "&lt;b&gt;looks odd")
	has(t, get(t, h, "/runs?where=tag~paper&col=note", 200), "1 of 12 runs", "looks odd")

	post(303, one, "", url.Values{"tag": {"paper"}, "do": {"untag"}})
	has(t, get(t, h, "/run/norm/baseline/1", 200), `!<span class="tag">paper</span>`)
	post(403, one, "http://evil.example", url.Values{"note": {"from elsewhere"}})
	post(400, one, "", url.Values{"tag": {"../.."}})
	post(400, one, "", url.Values{"do": {"untag"}, "tag": {"never"}})
	post(400, one, "", url.Values{})
	post(400, one, "", url.Values{"note": {strings.Repeat("x", maxForm)}})
	post(404, "/run/norm/baseline/77/notes", "", url.Values{"note": {"x"}})
	post(404, "/study/..%2f/notes", "", url.Values{"note": {"x"}})
	post(404, "/study/norm/table.csv", "", nil)

	reader := serving(t, root, "")
	r, err := http.PostForm(reader.URL+one, url.Values{"note": {"x"}})
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != 403 {
		t.Errorf("a server that only reads: %s", r.Status)
	}
	has(t, get(t, reader, "/run/norm/baseline/1", 200), "looks odd", "!<form method=\"post\"")
}

// tree lists a folder with sizes and times.
func tree(t *testing.T, root string) string {
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		fmt.Fprintln(&b, path, info.Size(), info.ModTime())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A listener reads the versions that the server sends.
func listener(t *testing.T, h *httptest.Server, of string) func() string {
	t.Helper()
	resp, err := http.Get(h.URL + "/events?of=" + url.QueryEscape(of))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	said := make(chan string)
	go func() {
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if v, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				said <- v
			}
		}
		close(said)
	}()
	return func() string {
		select {
		case v := <-said:
			return v
		case <-time.After(30 * time.Second):
			t.Fatalf("nothing is told of %s", of)
		}
		return ""
	}
}

// The server tells pages of changes on disk, and a page requested after that shows them.
func TestLive(t *testing.T) {
	root := sample(t)
	h := serving(t, root, "")
	all, study, one := listener(t, h, "all"), listener(t, h, "study:norm"), listener(t, h, "run:norm/no-lrn/6")
	was := [3]string{all(), study(), one()}

	f, err := os.OpenFile(filepath.Join(root, "norm/no-lrn/seed-6/metrics.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(line(3, 0.33))
	f.Close()
	if now := [3]string{all(), study(), one()}; now[0] == was[0] || now[1] == was[1] || now[2] == was[2] {
		t.Errorf("%v, then %v", was, now)
	}
	has(t, get(t, h, "/run/norm/no-lrn/6", 200), "epoch 3 of 4")

	put(t, root, experiments.Record{Study: "second", Variant: "baseline", Seed: 1, Status: experiments.Running}, 0.9)
	all()
	has(t, get(t, h, "/", 200), "second")
	second := listener(t, h, "study:second")
	second()
	put(t, root, experiments.Record{Study: "second", Variant: "baseline", Seed: 1, Status: experiments.Done}, 0.9, 0.8)
	second()
	has(t, get(t, h, "/study/second", 200), "1 done")
	if err := os.RemoveAll(filepath.Join(root, "second")); err != nil {
		t.Fatal(err)
	}
	second()
	get(t, h, "/study/second", 404)
}

// The number of open pages is bounded; a page that closes makes room.
func TestWatchersAreBounded(t *testing.T) {
	store, _ := experiments.Open(t.TempDir())
	w := newWatcher(newLibrary(store))
	defer w.close()
	var all []*reader
	for range maxWatchers {
		all = append(all, w.join(func(s *shelf) int64 { return s.version }))
	}
	if w.join(func(s *shelf) int64 { return 0 }) != nil {
		t.Errorf("more than %d readers", maxWatchers)
	}
	w.leave(all[0])
	if w.join(func(s *shelf) int64 { return 0 }) == nil {
		t.Error("no room was made")
	}
}

// digests returns the digests of a page's parts, as its script sends them.
func digests(page string) string {
	var all []string
	for _, m := range regexp.MustCompile(` id="([^"]+)"[^>]* data-part="([0-9a-f]+)"`).FindAllStringSubmatch(page, -1) {
		all = append(all, m[1]+"="+m[2])
	}
	return strings.Join(all, " ")
}

// A page that requests itself again gets the parts that have changed, and only the names of the others.
func TestOnlyWhatChanged(t *testing.T) {
	root := sample(t)
	h := serving(t, root, "")
	again := func(path, has string) string {
		return get(t, h, path, 200, func(r *http.Request) { r.Header.Set(hasHeader, has) })
	}
	for _, path := range []string{
		"/", "/study/norm", "/study/norm/classes", "/run/norm/no-lrn/6", "/runs", "/ledger",
		"/compare?run=norm/baseline/1&run=norm/no-lrn/6",
	} {
		whole := get(t, h, path, 200)
		parts := strings.Count(whole, " data-part=")
		if same := again(path, digests(whole)); parts == 0 || strings.Count(same, " data-same>") != parts ||
			strings.Contains(whole, " data-part>") || digests(same) != digests(whole) {
			t.Errorf("%s: %d parts, of which %d are the same: %s", path, parts, strings.Count(same, " data-same>"), same)
		}
	}
	before := get(t, h, "/study/norm", 200)
	path := experiments.MetricsPath(filepath.Join(root, "norm", "no-lrn", "seed-6"))
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, line(3, 0.36))
	f.Close()
	time.Sleep(fresh)
	after := again("/study/norm", digests(before))
	has(t, after, "3/4 running", "no-lrn, epoch 3:", `id="table" data-part="`, "!Differences to the baseline",
		"!<figcaption>", "!Layers of")
	whole := get(t, h, "/study/norm", 200)
	has(t, whole, "3/4 running", "Differences to the baseline", "<figcaption>", "Layers of")
	if digests(whole) != digests(after) {
		t.Errorf("the page in parts is not the whole page: %s and %s", digests(after), digests(whole))
	}
}

// Parts end where their element does, whatever they contain.
func TestThin(t *testing.T) {
	const page = `<main><div id="a" class="x" data-part><div>one<div></div></div><section></section></div>two` +
		`<section id="b" data-part></section><div id="c" data-part>never closed`
	got := string(thin([]byte(page), nil))
	want := regexp.MustCompile(`^<main><div id="a" class="x" data-part="\w{16}"><div>one<div></div></div>` +
		`<section></section></div>two<section id="b" data-part="\w{16}"></section>` +
		`<div id="c" data-part="\w{16}">never closed$`)
	if !want.MatchString(got) {
		t.Error(got)
	}
	want = regexp.MustCompile(`^<main><div id="a" class="x" data-part="\w{16}" data-same></div>two` +
		`<section id="b" data-part="\w{16}" data-same></section><div id="c" data-part="\w{16}" data-same>$`)
	if got := string(thin([]byte(page), partsOf(digests(got)+" =x =  b=c="))); want.MatchString(got) {
		t.Errorf("a part with another digest is left out: %s", got)
	}
	if got := string(thin([]byte(page), partsOf(digests(got)))); !want.MatchString(got) {
		t.Error(got)
	}
}

// A run's use of the machine is drawn over time: totals as rates, from 0 with each attempt.
func TestMachineCurves(t *testing.T) {
	samples := []experiments.Sample{
		{Attempt: 1, Seconds: 10, CPUSeconds: 20, Memory: 2e9},
		{Attempt: 1, Seconds: 20, CPUSeconds: 50, Memory: 3e9, GPUs: []experiments.GPUSample{{Index: 1, Use: 0.9}}},
		{Attempt: 2, Seconds: 5, CPUSeconds: 5, Memory: 1e9},
	}
	series, ok := gauges[0].lines[0].series(samples)
	var got []float64
	for _, m := range series {
		got = append(got, float64(m.Value))
	}
	if !ok || !slices.Equal(got, []float64{2, 3, 1}) {
		t.Errorf("CPU time, in cores: %v", got)
	}
	root := sample(t)
	dir := filepath.Join(root, "norm", "no-lrn", "seed-6")
	log, err := experiments.OpenMachineLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range samples {
		if err := log.Append(s); err != nil {
			t.Fatal(err)
		}
	}
	log.Close()
	h := serving(t, root, "")
	has(t, get(t, h, "/run/norm/no-lrn/6", 200), "CPU time", "this run, 20 seconds of training: 3", "Use of the GPUs",
		"cuda:1, 20 seconds of training: 90", "this run, 25 seconds of training: 1", "!Power", "!cuda:0", "!Disk")
	has(t, get(t, h, "/run/norm/no-lrn/5", 200), "!Machine")
}

// The box for a logarithmic scale is checked if the address asks for one: the text of log.txt once checked it.
func TestLogScale(t *testing.T) {
	h := serving(t, sample(t), "")
	has(t, get(t, h, "/run/norm/no-lrn/6", 200), "attempt 1", `name="log" value="1" form="choose">`)
	has(t, get(t, h, "/run/norm/no-lrn/6?log=1", 200), `name="log" value="1" form="choose" checked>`)
}

// A run's page shows neighbours once there are features. It follows no link out of the folder to them.
func TestNeighbours(t *testing.T) {
	root := sample(t)
	dir := filepath.Join(root, "norm", "baseline", "seed-1")
	h := serving(t, root, "")
	f := experiments.Features{Width: 1, Values: []float32{0, 3, 1}, Index: []int{4, 5, 6}, Label: make([]int, 3),
		Predicted: make([]int, 3), Classes: []string{"disc"}}
	if err := f.Picture(make([]experiments.Thumbnail, 3)); err != nil {
		t.Fatal(err)
	}
	if page := get(t, h, "/run/norm/baseline/1", 200); strings.Contains(page, "neighbours") {
		t.Error("a run without features has neighbours")
	}
	if err := experiments.SaveFeatures(dir, f); err != nil {
		t.Fatal(err)
	}
	if page := get(t, h, "/run/norm/baseline/1", 200); !strings.Contains(page, "disc, test image 6, at distance 1") {
		t.Error("the run's page does not show its neighbours")
	}
	outside := filepath.Join(t.TempDir(), "features.png")
	if err := os.Rename(experiments.PicturesPath(dir), outside); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, experiments.PicturesPath(dir)); err != nil {
		t.Skip(err)
	}
	page := get(t, h, "/run/norm/baseline/1", 200)
	if strings.Contains(page, "at distance") || !strings.Contains(page, "leads out of the folder") {
		t.Error("the page shows pictures that lie outside the folder")
	}
}
