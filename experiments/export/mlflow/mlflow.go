// Package mlflow brings the records of a study to an MLflow tracking server: the
// study becomes an experiment, a variant a run, and each of its seeds a run below
// that one.
//
// It first asks what a server already holds and never sends that again, so that
// an interrupted export can be repeated. The limits are those of
// mlflow/utils/validation.py, the API is that of mlflow/protos/service.proto.
package mlflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"ablate/experiments"
	"ablate/experiments/export"
)

// Limits of a request and of its contents.
const (
	maxMetrics = 1000 // metrics, parameters and tags of a batch together
	maxParams  = 100
	maxTags    = 100
	maxName    = 250  // characters of a key
	maxParam   = 6000 // characters of a parameter's value
	maxTag     = 5000 // characters of a tag's value
	maxDigest  = 36
	pageSize   = 1000 // runs in a page of search results
)

// The tags that state which of our records a run holds.
const (
	tagKind     = "ablate.kind"     // report, variant or run
	tagRun      = "ablate.run"      // VARIANT or VARIANT/SEED
	tagIdentity = "ablate.identity" // the recipe's identity
	tagStarted  = "ablate.started"  // start of the first attempt: a run trained anew is another run
	tagFile     = "ablate.sha256."  // prefix of the tag that holds an artifact's digest
	tagParent   = "mlflow.parentRunId"
	tagNote     = "mlflow.note.content"
)

// A Sink is an experiment on a server.
type Sink struct {
	Weights bool // also send trained weights
	NoFiles bool // send only figures

	client *client
	store  *experiments.Store
	sent   map[string]string // by run: the state that the server is known to hold
}

// New returns a sink for the server at an address. It reads the credentials from MLFLOW_TRACKING_USERNAME and
// MLFLOW_TRACKING_PASSWORD, or from MLFLOW_TRACKING_TOKEN.
func New(address string, store *experiments.Store) (*Sink, error) {
	c, err := newClient(address)
	if err != nil {
		return nil, err
	}
	return &Sink{client: c, store: store, sent: map[string]string{}}, nil
}

// Name describes where the records go.
func (s *Sink) Name() string { return "MLflow at " + s.client.base.String() }

// Sync brings the server up to date with the records of a study.
func (s *Sink) Sync(ctx context.Context, study export.Study) error {
	if !s.changed(study) {
		return nil
	}
	x, err := s.open(ctx, study)
	if err != nil {
		return err
	}
	var errs []error
	for _, variant := range variants(study.Runs) {
		if err := x.variant(ctx, variant); err != nil {
			if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrRefused) || ctx.Err() != nil {
				return err
			}
			errs = append(errs, err)
		}
	}
	if !x.NoFiles {
		errs = append(errs, x.report(ctx))
	}
	return errors.Join(errs...)
}

// changed reports whether a study has anything that was not sent before.
func (s *Sink) changed(study export.Study) bool {
	return len(study.Files) > 0 ||
		slices.ContainsFunc(study.Runs, func(r export.Run) bool { return s.sent[r.Name()] != r.Stamp() })
}

// variants groups runs, which are sorted, by their variant.
func variants(runs []export.Run) [][]export.Run {
	var groups [][]export.Run
	for i, r := range runs {
		if i == 0 || runs[i-1].Variant != r.Variant {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], r)
	}
	return groups
}

// An experiment is a study's experiment on a server, with the runs that the server holds.
type experiment struct {
	*Sink
	study export.Study
	id    string
	runs  map[string]run // by key
}

// Messages of the API, as far as they are needed.
type (
	pair struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	point struct {
		Key       string             `json:"key"`
		Value     experiments.Number `json:"value"`
		Timestamp int64              `json:"timestamp"` // milliseconds since 1970
		Step      int64              `json:"step"`
	}
	run struct {
		Info struct {
			ID       string `json:"run_id"`
			Status   string `json:"status"`
			Artifact string `json:"artifact_uri"`
		} `json:"info"`
		Data struct {
			Metrics []struct {
				Key  string `json:"key"`
				Step int64  `json:"step"`
			} `json:"metrics"`
			Params []pair `json:"params"`
			Tags   []pair `json:"tags"`
		} `json:"data"`
		Inputs struct {
			Datasets []struct {
				Dataset struct {
					Name   string `json:"name"`
					Digest string `json:"digest"`
				} `json:"dataset"`
				Tags []pair `json:"tags"`
			} `json:"dataset_inputs"`
		} `json:"inputs"`
	}
)

