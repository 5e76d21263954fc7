package render

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"ablate/arch"
	"ablate/experiments"
	"ablate/internal/golden"
	"ablate/recipe"
	"ablate/reports"
	"ablate/reports/stats"
)

const testCPU = "cpu, AMD EPYC 9R14, 2 threads, avx512"

// stored returns a recipe in the form that a record holds.
func stored(net, dataset string, change func(*recipe.Recipe)) json.RawMessage {
	r := recipe.Defaults()
	n, err := arch.Nets.Load(net)
	if err != nil {
		panic(err)
	}
	r.Net, r.Data.Name = n, dataset
	if change != nil {
		change(&r)
	}
	text, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return text
}

var cifar40 = stored("cuda-convnet-11pct", "cifar10", func(r *recipe.Recipe) { r.Train.Epochs = 40 })

// tenCrop sets the paper's test protocol and its 90 epochs.
func tenCrop(r *recipe.Recipe) { r.Data.TestCrops, r.Train.Epochs = recipe.TenCrop, 90 }

// done returns a finished run. Errors are in test images of 10,000.
func done(variant string, seed uint64, wrong float64, changes ...string) experiments.Record {
	return experiments.Record{
		Version: experiments.FormatVersion, Study: "cifar10-norm", Variant: variant, Seed: seed, Identity: "recipe of " +
			variant,
		Recipe:  cifar40,
		Changes: changes, Params: 2_112_890, MACs: 19_491_840, Status: experiments.Done,
		Attempts: []experiments.Attempt{{Hardware: testCPU, Threads: 2}},
		Result: &experiments.Result{
			Epochs: 40, Top1Error: experiments.Number(wrong / 10000), TestExamples: 10000,
			ImagesPerSecond: experiments.Number(2140 + 7*float64(seed) + float64(len(variant))),
		},
		Provenance: &experiments.Provenance{
			Commit: "9eb1517d7986db89067a8c6d7cfc87230065ede9", Dirty: true,
			Data:    map[string]string{"train": "2f1c6f5c1a9e4d7f", "test": "77aa0d3b2c41e95d"},
			Command: []string{"/tmp/go-build1/exe/ablate", "run", "cifar10-norm", "--set", "train.lr=0.001 "},
		},
	}
}

func broken(variant string, seed uint64, status experiments.Status, why string) experiments.Record {
	r := done(variant, seed, 0)
	r.Status, r.Error, r.Result = status, why, nil
	return r
}

// runs returns a run for each seed, counted from 1.
func runs(variant, changes string, wrong ...float64) []experiments.Record {
	var all []experiments.Record
	for i, w := range wrong {
		all = append(all, done(variant, uint64(i+1), w, strings.Fields(changes)...))
	}
	if changes != "" {
		for i := range all {
			all[i].Changes = []string{changes}
		}
	}
	return all
}

var (
	baseline8 = runs("baseline", "", 1231, 1250, 1204, 1242, 1219, 1238, 1225, 1237)
	noLRN8    = runs("no-lrn", "− norm1, norm2", 1302, 1302, 1294, 1308, 1302, 1285, 1300, 1317)
	noPool8   = runs("no-overlap", "pool1, pool2: 3/2 → 2/2", 1228, 1262, 1209, 1231, 1230, 1246, 1218, 1242)
)

func eight() []experiments.Record { return slices.Concat(noPool8, baseline8, noLRN8) }

func three() []experiments.Record {
	return slices.Concat(baseline8[:3], noLRN8[:3], noPool8[:3],
		runs("no-dropout", "− drop6, drop7", 1411, 1430, 1399), runs("one-gpu", "columns: 2 → 1", 1225, 1239, 1221))
}

