package reports

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ablate/experiments"
	"ablate/recipe"
)

// identity distinguishes a record's recipe from others. Format 1 used other key names, so that a study begun then and
// continued today would seem to follow two recipes.
func identity(r experiments.Record) string {
	if r.Version != 1 {
		return r.Identity
	}
	stored, err := recipe.Decode(r.Recipe)
	if err != nil {
		return r.Identity
	}
	today, err := stored.Identity()
	if err != nil {
		return r.Identity
	}
	return today
}

// shownOrigins is how many different commits, commands … are written out.
const shownOrigins = 3

// origin lists where the figures come from, as far as the records state it.
func (c *Comparison) origin(records []outcome, recipes map[string]recipe.Recipe) []string {
	lines := []string{seedList(c.Seeds)}
	var programs, commits, data, hardware, commands, views []string
	for _, r := range records {
		if r.counts && c.Metric.ofTest() {
			views = append(views, viewWords(r, recipes[r.Identity].Data))
		}
		for _, a := range r.Attempts {
			hardware = append(hardware, Sanitize(a.Hardware))
		}
		p := r.Provenance
		if p == nil {
			continue
		}
		commits = append(commits, commit(p))
		if by := p.Program; by != nil {
			programs = append(programs, commit(&experiments.Provenance{
				Commit: by.Commit, NoCommit: by.NoCommit, Dirty: by.Dirty,
			}))
		}
		data = append(data, digests(p.Data))
		commands = append(commands, CommandLine(p.Command))
	}
	lines = appendOrigin(lines, "test images seen by", views)
	lines = appendOrigin(lines, "program's commit", programs)
	lines = appendOrigin(lines, "commit", commits)
	lines = appendOrigin(lines, "data", data)
	lines = appendOrigin(lines, "hardware", hardware)
	lines = appendOrigin(lines, "command", commands)
	if c.Options.Speed {
		lines = append(lines, c.speedOrigin()...)
	}
	return lines
}

// viewWords describes how a test image was viewed for a run's figure.
func viewWords(o outcome, d recipe.Data) string {
	switch {
	case views(d) == 1:
		return "one view, the centre"
	case viewsAt(d, o) == 1:
		return "one view, the centre, before the last epoch"
	}
	return "ten views, whose softmax outputs are averaged, at the last epoch"
}

// views returns how many crops of a test image are evaluated.
func views(d recipe.Data) int {
	if d.TestCrops == recipe.TenCrop {
		return 10
	}
	return 1
}

// viewsAt returns how many views are behind a run's figure. Before the last epoch, tests use only the centre crop.
func viewsAt(d recipe.Data, o outcome) int {
	if o.Result == nil || o.epoch < o.Result.Epochs {
		return 1
	}
	return views(d)
}

// speedOrigin explains images/s, and names the hardware on which it was measured.
func (c *Comparison) speedOrigin() []string {
	keys := c.Hardware()
	switch {
	case len(keys) == 0:
		return nil
	case c.ComparesDevices():
		return []string{"images/s: training, warm-up left out, median over runs; moved/step: bytes from device to device " +
			"in a training step"}
	case len(keys) == 1:
		return []string{"images/s: training, warm-up left out, median over runs"}
	}
	return []string{fmt.Sprintf("images/s: not shown, since the runs were on %d kinds of hardware, "+
		"which one column would mix", len(keys))}
}

// Hardware lists every hardware key that has a speed.
func (c *Comparison) Hardware() []string {
	var keys []string
	for _, r := range c.Rows {
		for _, s := range r.Speeds {
			keys = append(keys, s.Hardware)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// appendOrigin adds a line with a word and the records' entries for it, each entry once.
func appendOrigin(lines []string, word string, said []string) []string {
	slices.Sort(said)
	said = slices.DeleteFunc(slices.Compact(said), func(s string) bool { return s == "" })
	if len(said) == 0 {
		return lines
	}
	if more := len(said) - shownOrigins; more > 0 {
		said = append(said[:shownOrigins:shownOrigins], fmt.Sprintf("and %d more", more))
	}
	return append(lines, word+" "+strings.Join(said, "; "))
}

// commit writes "1a2b3c4d5e6f, with uncommitted changes" or "1a2b3c4d5e6f, nothing uncommitted".
func commit(p *experiments.Provenance) string {
	if p.Commit == "" {
		return "not known: " + Sanitize(cmp.Or(p.NoCommit,
			"the program was built without it (-buildvcs=false, go run, or no repository)"))
	}
	if p.Dirty {
		return short(p.Commit) + ", with uncommitted changes"
	}
	return short(p.Commit) + ", nothing uncommitted"
}

// digests writes "test 1a2b3c4d5e6f, train 0f9e8d7c6b5a".
func digests(data map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(data)) {
		parts = append(parts, name+" "+short(data[name]))
	}
	return strings.Join(parts, ", ")
}

// short shortens a hexadecimal digest to a length that people compare by eye.
func short(digest string) string {
	const digits = 12
	if len(digest) > digits {
		return digest[:digits]
	}
	return digest
}

// CommandLine writes a command line as one would type it, without the program's folder.
func CommandLine(args []string) string {
	var parts []string
	for i, a := range args {
		if i == 0 {
			a = strings.TrimSuffix(filepath.Base(a), ".exe")
		}
		if a == "" || strings.ContainsAny(a, " \t\n\"'`$&|;<>()*?[]{}\\#~!") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		parts = append(parts, a)
	}
	return strings.Join(parts, " ")
}

// ComparesDevices reports whether the rows trained on different devices, each row on its own. The table then compares
// devices and shows them beside the speeds.
func (c *Comparison) ComparesDevices() bool {
	var devices []string
	for _, r := range c.Rows {
		if len(r.Speeds) > 1 {
			return false
		}
		if len(r.Speeds) == 1 {
			devices = append(devices, r.Speeds[0].Device)
		}
	}
	return len(slices.Compact(slices.Sorted(slices.Values(devices)))) > 1
}