func values(pairs []pair) map[string]string {
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		m[p.Key] = p.Value
	}
	return m
}

// key identifies a run within an experiment.
func key(tags map[string]string) string {
	return strings.Join([]string{tags[tagKind], tags[tagRun], tags[tagIdentity], tags[tagStarted]}, "\n")
}

// open finds the study's experiment, or makes it, and lists its runs.
func (s *Sink) open(ctx context.Context, study export.Study) (*experiment, error) {
	x := &experiment{Sink: s, study: study}
	var err error
	for range 2 { // another process may make it meanwhile, or an answer may be lost
		if x.id, err = s.find(ctx, study.Name); err != nil || x.id != "" {
			break
		}
		var made struct {
			ID string `json:"experiment_id"`
		}
		err = s.client.post(ctx, "experiments/create", map[string]any{"name": study.Name}, &made)
		if x.id = made.ID; err != nil && !answered(err, "RESOURCE_ALREADY_EXISTS") {
			break
		}
		if err == nil {
			break
		}
	}
	if err == nil {
		x.runs, err = x.list(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("experiment %s: %w", study.Name, err)
	}
	return x, nil
}

func (s *Sink) find(ctx context.Context, name string) (id string, err error) {
	var found struct {
		Experiment struct {
			ID    string `json:"experiment_id"`
			Stage string `json:"lifecycle_stage"`
		} `json:"experiment"`
	}
	err = s.client.get(ctx, "experiments/get-by-name", url.Values{"experiment_name": {name}}, &found)
	switch {
	case answered(err, "RESOURCE_DOES_NOT_EXIST"):
		return "", nil
	case err == nil && found.Experiment.Stage == "deleted":
		return "", fmt.Errorf("it was deleted on the server: mlflow experiments restore --experiment-id %s brings it back",
			found.Experiment.ID)
	}
	return found.Experiment.ID, err
}

// list returns the runs that ablate made. Two processes may have made two runs with one key at the same time; the one
// with the lower number counts.
func (x *experiment) list(ctx context.Context) (map[string]run, error) {
	runs := map[string]run{}
	ask := map[string]any{
		"experiment_ids": []string{x.id}, "max_results": pageSize, "filter": fmt.Sprintf("tags.`%s` LIKE '%%'", tagKind),
	}
	for {
		var page struct {
			Runs []run  `json:"runs"`
			Next string `json:"next_page_token"`
		}
		if err := x.client.post(ctx, "runs/search", ask, &page); err != nil {
			return nil, err
		}
		for _, r := range page.Runs {
			k := key(values(r.Data.Tags))
			if other, ok := runs[k]; !ok || r.Info.ID < other.Info.ID {
				runs[k] = r
			}
		}
		if page.Next == "" || len(page.Runs) == 0 {
			return runs, nil
		}
		ask["page_token"] = page.Next
	}
}

// ensure returns the run with these tags, and makes it if it does not exist. A request whose answer was lost may have
// made it, so the server is asked again.
func (x *experiment) ensure(ctx context.Context, name string, started time.Time, tags map[string]string) (run, error) {
	k := key(tags)
	pause := firstPause
	for n := 1; ; n++ {
		if r, ok := x.runs[k]; ok {
			return r, nil
		}
		var made struct {
			Run run `json:"run"`
		}
		err := x.client.once(ctx, "runs/create", map[string]any{
			"experiment_id": x.id, "run_name": name, "start_time": started.UnixMilli(), "tags": pairs(tags),
		}, &made)
		if err != nil && (!errors.Is(err, ErrUnavailable) || n == attempts) {
			return run{}, err
		}
		if err != nil {
			if err := x.client.sleep(ctx, pause); err != nil {
				return run{}, err
			}
			pause *= 2
		}
		if x.runs, err = x.list(ctx); err != nil {
			return run{}, err
		}
		if first, ok := x.runs[k]; ok && made.Run.Info.ID != "" && first.Info.ID != made.Run.Info.ID {
			// another process made it in the same moment, and its run counts
			return first, x.client.post(ctx, "runs/delete", map[string]any{"run_id": made.Run.Info.ID}, nil)
		}
	}
}

func pairs(m map[string]string) []pair {
	list := []pair{}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, pair{k, shortened(m[k], maxTag)})
	}
	return list
}