func troubled() []experiments.Record {
	half := done("no-lrn", 8, 1290, "− norm1, norm2")
	half.Result.Top1Error = experiments.Number(math.NaN())
	changed := done("mixed", 2, 1240)
	changed.Identity = "another recipe"
	small := done("no-overlap", 2, 1262)
	small.Result.TestExamples = 2000
	return slices.Concat(baseline8,
		noLRN8[:6], []experiments.Record{half, broken("no-lrn", 7, experiments.Diverged, "loss is NaN at epoch 2, step 391")},
		[]experiments.Record{
			broken("tanh", 1, experiments.Diverged, "loss is +Inf at epoch 1, step 12"),
			broken("tanh", 2, experiments.Diverged, "loss is NaN at epoch 1, step 9"),
			broken("tanh", 3, experiments.Failed, "write checkpoint: no space left on device"),
			done("no-overlap", 1, 1228), small,
			broken("no-overlap", 3, experiments.Failed, "write checkpoint: no space left on device"),
			broken("no-overlap", 4, experiments.Running, ""),
			broken("no-overlap", 5, experiments.Interrupted, ""),
			broken("waiting", 1, experiments.Running, ""),
			broken("strange", 1, "paused", ""),
			done("mixed", 1, 1230), changed,
		},
		[]experiments.Record{done("other-seeds", 21, 1230), done("other-seeds", 22, 1233)},
		runs("same", "train.batch: 128 → 64", 1231, 1250, 1204, 1242, 1219, 1238, 1225, 1237),
	)
}

// survivor beats the baseline under every seed it survives.
func survivor() []experiments.Record {
	return append(slices.Concat(baseline8, runs("lr×4", "train.lr: 0.001 → 0.004", 1131, 1151, 1104, 1142, 1119, 1138)),
		broken("lr×4", 7, experiments.Diverged, "loss is NaN"), broken("lr×4", 8, experiments.Diverged, "loss is NaN"))
}

func oddNames() []experiments.Record {
	var all []experiments.Record
	for i, name := range []string{
		"baseline", "通常の畳み込み", "שלום", "ohne|Pipe", "*bold* _em_ `code` [link](x) <b> & $1$ #7 ~~x~~ a_b \\",
		"tabs\tand\nlines", "\x1b[31mred\x1b[0m", "turn\u202eed", "NaN", "bad\xff utf8",
	} {
		all = append(all, runs(name, "set "+name, 1231+float64(i), 1250+float64(i))...)
	}
	for i := range all {
		all[i].Study = "odd|study_*"
	}
	return all
}

// published returns runs of the paper's net by the paper's protocol, with one of the paper's ablations, one that others
// measured on another net, and one that nobody published.
func published() []experiments.Record {
	all := slices.Concat(eight(), runs("tanh", "relu → tanh", 1500, 1510, 1505, 1490, 1500, 1520, 1500, 1499))
	paper := stored("alexnet", "imagenet", tenCrop)
	for i := range all {
		r := &all[i]
		r.Study = "mine"
		r.Recipe = paper
		result := *r.Result
		result.Epochs = 90
		r.Result = &result
		switch r.Variant {
		case "no-lrn":
			r.Ablations = []string{"no-lrn"}
		case "no-overlap":
			r.Ablations, r.Edited = []string{"no-overlapping-pooling"}, true
		case "tanh":
			r.Ablations = []string{"tanh"}
		}
	}
	return all
}

// degenerate returns losses that are infinite or NaN, that never vary, and that equal the baseline's.
func degenerate() []experiments.Record {
	var all []experiments.Record
	for _, v := range []struct {
		variant string
		losses  []float64
	}{
		{"baseline", []float64{0.5, 0.5, 0.5}}, {"same", []float64{0.5, 0.5, 0.5}}, {"apart", []float64{0.75, 0.75, 0.75}},
		{"infinite", []float64{math.Inf(1), math.Inf(1), 0.5}}, {"nan", []float64{math.NaN(), math.NaN(), math.NaN()}},
		{"huge", []float64{math.MaxFloat64, math.MaxFloat64, math.MaxFloat64}},
	} {
		for i, loss := range v.losses {
			r := done(v.variant, uint64(i+1), 1250)
			r.Result.TestLoss = experiments.Number(loss)
			all = append(all, r)
		}
	}
	return all
}

