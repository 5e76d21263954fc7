package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-gota/gota/dataframe"
	"github.com/go-gota/gota/series"

	"ablate/experiments"
	"ablate/reports/stats"
)

// Columns of the frame that groups and sorts records. All are whole numbers:
// gota groups by printed values, which would merge names such as "NaN" with
// missing ones and round large seeds.
const (
	byVariant = "variant" // index among the names
	bySeed    = "seed"    // index among the sorted seeds
	byRecord  = "record"  // index among the records
)

// group returns the records of each name, sorted by seed. seeds holds all seeds in order.
func group(records []outcome, seeds []uint64, names []string) ([][]outcome, error) {
	var variant, seed, record []int
	for i, r := range records {
		place, _ := slices.BinarySearch(seeds, r.Seed)
		variant = append(variant, slices.Index(names, r.Variant))
		seed = append(seed, place)
		record = append(record, i)
	}
	frame := dataframe.New(
		series.New(variant, series.Int, byVariant),
		series.New(seed, series.Int, bySeed),
		series.New(record, series.Int, byRecord),
	)
	if frame.Err != nil {
		return nil, fmt.Errorf("group records: %w", frame.Err)
	}
	grouped := frame.GroupBy(byVariant)
	if grouped.Err != nil {
		return nil, fmt.Errorf("group records by variant: %w", grouped.Err)
	}
	groups := make([][]outcome, len(names))
	for key, g := range grouped.GetGroups() { // in random order: the key says where it belongs
		place, err := strconv.Atoi(key)
		if err != nil {
			return nil, fmt.Errorf("group records by variant: %w", err)
		}
		sorted := g.Arrange(dataframe.Sort(bySeed))
		if sorted.Err != nil {
			return nil, fmt.Errorf("sort records by seed: %w", sorted.Err)
		}
		indices, err := sorted.Col(byRecord).Int()
		if err != nil {
			return nil, fmt.Errorf("sort records by seed: %w", err)
		}
		for _, i := range indices {
			groups[place] = append(groups[place], records[i])
		}
	}
	return groups, nil
}

// newRow summarises the outcomes of one variant, which are sorted by seed.
func newRow(name string, records []outcome, seeds []uint64) Row {
	row := Row{Variant: name, Status: map[experiments.Status]int{}}
	var errors []float64
	for _, r := range records {
		row.Status[r.Status]++
		if len(row.Changes) == 0 {
			row.Changes = r.Changes
		}
		if len(row.Ablations) == 0 {
			row.Ablations = r.Ablations
		}
		if row.Params == 0 {
			row.Params, row.MACs = r.Params, r.MACs
		}
		if r.counts {
			row.Runs = append(row.Runs, Run{r.Seed, r.value, r.epoch})
			errors = append(errors, r.value)
		}
	}
	row.Error = stats.Summarise(errors)
	row.Speeds = speeds(records)
	row.Usage = usage(records)
	row.Notes = runNotes(records, seeds)
	return row
}

// speeds returns the median speed for each hardware key and its devices. A run that changed hardware or devices has no
// speed.
func speeds(records []outcome) []Speed {
	measured := map[Speed][]float64{}
	for _, r := range records {
		if !r.counts || r.Result == nil || len(r.Attempts) == 0 {
			continue
		}
		key := Speed{Hardware: r.Attempts[0].Hardware, Device: r.Attempts[0].Device, BytesMoved: r.Result.BytesMoved}
		mixed := slices.ContainsFunc(r.Attempts, func(a experiments.Attempt) bool {
			return a.Hardware != key.Hardware || a.Device != key.Device
		})
		v := float64(r.Result.ImagesPerSecond)
		if mixed || !(v > 0) || math.IsInf(v, 0) {
			continue
		}
		measured[key] = append(measured[key], v)
	}
	var all []Speed
	for key, v := range measured {
		key.Runs, key.ImagesPerSecond = len(v), stats.Median(v)
		all = append(all, key)
	}
	slices.SortFunc(all, func(a, b Speed) int {
		return cmp.Or(strings.Compare(a.Hardware, b.Hardware), strings.Compare(a.Device, b.Device),
			cmp.Compare(a.BytesMoved, b.BytesMoved))
	})
	return all
}
