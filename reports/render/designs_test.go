package render

import (
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"ablate/arch"
	"ablate/experiments"
	"ablate/recipe"
	"ablate/reports"
	"ablate/reports/stats"
)

// factorial makes a 2² study of eight seeds. no-lrn costs about 0.70 points, tanh
// 2.00, and together 1.00 more than their sum.
func factorial() []experiments.Record {
	luck := []float64{0, 19, -27, 11, -12, 7, -6, 6}
	wobble := []float64{3, -2, 1, 0, -1, 2, -3, 0}
	cell := func(variant string, cost float64, sign float64, ablations ...string) []experiments.Record {
		var all []experiments.Record
		for i := range luck {
			r := done(variant, uint64(i+1), 1231+luck[i]+cost+sign*wobble[i], ablations...)
			r.Ablations = ablations
			r.Result.TestLoss = experiments.Number(r.Result.Top1Error)
			all = append(all, r)
		}
		return all
	}
	return slices.Concat(cell("baseline", 0, 1), cell("no-lrn", 70, -1, "no-lrn"), cell("tanh", 200, 2, "tanh"),
		cell("no-lrn+tanh", 370, 0, "no-lrn", "tanh"))
}

func TestEffects(t *testing.T) {
	table, err := reports.Table("cifar10-norm", factorial(), reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Main effects: ½(0.70 + 1.70) and ½(2.00 + 3.00); interaction: ½(1.70 − 0.70).
	want := []struct {
		name string
		mean float64
		word stats.Word
	}{
		{"no-lrn", 0.0120, stats.Worse}, {"tanh", 0.0250, stats.Worse},
		// An interaction is a departure from the sum, and neither better nor worse, as it once was.
		{"no-lrn × tanh", 0.0050, stats.More},
	}
	if len(table.Effects) != len(want) {
		t.Fatalf("%d effects: %+v", len(table.Effects), table.Effects)
	}
	for i, w := range want {
		e := table.Effects[i]
		if e.Name() != w.name || math.Abs(e.Mean-w.mean) > 1e-12 || e.K != 8 || e.Verdict.Word != w.word {
			t.Errorf("effect %+v, want %s of %v, %s", e, w.name, w.mean, w.word)
		}
		if e.P != 1.0/128 || e.Adjusted != 1.0/128 {
			t.Errorf("%s: p = %v, adjusted %v; want 1/128 for both", w.name, e.P, e.Adjusted)
		}
	}
}

// Only whole designs are analysed, over the seeds that are whole.
func TestEffectsOfPartOfADesign(t *testing.T) {
	records := factorial()
	missing := slices.Clone(records)
	missing[31].Status = experiments.Failed
	table, err := reports.Table("cifar10-norm", missing, reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Effects) != 3 || table.Effects[0].K != 7 {
		t.Errorf("one run failed: %d effects", len(table.Effects))
	}
	missing[31].Status = experiments.Diverged
	if table, err = reports.Table("cifar10-norm", missing, reports.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, e := range table.Effects {
		if e.Verdict.Word != stats.NoEvidence && e.Verdict.Word != stats.TooFew {
			t.Errorf("a run diverged, and %s is claimed to be %s", e.Name(), e.Verdict.Word)
		}
	}
	table, err = reports.Table("cifar10-norm", records[:24], reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if table.Effects != nil {
		t.Errorf("three of four cells have effects: %+v", table.Effects)
	}
}

func TestCumulative(t *testing.T) {
	table, err := reports.Table("cifar10-norm", factorial(), reports.Options{Shape: reports.Cumulative,
		Variants: []string{"baseline", "no-lrn", "no-lrn+tanh", "tanh"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0, 0.0070, 0.0300, -0.0170} {
		d := table.Rows[i].Delta
		switch {
		case i == 0 && d != nil:
			t.Errorf("the first row is compared: %+v", *d)
		case i > 0 && math.Abs(d.Mean-want) > 1e-12:
			t.Errorf("row %d: %v above the row before it, want %v", i, d.Mean, want)
		}
	}
	if !slices.ContainsFunc(table.Notes, func(n string) bool { return strings.Contains(n, "the rows are no path") }) {
		t.Errorf("tanh does not apply all of no-lrn+tanh, and nobody says so: %q", table.Notes)
	}
}

func TestMatrix(t *testing.T) {
	table, err := reports.Table("cifar10-norm", slices.Concat(factorial(),
		runs("wide", "conv1: filters 32→64", 1200, 1210)), reports.Options{Shape: reports.Matrix})
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(table)
	if err != nil {
		t.Fatal(err)
	}
	var heads []string
	for _, c := range d.Columns[:4] {
		heads = append(heads, c.Head)
	}
	if want := []string{"variant", "no-lrn", "tanh", "wide"}; !slices.Equal(heads, want) {
		t.Fatalf("columns %q, want %q", heads, want)
	}
	for i, want := range []string{"baseline ···", "no-lrn ✓··", "no-lrn+tanh ✓✓·", "tanh ·✓·", "wide ··✓"} {
		r := d.Rows[i]
		if got := r[0].Text + " " + r[1].Text + r[2].Text + r[3].Text; got != want {
			t.Errorf("row %d is %s, want %s", i, got, want)
		}
	}
}

func TestAgainst(t *testing.T) {
	later := slices.Concat(runs("baseline", "", 1131, 1150, 1104, 1142, 1119, 1138, 1125, 1137), runs("new", "", 1300))
	longer := stored("cuda-convnet-11pct", "cifar10", func(r *recipe.Recipe) {
		r.Train.Epochs = 80
		r.Net.Layers = slices.DeleteFunc(r.Net.Layers, func(l arch.Layer) bool { return l.Spec.Kind() == "lrn" })
	})
	for i := range later {
		later[i].Study, later[i].Recipe = "longer", longer
	}
	table, err := reports.Table("longer", later, reports.Options{Against: "cifar10-norm", AgainstRecords: eight()})
	if err != nil {
		t.Fatal(err)
	}
	d := table.Rows[0].Delta
	if d == nil || math.Abs(d.Mean+0.01) > 1e-12 || d.Verdict.Word != stats.Better {
		t.Errorf("100 images better under each seed: %+v", d)
	}
	if want := []string{"− norm1, norm2", "train.epochs 40→80"}; !slices.Equal(table.Rows[0].Changes, want) {
		t.Errorf("changes %q, want %q", table.Rows[0].Changes, want)
	}
	if table.Rows[1].Delta != nil || !slices.Contains(table.Rows[1].Notes, "cifar10-norm has no variant of this name") {
		t.Errorf("a variant that only one study has: %+v", table.Rows[1])
	}
	if !slices.Contains(table.Notes, "only cifar10-norm has no-lrn, no-overlap") {
		t.Errorf("notes %q", table.Notes)
	}
	if _, err := reports.Table("longer", later, reports.Options{Against: "other",
		AgainstRecords: eight()}); !errors.Is(err, reports.ErrRecords) {
		t.Errorf("records of a third study: %v", err)
	}
}

// history returns a log in which the error falls to its least at epoch 3 of 4.
func history(r experiments.Record) ([]experiments.Metric, error) {
	if r.Variant == "unreadable" {
		return nil, errors.New("metrics.jsonl:3: a metric without a name")
	}
	var log []experiments.Metric
	for i, m := range []struct {
		epoch int
		wrong float64
	}{{1, 30}, {2, 20}, {3, 10}, {4, 15}} {
		log = append(log,
			experiments.Metric{Attempt: i, Epoch: m.epoch, Name: "test_loss", Value: 7},
			experiments.Metric{Attempt: i, Epoch: m.epoch, Name: "test_top1_error",
				Value: experiments.Number((m.wrong + float64(r.Seed)) / 100)})
	}
	return log, nil
}

func TestAt(t *testing.T) {
	for _, c := range []struct {
		at    string
		want  float64 // error of seed 1
		epoch int
	}{{"last", 0.1231, 40}, {"best", 0.11, 3}, {"epoch:2", 0.21, 2}, {"epoch:4", 0.16, 4}} {
		at, err := reports.ParseAt(c.at)
		if err != nil || at.String() != c.at {
			t.Fatalf("ParseAt(%q) = %v, %v", c.at, at, err)
		}
		table, err := reports.Table("cifar10-norm", slices.Concat(baseline8, runs("unreadable", "", 1300)),
			reports.Options{At: at, Metrics: history})
		if err != nil {
			t.Fatal(err)
		}
		if got := table.Rows[0].Runs[0]; math.Abs(got.Error-c.want) > 1e-12 || got.Epoch != c.epoch {
			t.Errorf("%s: %+v, want %v of epoch %d", c.at, got, c.want, c.epoch)
		}
		if c.at != "last" && !slices.ContainsFunc(table.Rows[1].Notes, func(n string) bool {
			return n == "seed 1 done, but metrics.jsonl:3: a metric without a name; left out"
		}) {
			t.Errorf("%s: notes of a log that cannot be read: %q", c.at, table.Rows[1].Notes)
		}
	}
	table, err := reports.Table("cifar10-norm", baseline8, reports.Options{At: reports.At{Epoch: 9}, Metrics: history})
	if err != nil || len(table.Rows[0].Runs) != 0 ||
		table.Rows[0].Notes[0] != "seeds 1–8 done, but its log has no test_top1_error at epoch 9; left out" {
		t.Errorf("an epoch that never was: %v, %q", err, table.Rows[0].Notes)
	}
	for _, bad := range []string{"first", "epoch:0", "epoch:", "epoch:-1", "epoch:x", "Best"} {
		if _, err := reports.ParseAt(bad); !errors.Is(err, reports.ErrOption) {
			t.Errorf("ParseAt(%q): %v", bad, err)
		}
	}
}

func TestMetric(t *testing.T) {
	records := slices.Concat(baseline8[:2], noLRN8[:2])
	records = slices.Clone(records)
	for i := range records {
		result := *records[i].Result
		result.TestLoss = experiments.Number(0.5 + 0.25*float64(i))
		records[i].Result = &result
	}
	records[3].Result.TestLoss = experiments.Number(math.Inf(1))
	table, err := reports.Table("cifar10-norm", records, reports.Options{Metric: "test_loss"})
	if err != nil {
		t.Fatal(err)
	}
	if got := table.Rows[0].Error.Mean; got != 0.625 {
		t.Errorf("mean loss %v, want 0.625", got)
	}
	if r := table.Rows[1]; len(r.Runs) != 1 || !slices.Contains(r.Notes,
		"seed 2 done, but its test loss is not a finite number; left out") {
		t.Errorf("a run of infinite loss: %+v", r)
	}
	if _, err := reports.Table("cifar10-norm", records, reports.Options{Metric: "accuracy"}); !errors.Is(err,
		reports.ErrOption) {
		t.Errorf("an unknown metric: %v", err)
	}
}

func TestColumns(t *testing.T) {
	table, err := reports.Table("cifar10-norm", eight(), reports.Options{Columns: []string{"wins", "interval", "seeds",
		"raw_p"}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(table)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range d.Rows[1] {
		got = append(got, c.Text)
	}
	// 0 of 8: [0, 0.369] by scipy's binomtest; t interval of the eight errors; k for 0.705 ± 0.149 among two comparisons.
	want := []string{"no-lrn", "0.00 [0.00, 0.37] meaningfully worse", "[12.93, 13.09]", "6", "0.0078"}
	if !slices.Equal(got, want) {
		t.Errorf("row %q, want %q", got, want)
	}
	table, err = reports.Table("cifar10-norm", eight(), reports.Options{Columns: []string{"speeed"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"text", "md", "tex", "csv"} {
		if err := Render(io.Discard, table, f); !errors.Is(err, reports.ErrOption) {
			t.Errorf("%s of an unknown column: %v", f, err)
		}
	}
	for _, name := range Columns() {
		table, err := reports.Table("cifar10-norm", eight(), reports.Options{Columns: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range Formats() {
			rendered(t, table, f)
		}
	}
}

// twoNets returns predictions on 40 images: the baseline's net alone is right on 9, the other alone on 3.
func twoNets(r experiments.Record) ([]experiments.Prediction, error) {
	var all []experiments.Prediction
	for i := range 40 {
		p := experiments.Prediction{Index: i, Label: i % 10, Rank: 1}
		switch baseline := r.Variant == "baseline"; {
		case i < 9 && !baseline, i >= 9 && i < 12 && baseline, i >= 35:
			p.Rank = 2
		}
		all = append(all, p)
	}
	return all, nil
}

// With one net each, the test on their predictions appears in a note that states its scope, and there is no claim.
func TestOneNetEach(t *testing.T) {
	records := slices.Concat(baseline8[:1], noLRN8[:1])
	table, err := reports.Table("cifar10-norm", records, reports.Options{Predictions: twoNets})
	if err != nil {
		t.Fatal(err)
	}
	d := table.Rows[1].Delta
	if d.Nets == nil || d.Nets.OnlyFirst != 3 || d.Nets.OnlySecond != 9 || math.Abs(d.Nets.P-0.14599609375) > 1e-12 {
		t.Errorf("nets %+v, want 3 against 9, p = 0.146", d.Nets)
	}
	if d.Verdict.Word != stats.TooFew {
		t.Errorf("verdict %+v on one seed", d.Verdict)
	}
	if !slices.ContainsFunc(table.Rows[1].Notes, func(n string) bool {
		return strings.Contains(n,
			"these two nets only")
	}) {
		t.Errorf("notes %q", table.Rows[1].Notes)
	}
	broken := func(r experiments.Record) ([]experiments.Prediction, error) {
		all, err := twoNets(r)
		if r.Variant != "baseline" {
			all[4].Label++
		}
		return all, err
	}
	table, err = reports.Table("cifar10-norm", records, reports.Options{Predictions: broken})
	if err != nil {
		t.Fatal(err)
	}
	if r := table.Rows[1]; r.Delta.Nets != nil || !slices.ContainsFunc(r.Notes, func(n string) bool {
		return strings.HasPrefix(n, "the two nets' predictions cannot be compared: line 6 is image 4 of class 5")
	}) {
		t.Errorf("predictions of different images are compared: %+v", r)
	}
}

func TestCheckSelf(t *testing.T) {
	check, err := reports.CheckSelf("cifar10-norm", eight(), reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if check.Rows != 2 || check.Seeds != 8 || check.Studies != 2000 || check.Claims == 0 {
		t.Errorf("%+v", check.ResidualCheck)
	}
	for format, want := range map[string]error{"text": nil, "md": nil, "tex": nil, "csv": nil, "json": nil,
		"pdf": reports.ErrFormat, "metafile": reports.ErrFormat} {
		if err := SelfCheck(io.Discard, check, format); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", format, err, want)
		}
	}
	if _, err := reports.CheckSelf("cifar10-norm", baseline8[:1], reports.Options{}); !errors.Is(err, reports.ErrOption) {
		t.Errorf("one seed: %v", err)
	}
}

// Only the last epoch is tested on ten views. A figure of another epoch is labelled as of one view.
func TestViews(t *testing.T) {
	records := slices.Clone(baseline8)
	for i := range records {
		records[i].Recipe = stored("alexnet", "imagenet", tenCrop)
		result := *records[i].Result
		result.Epochs = 4
		records[i].Result = &result
	}
	for _, c := range []struct {
		opts reports.Options
		want string
	}{
		{reports.Options{}, "test images seen by ten views, whose softmax outputs are averaged, at the last epoch"},
		{reports.Options{At: reports.At{Epoch: 4}, Metrics: history},
			"test images seen by ten views, whose softmax outputs are averaged, at the last epoch"},
		{reports.Options{At: reports.At{Epoch: 2}, Metrics: history},
			"test images seen by one view, the centre, before the last epoch"},
		{reports.Options{At: reports.At{Best: true}, Metrics: history},
			"test images seen by one view, the centre, before the last epoch"},
		{reports.Options{Metric: "train_loss"}, ""},
	} {
		table, err := reports.Table("cifar10-norm", records, c.opts)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for _, line := range table.Origin {
			if strings.HasPrefix(line, "test images") {
				got = line
			}
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.opts.At, got, c.want)
		}
	}
}

// A run that reached its end with an infinite loss counts as diverged: the other seeds do not support a claim in favour
// of its variant.
func TestInfiniteLossIsNoSurvivor(t *testing.T) {
	loss := func(records []experiments.Record, values ...float64) {
		for i := range records {
			result := *records[i].Result
			result.TestLoss = experiments.Number(values[i])
			records[i].Result = &result
		}
	}
	base, lucky := slices.Clone(baseline8), slices.Clone(noLRN8)
	loss(base, 0.50, 0.51, 0.52, 0.53, 0.54, 0.55, 0.56, 0.57)
	for _, c := range []struct {
		last float64
		want stats.Word
	}{{0.3, stats.Better}, {math.Inf(1), stats.NoEvidence}, {1e300, stats.NoEvidence}} {
		loss(lucky, 0.40, 0.42, 0.41, 0.43, 0.45, 0.44, 0.46, c.last)
		table, err := reports.Table("cifar10-norm", slices.Concat(base, lucky), reports.Options{Metric: "test_loss"})
		if err != nil {
			t.Fatal(err)
		}
		if v := table.Rows[1].Delta.Verdict; v.Word != c.want {
			t.Errorf("last loss %v: verdict %+v, want %s; notes %q", c.last, v, c.want, table.Rows[1].Notes)
		}
	}
}
