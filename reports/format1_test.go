package reports

import (
	"encoding/json"
	"strings"
	"testing"

	"ablate/experiments"
	"ablate/recipe"
)

// A study that ablate began in format 1 and finished in today's format follows one recipe.
func TestStudyAcrossFormats(t *testing.T) {
	old, err := experiments.ReadRecord("../experiments/testdata/format-1/runs/old/baseline/seed-1")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := recipe.Decode(old.Recipe)
	if err != nil {
		t.Fatal(err)
	}
	today := old
	today.Version, today.Seed = experiments.FormatVersion, 2
	if today.Identity, err = stored.Identity(); err != nil {
		t.Fatal(err)
	}
	if today.Recipe, err = json.Marshal(stored); err != nil {
		t.Fatal(err)
	}
	if today.Identity == old.Identity {
		t.Fatal("the two formats do not differ")
	}
	table, err := Table("old", []experiments.Record{old, today}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if row := table.Rows[0]; row.Error.K != 2 || strings.Contains(strings.Join(row.Notes, " "), "different recipes") {
		t.Errorf("%+v", row)
	}
}
