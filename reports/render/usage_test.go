package render

import (
	"strings"
	"testing"

	"ablate/experiments"
	"ablate/reports"
)

// The runs' use of the machine is a column on request, and no other report changes.
func TestUsageColumns(t *testing.T) {
	records := eight()
	for i := range records {
		if records[i].Variant == "baseline" {
			records[i].Attempts = []experiments.Attempt{
				{Usage: &experiments.Usage{CPUSeconds: 10, PeakMemory: 2e9, CPUJoules: 100, GPUJoules: 400}},
				{Usage: &experiments.Usage{CPUSeconds: 2.5, PeakMemory: 1e9}}, // continued: sums, and the larger peak
			}
		}
	}
	table, err := reports.Table("cifar10-norm", records, reports.Options{Columns: usageNames})
	if err != nil {
		t.Fatal(err)
	}
	text := string(rendered(t, table, "text"))
	for _, want := range []string{"CPU s/run", "12.5", "2.00 GB", "500 J (4.00 kJ)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if csv := string(rendered(t, table, "csv")); !strings.Contains(csv, "cpu_seconds,peak_memory,joules,joules_all") ||
		!strings.Contains(csv, "baseline,12.5,2e+09,500,4000") {
		t.Error(csv)
	}
}