// variant brings a variant and its seeds up to date with the records.
func (x *experiment) variant(ctx context.Context, runs []export.Run) error {
	first := runs[0]
	tags := map[string]string{
		tagKind: "variant", tagRun: first.Variant, "ablate.study": first.Study, "ablate.variant": first.Variant,
		tagNote: note(export.Run{Record: first.Record}),
	}
	// A variant's run groups its seeds, whatever their recipes, so it has no identity of its own.
	parent, err := x.ensure(ctx, first.Variant, began(first.Record), tags)
	if err != nil {
		return fmt.Errorf("%s/%s: %w", first.Study, first.Variant, err)
	}
	for _, r := range runs {
		if x.sent[r.Name()] == r.Stamp() {
			continue
		}
		if err := x.seed(ctx, r, parent.Info.ID); err != nil {
			return fmt.Errorf("%s: %w", r.Name(), err)
		}
		x.sent[r.Name()] = r.Stamp()
	}
	u := update{run: parent, params: params(first), points: summary(runs), status: together(runs), ended: lastEnd(runs)}
	if err := x.apply(ctx, u); err != nil {
		return fmt.Errorf("%s/%s: %w", first.Study, first.Variant, err)
	}
	return nil
}

// note returns the description at the top of the run's page in MLflow.
func note(r export.Run) string {
	said := strings.Join(r.Changes, " · ")
	if said == "" {
		said = "The baseline of " + r.Study + "."
	}
	for _, n := range r.Notes.Notes {
		said += "\n\n" + n.Text
	}
	return said
}

// seed brings a run up to date with its record.
func (x *experiment) seed(ctx context.Context, r export.Run, parent string) error {
	tags := map[string]string{
		tagKind: "run", tagRun: fmt.Sprintf("%s/%d", r.Variant, r.Seed), tagIdentity: r.Identity, tagParent: parent,
		tagNote:    note(r),
		tagStarted: began(r.Record).Format(time.RFC3339Nano), "ablate.study": r.Study, "ablate.variant": r.Variant,
		"mlflow.source.name": "ablate", "mlflow.source.type": "LOCAL",
	}
	if p := r.Provenance; p != nil && p.Commit != "" {
		tags["mlflow.source.git.commit"] = p.Commit
	}
	remote, err := x.ensure(ctx, fmt.Sprintf("%s/seed-%d", r.Variant, r.Seed), began(r.Record), tags)
	if err != nil {
		return err
	}
	if err := x.inputs(ctx, r, remote); err != nil {
		return err
	}
	u := update{run: remote, params: params(r), tags: state(r), points: points(r), status: status(r.Status),
		ended: lastEnd([]export.Run{r})}
	if r.Status != experiments.Running {
		if u.files, err = x.runFiles(r); err != nil {
			return err
		}
	}
	return x.apply(ctx, u)
}

// state returns the tags that change while a run trains.
func state(r export.Run) map[string]string {
	tags := map[string]string{
		"ablate.status": string(r.Status), "ablate.attempts": strconv.Itoa(len(r.Attempts)), tagNote: note(r),
	}
	if len(r.Notes.Tags) > 0 {
		tags["ablate.tags"] = strings.Join(r.Notes.Tags, ", ")
	}
	if r.Error != "" {
		tags["ablate.error"] = r.Error
	}
	if n := len(r.Attempts); n > 0 {
		tags["ablate.hardware"] = r.Attempts[n-1].Hardware
	}
	if odd := notFinite(r); odd != "" {
		tags["ablate.not_finite"] = odd
	}
	return tags
}

// notFinite lists the figures that MLflow does not store exactly: its database has no infinities, and stores the
// largest number instead.
func notFinite(r export.Run) string {
	var said []string
	for _, m := range r.Metrics {
		if v := float64(m.Value); math.IsNaN(v) || math.IsInf(v, 0) {
			said = append(said, fmt.Sprintf("%s is %v at step %d", m.Name, v, m.Step))
		}
	}
	return strings.Join(said, ", ")
}

// Infinities counts the measurements that MLflow stores as ±1.797e308.
func Infinities(runs []export.Run) (n int) {
	for _, r := range runs {
		for _, m := range r.Metrics {
			if math.IsInf(float64(m.Value), 0) {
				n++
			}
		}
	}
	return n
}