func twoMachines() []experiments.Record {
	all := slices.Concat(baseline8[:3], noLRN8[:3])
	for i := range all {
		all[i].Attempts = []experiments.Attempt{{Hardware: testCPU}}
	}
	all[5].Attempts = []experiments.Attempt{{Hardware: "cuda:0, NVIDIA H200"}}
	all[5].Result = &experiments.Result{Epochs: 40, Top1Error: 0.13, TestExamples: 10000, ImagesPerSecond: 51234.4}
	all[4].Attempts = []experiments.Attempt{{Hardware: testCPU}, {Hardware: "cuda:0, NVIDIA H200"}}
	return all
}

// twoDevices returns a comparison of devices: the same training on one and on two, and another net.
func twoDevices() []experiments.Record {
	all := slices.Concat(runs("baseline", "", 1230), runs("two-devices", "on cpu:0,cpu:1", 1230),
		runs("one-gpu", "columns 2→1, on cpu", 1240))
	for i, device := range []string{"cpu", "cpu:0,cpu:1", "cpu"} {
		hardware := []string{testCPU, "2 × half of " + testCPU, testCPU}[i]
		all[i].Attempts = []experiments.Attempt{{Device: device, Hardware: hardware}}
		all[i].Result.ImagesPerSecond = experiments.Number(20 - i)
	}
	all[1].Result.BytesMoved = 123_456_789
	return all
}

func TestGolden(t *testing.T) {
	declared := []string{"baseline", "no-lrn", "no-overlap", "no-dropout", "one-gpu"}
	trained, own := theirs()
	noBaseline := broken("baseline", 1, experiments.Failed, "out of memory")
	for _, c := range []struct {
		name    string
		study   string
		records []experiments.Record
		opts    reports.Options
	}{
		{"eight-seeds", "cifar10-norm", eight(), reports.Options{Variants: declared[:3]}},
		{"eight-seeds-speed", "cifar10-norm", eight(), reports.Options{Variants: declared[:3], Speed: true}},
		{"eight-seeds-narrow", "cifar10-norm", eight(), reports.Options{Variants: declared[:3], Speed: true, Width: 80}},
		{"three-seeds", "cifar10-norm", three(), reports.Options{Variants: declared}},
		{"one-seed", "cifar10-norm", slices.Concat(baseline8[:1], noLRN8[:1]), reports.Options{}},
		{"troubled", "cifar10-norm", troubled(), reports.Options{Variants: []string{"baseline", "no-lrn", "tanh",
			"declared-only"}}},
		{"survivor", "cifar10-norm", survivor(), reports.Options{}},
		{"no-baseline", "cifar10-norm", slices.Concat(noPool8, noLRN8), reports.Options{}},
		{"baseline-unfinished", "cifar10-norm", append(slices.Clone(noLRN8), noBaseline), reports.Options{}},
		{"odd-names", "odd|study_*", oddNames(), reports.Options{}},
		{"one-net-each", "cifar10-norm", slices.Concat(baseline8[:1], noLRN8[:1]), reports.Options{Predictions: twoNets}},
		{"factorial", "cifar10-norm", factorial(), reports.Options{Columns: []string{"changed", "error", "wins", "delta",
			"verdict"}}},
		{"unadjusted", "cifar10-norm", factorial(), reports.Options{Unadjusted: true}},
		{"matrix", "cifar10-norm", factorial(), reports.Options{Shape: reports.Matrix}},
		{"cumulative", "cifar10-norm", factorial()[:24], reports.Options{Shape: reports.Cumulative}},
		{"best", "cifar10-norm", eight(), reports.Options{At: reports.At{Best: true}, Metrics: history}},
		{"two-machines", "cifar10-norm", twoMachines(), reports.Options{Speed: true}},
		{"two-devices", "cifar10-norm", twoDevices(), reports.Options{Speed: true}},
		{"published", "mine", published(), reports.Options{}},
		{"one-variant", "cifar10-norm", baseline8, reports.Options{}},
		{"own-metric", "mine", trained, own},
		{"degenerate", "cifar10-norm", degenerate(), reports.Options{Metric: "test_loss"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, err := reports.Table(c.study, c.records, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			for _, format := range Formats() {
				renders(t, c.name+"."+format, func(b *bytes.Buffer) error { return Render(b, table, format) })
			}
		})
	}
}

// renders compares what is rendered with a golden file.
func renders(t *testing.T, name string, render func(*bytes.Buffer) error) {
	t.Helper()
	var b bytes.Buffer
	if err := render(&b); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, filepath.Join("testdata", name), b.String())
}

