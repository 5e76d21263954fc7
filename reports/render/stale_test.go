package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"ablate/experiments"
	"ablate/recipe"
	"ablate/reports"
)

// noted reports whether a row has a note with the words.
func noted(r reports.Row, words string) bool {
	return slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, words) })
}

// A baseline on data A and a variant on data B were once compared without a word, and so was a variant trained
// before the baseline's rate was changed with --fresh --variants baseline.
func TestRowsThatDifferInMoreThanTheySay(t *testing.T) {
	elsewhere := runs("elsewhere", "− norm1", 1290, 1300, 1280, 1310, 1300, 1290, 1300, 1310)
	for i := range elsewhere {
		p := *elsewhere[i].Provenance
		p.Data = maps.Clone(p.Data)
		p.Data["train"] = "another digest"
		elsewhere[i].Provenance = &p
	}
	stale := runs("stale", "− norm1", 1290, 1300, 1280, 1310, 1300, 1290, 1300, 1310)
	named := runs("named", "train.lr 0.001→0.5", 1290, 1300, 1280, 1310, 1300, 1290, 1300, 1310)
	for i := range stale {
		faster := stored("cuda-convnet-11pct", "cifar10", func(r *recipe.Recipe) { r.Train.Epochs, r.Train.LR = 40, 0.5 })
		stale[i].Recipe, named[i].Recipe = faster, faster
	}
	lr := recipe.Defaults().Train.LR
	for i := range named {
		named[i].Changes = []string{"train.lr " + exact(lr) + "→0.5"}
	}
	records := slices.Concat(eight(), elsewhere, stale, named)
	table, err := reports.Table("cifar10-norm", records, reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range table.Rows[1:] {
		why := map[string]string{
			"elsewhere": "not compared: the data were others under the same name (train)",
			"stale":     "not compared: it differs from the baseline in more than it says: train.lr ",
		}[r.Variant]
		if (why == "") != (r.Delta != nil) || why != "" && !noted(r, why) {
			t.Errorf("%s: delta %v, notes %q; want %q", r.Variant, r.Delta != nil, r.Notes, why)
		}
	}
}

// Differences between a program's params are reported like those between nets. --against once said "another recipe",
// and a variant that was trained before the baseline's rate was changed was compared without a note.
func TestRecipesOfPrograms(t *testing.T) {
	program := func(records []experiments.Record, rate float64) []experiments.Record {
		text, err := json.Marshal(recipe.Recipe{Trainer: &recipe.Trainer{Command: []string{"train"}},
			Params: map[string]any{"rate": rate}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range records {
			records[i].Recipe = text
		}
		return records
	}
	records := slices.Concat(program(runs("baseline", "", 1231, 1250, 1204), 0.1),
		program(runs("fast", "rate 0.1→0.5", 1290, 1300, 1280), 0.5), program(runs("stale", "", 1290, 1300, 1280), 0.2))
	table, err := reports.Table("cifar10-norm", records, reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if table.Rows[1].Delta == nil || table.Rows[2].Delta != nil ||
		!noted(table.Rows[2], "not compared: it differs from the baseline in more than it says: rate 0.1→0.2") {
		t.Errorf("fast %+v, stale %+v", table.Rows[1], table.Rows[2])
	}
	later := program(runs("baseline", "", 1131, 1150, 1104), 0.3)
	for i := range later {
		later[i].Study = "later"
	}
	table, err = reports.Table("later", later, reports.Options{Against: "cifar10-norm", AgainstRecords: records})
	if err != nil || !slices.Equal(table.Rows[0].Changes, []string{"rate 0.1→0.3"}) {
		t.Errorf("%v: changes %q", err, table.Rows[0].Changes)
	}
}

// A change that makes a net larger or smaller without naming a size says so in a note.
func TestSizesThatMove(t *testing.T) {
	records := slices.Concat(baseline8, noLRN8, noPool8, runs("wide", "conv1: filters 64→128", 1200, 1210, 1190, 1200))
	for i := range records {
		switch records[i].Variant {
		case "no-overlap":
			records[i].Params, records[i].MACs = 2_800_000, 15_000_000
		case "wide":
			records[i].Params = 4_000_000
		}
	}
	table, err := reports.Table("cifar10-norm", records, reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range table.Rows {
		want := r.Variant == "no-overlap"
		if got := noted(r, "of another size than the baseline, which its changes do not name: parameters +33 %, "+
			"MACs −23 %"); got != want {
			t.Errorf("%s: notes %q", r.Variant, r.Notes)
		}
	}
	if !slices.ContainsFunc(table.Notes, func(n string) bool { return strings.Contains(n, "over different seeds") }) {
		t.Errorf("one row lacks four seeds, which the notes do not say: %q", table.Notes)
	}
}

// A rule that tells the baseline from itself fails its self-check.
func TestSelfCheckOfAA(t *testing.T) {
	for _, c := range []struct {
		wrong []float64
		holds bool
	}{
		{[]float64{1240, 1228, 1236, 1220, 1243, 1211, 1239, 1230}, true},
		{[]float64{1331, 1345, 1310, 1340, 1325, 1331, 1329, 1333}, false},
	} {
		records := slices.Concat(eight(), runs("aa", "train.seed_offset –→1000000", c.wrong...))
		check, err := reports.CheckSelf("cifar10-norm", records, reports.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if check.Again == nil || check.Holds() != c.holds || !check.ResidualCheck.Holds() {
			t.Errorf("A/A of %v: %+v, holds %v", c.wrong, check.Again, check.Holds())
		}
		for _, format := range []string{"text", "md", "tex", "csv", "json"} {
			renders(t, fmt.Sprintf("self-check-%v.%s", c.holds, format), func(b *bytes.Buffer) error {
				return SelfCheck(b, check, format)
			})
		}
		table, err := reports.Table("cifar10-norm", records, reports.Options{})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(table.Rows, func(r reports.Row) bool { return r.Variant == "aa" })
		if !table.Rows[i].Again || !noted(table.Rows[i], "A/A: the baseline itself under other seeds") {
			t.Errorf("aa: %q", table.Rows[i].Notes)
		}
	}
}