// status returns MLflow's word for our status.
func status(s experiments.Status) string {
	switch s {
	case experiments.Done:
		return "FINISHED"
	case experiments.Running:
		return "RUNNING"
	case experiments.Interrupted:
		return "KILLED"
	default: // diverged and failed
		return "FAILED"
	}
}

// together returns a variant's status: running while one of its seeds runs.
func together(runs []export.Run) string {
	worst := "FINISHED"
	for _, r := range runs {
		switch s := status(r.Status); {
		case s == "RUNNING":
			return s
		case s != "FINISHED":
			worst = s
		}
	}
	return worst
}

func began(r experiments.Record) time.Time {
	if len(r.Attempts) == 0 {
		return time.UnixMilli(0).UTC()
	}
	return r.Attempts[0].Started.UTC()
}

func lastEnd(runs []export.Run) (last time.Time) {
	for _, r := range runs {
		if n := len(r.Attempts); n > 0 && r.Attempts[n-1].Ended.After(last) {
			last = r.Attempts[n-1].Ended
		}
	}
	return last
}

// params returns a recipe's keys. They cannot be changed once they are sent. The data's folder may change between
// attempts and is left out.
func params(r export.Run) map[string]string {
	m := map[string]string{"variant": r.Variant, "params": strconv.FormatInt(r.Params, 10),
		"macs": strconv.FormatInt(r.MACs, 10)}
	for k, v := range r.Keys {
		if k == "data.root" {
			continue
		}
		text := fmt.Sprint(v)
		if f, ok := v.(float64); ok {
			text = strconv.FormatFloat(f, 'g', -1, 64)
		}
		m[allowed(k)] = shortened(text, maxParam)
	}
	return m
}

// points returns a run's measurements in the order they were made, followed by its best figures and its speed.
func points(r export.Run) []point {
	var all []point
	best := map[string]point{}
	for _, m := range r.Metrics {
		if m.Attempt < 1 || m.Attempt > len(r.Attempts) {
			continue
		}
		at := r.Attempts[m.Attempt-1].Started.UnixMilli() + int64(1000*m.Seconds)
		p := point{Key: allowed(m.Name), Value: m.Value, Timestamp: at, Step: m.Step}
		all = append(all, p)
		if b, ok := best[m.Name]; strings.HasSuffix(m.Name, "_error") && (!ok || p.Value < b.Value) {
			best[m.Name] = p
		}
	}
	res := r.Result
	if res == nil || r.Status != experiments.Done || len(r.Attempts) == 0 {
		return all
	}
	// MLflow lists a run by the last value of each metric: the best one needs a name of its own.
	for _, name := range slices.Sorted(maps.Keys(best)) {
		p := best[name]
		p.Key = allowed("best_" + name)
		all = append(all, p)
	}
	end := r.Attempts[len(r.Attempts)-1].Ended.UnixMilli()
	return append(all, point{Key: "images_per_second", Value: res.ImagesPerSecond, Timestamp: end,
		Step: int64(res.Epochs)})
}

// summary returns a variant's error over its seeds. Its step is the number of finished seeds.
func summary(runs []export.Run) []point {
	var top1 []float64
	for _, r := range runs {
		if r.Status == experiments.Done && r.Result != nil {
			top1 = append(top1, float64(r.Result.Top1Error))
		}
	}
	n := float64(len(top1))
	if n == 0 {
		return nil
	}
	mean := 0.0
	for _, v := range top1 {
		mean += v / n
	}
	at := lastEnd(runs).UnixMilli()
	all := []point{{Key: "mean_test_top1_error", Value: experiments.Number(mean), Timestamp: at, Step: int64(n)}}
	if n > 1 {
		squares := 0.0
		for _, v := range top1 {
			squares += (v - mean) * (v - mean)
		}
		sd := math.Sqrt(squares / (n - 1))
		all = append(all, point{Key: "sd_test_top1_error", Value: experiments.Number(sd), Timestamp: at, Step: int64(n)})
	}
	return all
}

