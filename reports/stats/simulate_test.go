//go:build long

package stats

import (
	"ablate/internal/golden"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestSimulate simulates the figures that docs/reading-a-table.md prints, from fixed streams. `just simulate` runs it.
func TestSimulate(t *testing.T) {
	var b strings.Builder
	const trials = 20_000
	fmt.Fprintf(&b, "false claims among 4 variants, %% of %d studies, by how many truly differ\n", trials)
	fmt.Fprintf(&b, "%-14s %2s %6s %6s %6s\n", "differences", "k", "0", "1", "2")
	for _, name := range []string{"normal", "t3", "Cauchy", "contaminated"} {
		for _, k := range []int{6, 8} {
			fmt.Fprintf(&b, "%-14s %2d", name, k)
			for effects := range 3 {
				share := familyWise(noises[name], k, effects, trials)
				fmt.Fprintf(&b, " %6.1f", 100*share)
				if share > Alpha+0.0046 { // three standard errors
					t.Errorf("%s, k = %d, %d differ: %.4f false claims", name, k, effects, share)
				}
			}
			fmt.Fprintln(&b)
		}
	}
	fmt.Fprintf(&b, "\none true difference among 4 variants claimed, %% of %d studies\n", trials/4)
	fmt.Fprintf(&b, "%2s %5s %6s %6s\n", "k", "sd", "max-T", "Holm")
	for _, c := range []struct {
		k      int
		effect float64
	}{{6, 2}, {6, 3}, {8, 1}, {8, 1.5}, {8, 2}, {12, 1}} {
		maxT := claimRate(c.k, 4, trials/4, c.effect, MaxT)
		holm := claimRate(c.k, 4, trials/4, c.effect, holmFamily)
		fmt.Fprintf(&b, "%2d %5.1f %6.0f %6.0f\n", c.k, c.effect, 100*maxT, 100*holm)
	}
	fmt.Fprintf(&b, "\nthe difference that so many seeds are said to show, claimed as one of m by max-T, "+
		"%% of %d studies\n", trials/4)
	fmt.Fprintf(&b, "%2s %5s %6s %6s\n", "k", "m", "sd", "max-T")
	for _, k := range []int{6, 8, 12} {
		for _, m := range []int{1, 4} {
			effect := SmallestEffect(1, k, m)
			share := claimRate(k, m, trials/4, effect, MaxT)
			fmt.Fprintf(&b, "%2d %5d %6.2f %6.0f\n", k, m, effect, 100*share)
			if math.Abs(share-Power) > 0.1 {
				t.Errorf("%d seeds claim %.2f sd as one of %d in %.3f of studies", k, effect, m, share)
			}
		}
	}
	fmt.Fprintf(&b, "\nall 4 intervals hold their differences, %% of %d studies of 8 seeds, by how many truly differ\n",
		trials/4)
	fmt.Fprintf(&b, "%6s%6s%6s%6s\n", "0", "1", "2", "4")
	for _, effects := range []int{0, 1, 2, 4} {
		fmt.Fprintf(&b, "%6.1f", 100*coverage(8, effects, trials/4))
	}
	fmt.Fprintln(&b)
	fmt.Fprintf(&b, "\na false claim among 4 variants at any of the looks at 6, 8 and 12 seeds, %% of %d studies\n",
		trials/2)
	fmt.Fprintf(&b, "%-16s %8s %8s\n", "", "normal", "Cauchy")
	for _, spending := range []Spending{"", OBrienFleming, Pocock} {
		fmt.Fprintf(&b, "%-16s", cmp.Or(string(spending), "5 % at each look"))
		for _, name := range []string{"normal", "Cauchy"} {
			share := lookedAt([]int{6, 8, 12}, spending, name, trials/2)
			fmt.Fprintf(&b, " %8.1f", 100*share)
			if spending != "" && share > Alpha {
				t.Errorf("%s, %s: %.4f false claims", spending, name, share)
			}
		}
		fmt.Fprintln(&b)
	}
	golden.Check(t, "testdata/simulate.txt", b.String())
	page, err := os.ReadFile("../../docs/reading-a-table.md")
	if err != nil || !strings.Contains(string(page), b.String()) {
		t.Errorf("docs/reading-a-table.md does not print what was simulated (%v)", err)
	}
	t.Log("\n" + b.String())
}

// lookedAt returns the share of studies of four rows without a difference in which a look claims one. Without a
// spending function each look is at Alpha.
func lookedAt(looks []int, spending Spending, noise string, trials int) float64 {
	levels := make([]float64, len(looks))
	for i := range levels {
		levels[i] = Alpha
	}
	if spending != "" {
		var err error
		if levels, err = SequentialLevels(looks, spending); err != nil {
			panic(err)
		}
	}
	random := rand.New(rand.NewPCG(34, 0))
	claims := 0
	for range trials {
		d := study(random, noises[noise], looks[len(looks)-1], 4, 0)
		claimed := false
		for i, k := range looks {
			seen := make([][]float64, len(d))
			for j := range d {
				seen[j] = d[j][:k]
			}
			claimed = claimed || slices.Min(MaxT(seen)) <= levels[i]
		}
		if claimed {
			claims++
		}
	}
	return float64(claims) / float64(trials)
}

// coverage returns the share of studies of four rows whose simultaneous intervals hold all true differences.
func coverage(k, effects, trials int) float64 {
	random := rand.New(rand.NewPCG(33, uint64(100*k+effects)))
	held := 0
	for range trials {
		d := study(random, noises["normal"], k, 4, effects)
		all := true
		for j, r := range Simultaneous(d, MaxT(d), Alpha) {
			truth := 0.0
			if j < effects {
				truth = 2
			}
			all = all && (r.Interval == nil || !r.Interval.Excludes(truth))
		}
		if all {
			held++
		}
	}
	return float64(held) / float64(trials)
}
