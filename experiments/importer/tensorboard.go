package importer

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ablate/experiments"
	"ablate/experiments/tfevents"
)

// A pattern finds variant and seed in a name.
type pattern struct{ re *regexp.Regexp }

// newPattern parses '{variant}/seed-{seed}'; * matches any part of a name between slashes.
func newPattern(text string) (*pattern, error) {
	for _, word := range []string{"{variant}", "{seed}"} {
		if strings.Count(text, word) != 1 {
			return nil, fmt.Errorf("pattern %q: %w: it must have %s once, as in '{variant}/seed-{seed}'", text, ErrAmbiguous,
				word)
		}
	}
	re := regexp.QuoteMeta(strings.Trim(filepath.ToSlash(text), "/"))
	re = strings.NewReplacer(
		`\{variant\}`, `(?P<variant>[^/]+?)`, `\{seed\}`, `(?P<seed>[0-9]+)`, `\*`, `[^/]*`,
	).Replace(re)
	compiled, err := regexp.Compile("^" + re + "(?P<rest>/.*)?$")
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", text, err)
	}
	return &pattern{compiled}, nil
}

// find returns the variant and the seed in a name; rest holds the folders below.
func (p *pattern) find(name string) (variant string, seed uint64, rest string, ok bool) {
	m := p.re.FindStringSubmatch(name)
	if m == nil {
		return "", 0, "", false
	}
	get := func(group string) string { return m[slices.Index(p.re.SubexpNames(), group)] }
	seed, err := strconv.ParseUint(get("seed"), 10, 64)
	return get("variant"), seed, strings.Trim(get("rest"), "/"), err == nil
}

// TensorBoard reads the scalars of the event files in a folder.
func TensorBoard(dir, where string) (*Source, error) {
	p, err := newPattern(where)
	if err != nil {
		return nil, err
	}
	files, err := tfevents.Files(dir)
	if err != nil {
		return nil, err
	}
	s := &Source{From: "tensorboard", Name: filepath.ToSlash(filepath.Clean(dir))}
	runs := map[string]int{} // by folder: two folders of one run are refused
	for _, file := range files {
		rel, err := filepath.Rel(dir, filepath.Dir(file))
		if err != nil {
			return nil, err
		}
		rel = filepath.ToSlash(rel)
		variant, seed, rest, ok := p.find(rel)
		if !ok {
			s.Left = append(s.Left, fmt.Sprintf("%s: its folder is not one of %s", filepath.ToSlash(file), where))
			continue
		}
		scalars, err := tfevents.Read(file)
		if err != nil {
			return nil, err
		}
		folder := strings.TrimSuffix(strings.TrimSuffix(rel, rest), "/")
		n, known := runs[folder]
		if !known {
			n = len(s.Runs)
			runs[folder] = n
			s.Runs = append(s.Runs, Run{
				Variant: variant, Seed: seed, Name: folder, Where: filepath.ToSlash(filepath.Dir(file)),
			})
		}
		for _, v := range scalars {
			name := v.Tag
			if rest != "" {
				name = rest + "/" + name
			}
			s.Runs[n].Metrics = append(s.Runs[n].Metrics, experiments.Metric{
				Attempt: 1, Step: v.Step, Name: name, Value: experiments.Number(v.Value),
			})
		}
	}
	for i := range s.Runs {
		s.Runs[i].Metrics = numbered(experiments.Series(s.Runs[i].Metrics), true, false)
	}
	s.Runs = slices.DeleteFunc(s.Runs, func(r Run) bool {
		if len(r.Metrics) == 0 {
			s.Left = append(s.Left, r.Where+": it has no scalars")
		}
		return len(r.Metrics) == 0
	})
	return s, s.check()
}