// inputs names the images that a run was trained and tested on.
func (x *experiment) inputs(ctx context.Context, r export.Run, remote run) error {
	if r.Provenance == nil {
		return nil
	}
	known := map[string]bool{}
	for _, in := range remote.Inputs.Datasets {
		known[in.Dataset.Digest+values(in.Tags)["mlflow.data.context"]] = true
	}
	type dataset struct {
		Name   string `json:"name"`
		Digest string `json:"digest"`
		Type   string `json:"source_type"`
		Source string `json:"source"`
	}
	type input struct {
		Tags    []pair  `json:"tags"`
		Dataset dataset `json:"dataset"`
	}
	var list []input
	name, _ := r.Keys["data.name"].(string)
	for _, split := range slices.Sorted(maps.Keys(r.Provenance.Data)) {
		digest := r.Provenance.Data[split]
		if strings.HasPrefix(split, "left out: ") || digest == "" {
			continue
		}
		digest = digest[:min(len(digest), maxDigest)]
		context := map[string]string{"train": "training", "test": "testing"}[split]
		context = cmp.Or(context, split)
		if known[digest+context] {
			continue
		}
		list = append(list, input{
			Tags: []pair{{"mlflow.data.context", context}},
			Dataset: dataset{Name: shortened(cmp.Or(name, "data")+" "+split, maxName), Digest: digest, Type: "local",
				Source: `{"uri": ""}`},
		})
	}
	if len(list) == 0 {
		return nil
	}
	return x.client.post(ctx, "runs/log-inputs", map[string]any{"run_id": remote.Info.ID, "datasets": list}, nil)
}

// An update is the intended state of a run on the server.
type update struct {
	run    run
	params map[string]string
	tags   map[string]string
	points []point
	files  []file
	status string
	ended  time.Time
}

// apply sends what the server lacks: points first, then files, and last that the run has ended. An interrupted upload
// is thus recognisable.
func (x *experiment) apply(ctx context.Context, u update) error {
	if err := x.log(ctx, u); err != nil {
		return err
	}
	if err := x.upload(ctx, u.run, u.files); err != nil {
		return err
	}
	if u.run.Info.Status == u.status {
		return nil
	}
	body := map[string]any{"run_id": u.run.Info.ID, "status": u.status}
	if u.status != "RUNNING" && !u.ended.IsZero() {
		body["end_time"] = u.ended.UnixMilli()
	}
	return x.client.post(ctx, "runs/update", body, nil)
}

// log sends each metric's points after the last one that the server has, and the parameters and tags that it lacks. A
// batch that arrives twice is stored once.
func (x *experiment) log(ctx context.Context, u update) error {
	last := map[string]int64{}
	for _, m := range u.run.Data.Metrics {
		last[m.Key] = m.Step
	}
	metrics := slices.DeleteFunc(slices.Clone(u.points), func(p point) bool {
		step, ok := last[p.Key]
		return ok && p.Step <= step
	})
	params := missing(u.params, values(u.run.Data.Params), false)
	tags := missing(u.tags, values(u.run.Data.Tags), true)
	for len(metrics)+len(params)+len(tags) > 0 {
		batch := map[string]any{"run_id": u.run.Info.ID}
		room := maxMetrics
		take := func(n, most int) int {
			n = min(n, most, room)
			room -= n
			return n
		}
		p, t := take(len(params), maxParams), take(len(tags), maxTags)
		m := take(len(metrics), maxMetrics)
		batch["params"], params = params[:p], params[p:]
		batch["tags"], tags = tags[:t], tags[t:]
		batch["metrics"], metrics = append([]point{}, metrics[:m]...), metrics[m:] // MLflow fails on null
		if err := x.client.post(ctx, "runs/log-batch", batch, nil); err != nil {
			return err
		}
	}
	return nil
}

// missing returns the pairs that have lacks. With renew it also returns those with another value in have.
func missing(want, have map[string]string, renew bool) []pair {
	list := []pair{}
	for _, p := range pairs(want) {
		if value, ok := have[p.Key]; !ok || renew && value != p.Value {
			list = append(list, p)
		}
	}
	return list
}

// allowed replaces in a key what MLflow refuses by _.
func allowed(key string) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) && r < unicode.MaxASCII || unicode.IsDigit(r) && r < unicode.MaxASCII ||
			strings.ContainsRune("_-./ ", r) {
			return r
		}
		return '_'
	}, shortened(key, maxName))
	// A key is a path in MLflow, which must be in its shortest form and lead nowhere else.
	parts := strings.Split(clean, "/")
	for i, p := range parts {
		if strings.Trim(p, ". ") == "" {
			parts[i] = "_"
		}
	}
	return strings.Join(parts, "/")
}

// shortened shortens a text to at most n characters.
func shortened(text string, n int) string {
	r := []rune(strings.ToValidUTF8(text, "\uFFFD"))
	return string(r[:min(len(r), n)])
}
