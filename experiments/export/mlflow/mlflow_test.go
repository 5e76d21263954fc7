package mlflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"ablate/experiments"
	"ablate/experiments/export"
)

// A server stores what it receives as MLflow does, refuses what MLflow refuses, and fails when a test demands it.
type server struct {
	*httptest.Server
	t      *testing.T
	mu     sync.Mutex
	token  string // required if not empty
	fault  func(s *server, w http.ResponseWriter, r *http.Request, body []byte) bool
	writes []string // requests that were not queries
	stage  string   // of the experiment, "" before it is made
	runs   []*stored
	files  map[string][]byte
}

type stored struct {
	id, status   string
	tags, params map[string]string
	metrics      []point
	known        map[string]bool // of metrics
	inputs       []any
}

func serve(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, files: map[string][]byte{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if s.fault != nil && s.fault(s, w, r, body) {
		return
	}
	s.answer(w, r, body)
}

func (s *server) answer(w http.ResponseWriter, r *http.Request, body []byte) {
	if name, ok := strings.CutPrefix(r.URL.Path, "/api/2.0/mlflow-artifacts/artifacts/"); ok {
		s.writes = append(s.writes, "file "+path.Base(name))
		s.files[name] = body
		return
	}
	var in struct {
		RunID    string  `json:"run_id"`
		Status   string  `json:"status"`
		Tags     []pair  `json:"tags"`
		Params   []pair  `json:"params"`
		Metrics  []point `json:"metrics"`
		Datasets []any   `json:"datasets"`
	}
	var tag pair
	_ = json.Unmarshal(body, &in) // queries have none
	_ = json.Unmarshal(body, &tag)
	method := strings.TrimPrefix(r.URL.Path, "/api/2.0/mlflow/")
	if method != "runs/search" && r.Method == http.MethodPost {
		s.writes = append(s.writes, method)
	}
	i := slices.IndexFunc(s.runs, func(r *stored) bool { return r.id == in.RunID })
	switch method {
	case "experiments/get-by-name":
		if s.stage == "" {
			refuse(w, http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST")
			return
		}
		reply(w, map[string]any{"experiment": map[string]string{"experiment_id": "7", "lifecycle_stage": s.stage}})
	case "experiments/create":
		s.stage = "active"
		reply(w, map[string]string{"experiment_id": "7"})
	case "runs/create":
		s.runs = append(s.runs, &stored{id: fmt.Sprintf("run%03d", len(s.runs)), status: "RUNNING", tags: values(in.Tags),
			params: map[string]string{}, known: map[string]bool{}})
		reply(w, map[string]any{"run": s.json(s.runs[len(s.runs)-1])})
	case "runs/search":
		var all []any
		for _, r := range s.runs {
			all = append(all, s.json(r))
		}
		reply(w, map[string]any{"runs": all})
	case "runs/log-batch":
		if bytes.Contains(body, []byte("null")) { // MLflow 3.17.2 answered 500 to a run without any metric
			s.t.Errorf("null in %.200s", body)
		}
		s.logBatch(w, s.runs[i], in.Metrics, in.Params, in.Tags)
	case "runs/log-inputs":
		s.runs[i].inputs = append(s.runs[i].inputs, in.Datasets...)
		reply(w, struct{}{})
	case "runs/set-tag":
		s.runs[i].tags[tag.Key] = tag.Value
		reply(w, struct{}{})
	case "runs/delete":
		s.runs = slices.Delete(s.runs, i, i+1)
		reply(w, struct{}{})
	case "runs/update":
		s.runs[i].status = in.Status
		reply(w, struct{}{})
	default:
		s.t.Errorf("%s is no method of MLflow", method)
	}
}

var goodKey = regexp.MustCompile(`^[\w\-./ ]{1,250}$`)

func (s *server) logBatch(w http.ResponseWriter, r *stored, metrics []point, params, tags []pair) {
	bad := len(metrics) > 1000 || len(params) > 100 || len(tags) > 100 || len(metrics)+len(params)+len(tags) > 1000
	for _, p := range slices.Concat(params, tags) {
		old, ok := r.params[p.Key]
		bad = bad || !goodKey.MatchString(p.Key) || path.Clean(p.Key) != p.Key || utf8.RuneCountInString(p.Value) > 6000
		bad = bad || slices.Contains(params, p) && ok && old != p.Value
	}
	for _, m := range metrics {
		bad = bad || !goodKey.MatchString(m.Key)
	}
	if bad {
		refuse(w, http.StatusBadRequest, "INVALID_PARAMETER_VALUE")
		return
	}
	for _, m := range metrics {
		if k := fmt.Sprint(m); !r.known[k] {
			r.known[k] = true
			r.metrics = append(r.metrics, m)
		}
	}
	maps.Copy(r.params, values(params))
	maps.Copy(r.tags, values(tags))
	reply(w, struct{}{})
}

func same(a, b point) bool { return fmt.Sprint(a) == fmt.Sprint(b) } // NaN is not equal to itself

func (s *server) json(r *stored) any {
	latest := map[string]point{}
	for _, m := range r.metrics {
		if old, ok := latest[m.Key]; !ok || m.Step >= old.Step {
			latest[m.Key] = m
		}
	}
	list := func(m map[string]string) (l []pair) {
		for k, v := range m {
			l = append(l, pair{k, v})
		}
		return l
	}
	return map[string]any{
		"inputs": map[string]any{"dataset_inputs": r.inputs},
		"info":   map[string]string{"run_id": r.id, "status": r.status, "artifact_uri": "mlflow-artifacts:/7/" + r.id},
		"data": map[string]any{"tags": list(r.tags), "params": list(r.params),
			"metrics": slices.Collect(maps.Values(latest))},
	}
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	reply(w, map[string]string{"error_code": code, "message": "no\nbecause"})
}

// sink makes a sink whose clock does not wait, and counts how long it would have waited.
func sink(t *testing.T, s *server, store *experiments.Store) (k *Sink, waited *time.Duration) {
	t.Helper()
	k, err := New(s.URL, store)
	if err != nil {
		t.Fatal(err)
	}
	waited = new(time.Duration)
	k.client.sleep = func(ctx context.Context, d time.Duration) error {
		*waited += d
		return ctx.Err()
	}
	return k, waited
}

// recorded makes a study of one run with n epochs; an unfinished run has the epochs so far.
func recorded(t *testing.T, n int) (*experiments.Store, export.Study) {
	t.Helper()
	store := &experiments.Store{Root: t.TempDir()}
	rec, err := store.Start(experiments.Record{
		Study: "s", Variant: "baseline", Seed: 1, Identity: "abc", Params: 3,
		Recipe:     json.RawMessage(`{"data": {"name": "shapes", "root": "/here"}, "train": {"lr": 0.1}}`),
		Attempts:   []experiments.Attempt{{Device: "cpu"}},
		Provenance: &experiments.Provenance{Commit: "c0ffee", Data: map[string]string{"train": strings.Repeat("a", 64)}},
	}, experiments.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		v := 1 / float64(i+1)
		switch i {
		case 1:
			v = math.NaN()
		case 2:
			v = math.Inf(-1)
		}
		m := experiments.Metric{Epoch: i + 1, Step: int64(i + 1), Name: "test_top1_error", Value: experiments.Number(v),
			Seconds: float64(i)}
		if err := rec.Log(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := rec.SavePredictions(nil); err != nil {
		t.Fatal(err)
	}
	if err := rec.Finish(experiments.Done, &experiments.Result{Epochs: n, Top1Error: 0.5}, nil); err != nil {
		t.Fatal(err)
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	runs, problems := export.Runs(store, "s")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return store, export.Study{Name: "s", Runs: runs, Files: []export.File{{Name: "report.txt", Text: []byte("table")}}}
}

// whole fails unless the server holds all of a study exactly once.
func (s *server) whole(t *testing.T, study export.Study) {
	t.Helper()
	byName := map[string]*stored{}
	for _, r := range s.runs {
		name := r.tags[tagKind] + " " + r.tags[tagRun]
		if byName[name] != nil {
			t.Errorf("two runs of %s", name)
		}
		byName[name] = r
		if r.status != "FINISHED" {
			t.Errorf("%s is %s", name, r.status)
		}
	}
	r, parent := byName["run baseline/1"], byName["variant baseline"]
	if r == nil || parent == nil || byName["report "] == nil || r.tags[tagParent] != parent.id {
		t.Fatalf("runs %v", byName)
	}
	var got []point
	for _, m := range r.metrics {
		if m.Key == "test_top1_error" {
			got = append(got, m)
		}
	}
	if len(got) != len(study.Runs[0].Metrics) {
		t.Errorf("%d points, want %d", len(got), len(study.Runs[0].Metrics))
	}
	for i, m := range study.Runs[0].Metrics {
		at := study.Runs[0].Attempts[0].Started.UnixMilli() + int64(1000*m.Seconds)
		if want := (point{Key: m.Name, Value: m.Value, Timestamp: at, Step: m.Step}); i < len(got) && !same(want, got[i]) {
			t.Errorf("point %d is %v, want %v", i, got[i], want)
		}
	}
	if r.params["train.lr"] != "0.1" || r.params["data.root"] != "" || r.tags["mlflow.source.git.commit"] != "c0ffee" ||
		len(r.inputs) != 1 {
		t.Errorf("parameters %v, tags %v, inputs %v", r.params, r.tags, r.inputs)
	}
	for _, f := range []string{"run.json", "predictions.csv"} {
		if len(s.files["7/"+r.id+"/"+f]) == 0 {
			t.Errorf("no %s among %v", f, slices.Collect(maps.Keys(s.files)))
		}
	}
	if string(s.files["7/"+byName["report "].id+"/report.txt"]) != "table" {
		t.Error("the table is not there")
	}
}

// A repeated export sends nothing, in this process or in another.
func TestSyncSendsNothingTwice(t *testing.T) {
	s := serve(t)
	store, study := recorded(t, 2500) // three batches
	for n := range 3 {
		k, _ := sink(t, s, store)
		if err := k.Sync(t.Context(), study); err != nil {
			t.Fatal(err)
		}
		s.whole(t, study)
		if n > 0 && len(s.writes) > 0 {
			t.Errorf("sent again: %q", s.writes)
		}
		s.writes = nil
	}
}

// Whatever fails in between, a later try completes the study and repeats nothing.
func TestFaults(t *testing.T) {
	// once is a fault of the nth request that matches.
	once := func(match string, nth int, do func(*server, http.ResponseWriter, *http.Request, []byte)) func(*server) {
		seen := 0
		return func(s *server) {
			s.fault = func(s *server, w http.ResponseWriter, r *http.Request, body []byte) bool {
				if !strings.Contains(r.URL.Path, match) {
					return false
				}
				if seen++; seen != nth {
					return false
				}
				do(s, w, r, body)
				return true
			}
		}
	}
	status := func(code int) func(*server, http.ResponseWriter, *http.Request, []byte) {
		return func(_ *server, w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.Header().Set("Retry-After", "7")
			http.Error(w, "<html>later</html>", code)
		}
	}
	lost := func(s *server, _ http.ResponseWriter, r *http.Request, body []byte) { // done, but the answer is lost
		s.answer(httptest.NewRecorder(), r, body)
		panic(http.ErrAbortHandler)
	}
	half := func(s *server, w http.ResponseWriter, r *http.Request, body []byte) {
		var batch map[string]any
		if err := json.Unmarshal(body, &batch); err != nil {
			s.t.Error(err)
		}
		all := batch["metrics"].([]any)
		batch["metrics"] = all[:len(all)/2]
		delete(batch, "params")
		body, err := json.Marshal(batch)
		if err != nil {
			s.t.Error(err)
		}
		s.answer(httptest.NewRecorder(), r, body)
		http.Error(w, "database is locked", http.StatusInternalServerError)
	}
	for name, fault := range map[string]func(*server){
		"429":                 once("runs/search", 1, status(429)),
		"503":                 once("experiments/create", 1, status(503)),
		"create is lost":      once("runs/create", 2, lost),
		"experiment is lost":  once("experiments/create", 1, lost),
		"half a batch":        once("log-batch", 1, half),
		"batch is lost":       once("log-batch", 2, lost),
		"file is cut short":   once("mlflow-artifacts", 1, lost),
		"end is lost":         once("runs/update", 1, lost),
		"restarted, 502 once": once("set-tag", 1, status(502)),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			fault(s)
			store, study := recorded(t, 1500)
			k, waited := sink(t, s, store)
			if err := k.Sync(t.Context(), study); err != nil {
				t.Fatal(err)
			}
			s.whole(t, study)
			if *waited == 0 {
				t.Error("the fault did not happen")
			}
			if name == "429" && *waited != 7*time.Second {
				t.Errorf("waited %v, the server wants 7 s", *waited)
			}
		})
	}
}

// A server that stays down is an error that says so. A later export, interrupted at every request in turn, ends with
// all of the study.
func TestInterruptedExports(t *testing.T) {
	s := serve(t)
	store, study := recorded(t, 1200)
	for allowed := 1; ; allowed++ {
		if allowed > 100 {
			t.Fatal("an export never ends")
		}
		n := 0
		s.fault = func(_ *server, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			if n++; n > allowed {
				http.Error(w, "gone", http.StatusServiceUnavailable)
				return true
			}
			return false
		}
		k, _ := sink(t, s, store)
		err := k.Sync(t.Context(), study)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "\n") {
			t.Fatalf("%v", err)
		}
	}
	s.whole(t, study)
	s.Close()
	k, waited := sink(t, s, store)
	if err := k.Sync(t.Context(), study); !errors.Is(err, ErrUnavailable) || *waited < 10*time.Second {
		t.Errorf("%v after %v", err, *waited)
	}
}

func TestCredentials(t *testing.T) {
	s := serve(t)
	s.token = "sesame"
	store, study := recorded(t, 1)
	k, waited := sink(t, s, store)
	if err := k.Sync(t.Context(), study); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tokenVariable) ||
		*waited != 0 {
		t.Errorf("%v after %v", err, *waited)
	}
	t.Setenv(tokenVariable, "sesame")
	k, _ = sink(t, s, store)
	if err := k.Sync(t.Context(), study); err != nil {
		t.Error(err)
	}
	for _, address := range []string{"http://ann:secret@host", "./mlruns", "sqlite:///m.db", "http://",
		"http://a:secret b"} {
		_, err := New(address, store)
		if !errors.Is(err, ErrAddress) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// What MLflow refuses in keys is replaced, and a page that is not MLflow's is named as such.
func TestHostile(t *testing.T) {
	s := serve(t)
	store, study := recorded(t, 3)
	study.Runs[0].Keys = map[string]any{"Δ (%)": strings.Repeat("é", 9000), "../../etc": 1.5,
		strings.Repeat("k", 400): true}
	study.Runs[0].Metrics[0].Name = "top-1\n<b>%"
	k, _ := sink(t, s, store)
	if err := k.Sync(t.Context(), study); err != nil {
		t.Fatal(err)
	}
	s.stage = "deleted"
	k, _ = sink(t, s, store)
	if err := k.Sync(t.Context(), study); err == nil || !strings.Contains(err.Error(), "mlflow experiments restore") {
		t.Error(err)
	}
	s.fault = func(_ *server, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		fmt.Fprint(w, "<html>sign in</html>")
		return true
	}
	k, _ = sink(t, s, store)
	if err := k.Sync(t.Context(), study); !errors.Is(err, ErrAddress) {
		t.Error(err)
	}
}

// A run that diverged before it logged anything is sent too.
func TestRunWithoutMetrics(t *testing.T) {
	s := serve(t)
	store, study := recorded(t, 0)
	k, _ := sink(t, s, store)
	if err := k.Sync(t.Context(), study); err != nil {
		t.Fatal(err)
	}
	s.whole(t, study)
}

func TestInfinitiesAreSaid(t *testing.T) {
	_, study := recorded(t, 3)
	if n := Infinities(study.Runs); n != 1 {
		t.Errorf("%d infinities", n)
	}
	const want = "test_top1_error is NaN at step 2, test_top1_error is -Inf at step 3"
	if got := notFinite(study.Runs[0]); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