// The order records are read in must not show, nor must anything that varies from run to run.
func TestDeterministic(t *testing.T) {
	print := func(records []experiments.Record) string {
		table, err := reports.Table("cifar10-norm", records, reports.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		for _, f := range Formats() {
			if err := Render(&b, table, f); err != nil {
				t.Fatal(err)
			}
		}
		return b.String()
	}
	want := print(troubled())
	random := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		records := troubled()
		random.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		for i := range records {
			if records[i].Result != nil {
				result := *records[i].Result
				result.ImagesPerSecond = experiments.Number(1000 * random.Float64())
				records[i].Result = &result
			}
			records[i].Attempts = []experiments.Attempt{{Hardware: testCPU, PID: random.Int(),
				Host: fmt.Sprint(random.Uint64())}}
		}
		if diff := cmp.Diff(want, print(records)); diff != "" {
			t.Fatalf("shuffled records with other speeds print otherwise:\n%s", diff)
		}
	}
}

func TestModel(t *testing.T) {
	table, err := reports.Table("cifar10-norm", eight(), reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range table.Rows {
		names = append(names, r.Variant)
	}
	if want := []string{"baseline", "no-lrn", "no-overlap"}; !slices.Equal(names, want) {
		t.Errorf("rows %v, want %v", names, want)
	}
	if table.Rows[0].Delta != nil {
		t.Error("the baseline is compared with itself")
	}
	d := table.Rows[1].Delta
	// 71 52 90 66 83 47 75 80: all of one sign, so p = 2/2^8, which max-T does not raise.
	if d.K != 8 || d.P != 1.0/128 || d.Adjusted != 1.0/128 || d.Verdict.Word != stats.Worse ||
		math.Abs(d.Mean-0.00705) > 1e-12 {
		t.Errorf("no-lrn: %+v", *d)
	}
	if s := table.Rows[0].Speeds; len(s) != 1 || s[0].Runs != 8 || s[0].ImagesPerSecond != 2148+7*4.5 {
		t.Errorf("speeds of the baseline: %+v", s)
	}
}

// A claim that holds alone may not hold within the declared family.
func TestFamilyIsWhatTheStudyDeclares(t *testing.T) {
	records := slices.Concat(baseline8, noLRN8)
	declared := []string{"baseline", "no-lrn", "b", "c", "d", "e", "f", "g"}
	table, err := reports.Table("cifar10-norm", records, reports.Options{Variants: declared})
	if err != nil {
		t.Fatal(err)
	}
	got := table.Rows[1].Delta.Verdict
	// One pattern of signs serves all rows, so that eight seeds suffice for seven variants; Holm needed nine.
	if table.Family != 7 || got.Word != stats.Worse {
		t.Errorf("family %d, verdict %+v; want 7 and worse", table.Family, got)
	}
}

func TestThreeSeedsNeverClaim(t *testing.T) {
	table, err := reports.Table("cifar10-norm", slices.Concat(baseline8[:3], runs("broken", "", 9000, 9000, 9000)),
		reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := table.Rows[1].Delta; d.P != 0.25 || d.Verdict.Word != stats.TooFew || d.Verdict.Needs != 6 {
		t.Errorf("three seeds, 78 points apart: %+v", *d)
	}
}

func TestBadRecords(t *testing.T) {
	other := done("no-lrn", 1, 1300)
	other.Study = "another"
	for _, c := range []struct {
		name    string
		records []experiments.Record
		is      error
		say     string
	}{
		{"none", nil, reports.ErrNoRuns, "report cifar10-norm: no runs recorded; `ablate run cifar10-norm` makes some"},
		{"another study's", []experiments.Record{baseline8[0], other}, reports.ErrRecords, `one is of study "another"`},
		{"twice the same run", []experiments.Record{baseline8[0], baseline8[0]}, reports.ErrRecords,
			`two are of variant "baseline", seed 1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := reports.Table("cifar10-norm", c.records, reports.Options{})
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.say) {
				t.Errorf("got %v, want %v that says %q", err, c.is, c.say)
			}
		})
	}
}

// Records as bare as they come make a table, not a crash.
func TestBareRecords(t *testing.T) {
	for _, r := range []experiments.Record{
		{Variant: "baseline"},
		{Variant: "baseline", Status: experiments.Done},
		{Variant: "baseline", Status: experiments.Done, Result: &experiments.Result{}},
		{Variant: "baseline", Status: experiments.Done,
			Result: &experiments.Result{Top1Error: experiments.Number(math.Inf(1))}},
		{Variant: "baseline", Status: experiments.Done, Result: &experiments.Result{Top1Error: 2},
			Provenance: &experiments.Provenance{}},
		{Variant: "", Seed: math.MaxUint64, Recipe: json.RawMessage(`{"Net":"alexnet","Data":"x"}`)},
		{Variant: "x", Recipe: json.RawMessage(`[`)},
	} {
		table, err := reports.Table("", []experiments.Record{r}, reports.Options{Speed: true, Width: 1})
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		for _, f := range Formats() {
			if err := Render(&bytes.Buffer{}, table, f); err != nil {
				t.Errorf("%+v: %v", r, err)
			}
		}
	}
}

func TestUnknownFormat(t *testing.T) {
	table, err := reports.Table("cifar10-norm", eight(), reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	err = Render(&b, table, "latex")
	if !errors.Is(err, reports.ErrFormat) ||
		err.Error() != `unknown format "latex"; want one of text, md, tex, csv, json, metafile` || b.Len() > 0 {
		t.Errorf("got %v and %d bytes", err, b.Len())
	}
}

// A narrow terminal gets every cell, in lines that fit.
func TestWidth(t *testing.T) {
	for _, width := range []int{60, 80, 100, 120} {
		table, err := reports.Table("cifar10-norm", eight(), reports.Options{Speed: true, Width: width})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := Render(&b, table, "text"); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if w := widthOf(line); w > width {
				t.Errorf("width %d: %d cells: %s", width, w, line)
			}
		}
		for _, want := range []string{"+0.71 [+0.53, +0.87]", "0.0078", "19.5 M", "2,178"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("width %d: %q is missing", width, want)
			}
		}
	}
}

func widthOf(line string) int { return width(strings.TrimSuffix(line, "\n")) }

func TestMarkdownRowsKeepTheirColumns(t *testing.T) {
	table, err := reports.Table("odd|study_*", oddNames(), reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Render(&b, table, "md"); err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		n++
		if got := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); got != 10 {
			t.Errorf("%d pipes set columns apart, want 10: %s", got, line)
		}
	}
	if n != 2+10 {
		t.Errorf("%d lines of table, want header, rule and 10 rows", n)
	}
}

func TestFigures(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{siCount(0), "–"}, {siCount(-1), "–"}, {siCount(7), "7"}, {siCount(898), "898"}, {siCount(999), "999"},
		{siCount(1000), "1.00 k"},
		{siCount(2_112_890), "2.11 M"}, {siCount(19_491_840), "19.5 M"},
		{siCount(60_965_224), "61.0 M"}, {siCount(724_406_816), "724 M"},
		{siCount(999_499), "999 k"}, {siCount(999_500), "1.00 M"}, {siCount(9_995), "10.0 k"},
		{siCount(math.MaxInt64), "9.22 E"},
		{reports.Thousands(2140.4), "2,140"}, {reports.Thousands(999.6), "1,000"}, {reports.Thousands(3.14), "3.1"},
		{reports.Thousands(1234567), "1,234,567"}, {reports.Thousands(42), "42"},
		{reports.PValue(1), "1"}, {reports.PValue(0.64453125), "0.64"}, {reports.PValue(0.03125), "0.031"},
		{reports.PValue(0.0078125), "0.0078"}, {reports.PValue(0.00002), "< 0.0001"},
		{superscript(120), "¹²⁰"},
		{reports.CommandLine([]string{"/x/ablate.exe", "run", "a b", "it's", ""}), `ablate run 'a b' 'it'\''s' ''`},
		{reports.Sanitize("a\nb\x1b[0m\u202e"), `a b\x1b[0m\u202e`},
		{escape("a|b *c* _d_ e_f <g> &h"), `a\|b \*c\* \_d\_ e_f &lt;g> &amp;h`},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// Whatever the names, a table is printed whole: no control characters, no broken rows.
func FuzzNames(f *testing.F) {
	f.Add("no-lrn", "− norm1")
	f.Add("通|常", "\x1b]0;x\a")
	f.Add("\u2066\u202e", "a\\|b")
	f.Add("{$x_1^2$}%#~", "\\\\[2em] & \\end{tabular}")
	f.Add("- a: [b", "#: \"")
	f.Fuzz(func(t *testing.T, name, change string) {
		records := slices.Concat(runs("baseline", "", 1231, 1250), runs("x"+name, change, 1240, 1260))
		table, err := reports.Table("cifar10-norm", records, reports.Options{Width: 80})
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range Formats() {
			var b bytes.Buffer
			if err := Render(&b, table, format); err != nil {
				t.Fatal(err)
			}
			for _, r := range b.String() {
				if r != '\n' && (r < ' ' || r == 0x7f || r == '\u202e') {
					t.Errorf("%s: %q in the output", format, r)
				}
			}
			checkWhole(t, format, b.String(), len(table.Rows))
		}
	})
}

// checkWhole finds the table's rows in a format's output.
func checkWhole(t *testing.T, format, text string, rows int) {
	t.Helper()
	switch format {
	case "md":
		for line := range strings.Lines(text) {
			line = strings.ReplaceAll(line, `\\`, "")
			if strings.HasPrefix(line, "|") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") != 10 {
				t.Errorf("columns of %q", line)
			}
		}
	case "csv":
		if lines, err := csv.NewReader(strings.NewReader(text)).ReadAll(); err != nil || len(lines) != 1+rows {
			t.Errorf("CSV of %d lines, %v", len(lines), err)
		}
	case "json":
		var report struct{ Rows []any }
		if err := json.Unmarshal([]byte(text), &report); err != nil || len(report.Rows) != rows {
			t.Errorf("JSON of %d rows, %v", len(report.Rows), err)
		}
	case "metafile":
		var index struct {
			Models []any `yaml:"Models"`
		}
		if err := yaml.Unmarshal([]byte(text), &index); err != nil || len(index.Models) != rows {
			t.Errorf("YAML of %d models, %v", len(index.Models), err)
		}
	case "tex":
		_, body, _ := strings.Cut(text, "\\midrule\n")
		body, _, _ = strings.Cut(body, "\\bottomrule")
		depth, columns := 0, 0
		for line := range strings.Lines(body) {
			line = strings.NewReplacer(`\textbackslash`, "", `\{`, "", `\}`, "", `\&`, "", `\%`, "", `\#`, "", `\$`, "", `\_`,
				"").Replace(line)
			depth += strings.Count(line, "{") - strings.Count(line, "}")
			columns += strings.Count(line, "&")
			if strings.ContainsAny(line, "%#_^~") {
				t.Errorf("TeX would act on a sign in %q", line)
			}
		}
		if depth != 0 || columns != len(latexUsual)*rows {
			t.Errorf("%d braces open, %d columns in %d rows of TeX", depth, columns, rows)
		}
	}
}
