// Package ledger holds what has been published about the parts of these nets:
// numbers and claims of the 2012 paper, of its authors' run diaries and of
// later studies, with what was compared, on which images, by how many views and
// seeds, and what confounds it. The files under sources are the data. Judge
// compares a result of our studies with a published number.
package ledger

import (
	"embed"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
	"sync"

	"ablate/strictyaml"
)

// A Claim is one published comparison, or one published figure that is compared with nothing.
type Claim struct {
	Key    string `json:"key"`                // the source's key: the name of its file
	Source string `json:"source"`             // what to cite
	Where  string `json:"where"`              // section, table or file in it
	About  string `json:"about"`              // what its table is about
	Name   string `json:"name"`               // what was compared, as the source calls it
	Is     string `json:"is,omitempty"`       // what was compared, in words
	Base   string `json:"baseline,omitempty"` // what it was compared with; empty for a figure that stands alone

	Ablation string   `json:"ablation,omitempty"` // the ablation of the catalogue, if the comparison is one
	Study    string   `json:"study,omitempty"`    // our study that has the comparison as Variant
	Variant  string   `json:"variant,omitempty"`  // its variant in Study
	Nets     []string `json:"nets,omitempty"`     // registered nets that match the net compared with
	Data     string   `json:"data"`               // data set, by the name it has in a recipe: imagenet is ILSVRC-2012
	Split    string   `json:"split"`              // the images measured: validation, test, train
	Views    int      `json:"views,omitempty"`    // views of each test image; 0 where the source does not say
	Epochs   int      `json:"epochs,omitempty"`   // epochs of training; 0 where the source does not say, or they differ
	Seeds    int      `json:"seeds,omitempty"`    // runs behind each figure; 0 where the source does not say
	Figures  []Figure `json:"figures,omitempty"`  // none for a claim in words

	Confounded string `json:"confounded,omitempty"` // what else differed, besides the part
	Note       string `json:"note,omitempty"`
	Memory     bool   `json:"memory,omitempty"` // quoted from memory; the source was not at hand
	Pos        string `json:"-"`                // file and line
}

// Cite names the claim's source and place in few words.
func (c Claim) Cite() string { return c.Source + ", " + c.Where }

// Figure returns the claim's figure in a metric, and reports whether it has one.
func (c Claim) Figure(metric string) (Figure, bool) {
	i := slices.IndexFunc(c.Figures, func(f Figure) bool { return f.Metric == metric })
	if i < 0 {
		return Figure{}, false
	}
	return c.Figures[i], true
}

// A Figure is one published number, or two that are compared.
type Figure struct {
	Metric   string   `json:"metric"`             // one of Metrics
	Baseline *float64 `json:"baseline,omitempty"` // the figure it is compared with
	Value    *float64 `json:"value,omitempty"`
	Delta    *float64 `json:"delta,omitempty"` // Value − Baseline, or as printed
	Bound    string   `json:"bound,omitempty"` // over, about: Delta is only that exact; empty where it is exact
}

// Metrics maps each metric of a figure to its description with the unit.
var Metrics = map[string]string{
	"top1_error":       "%",
	"top5_error":       "%",
	"train_top1_error": "%",
	"top1_accuracy":    "%",
	"top5_accuracy":    "%",
	"log_loss":         "nats",
	"minutes":          "minutes of training",
	"times_faster":     "times",
}

// ErrorDelta returns the change of an error rate in percentage points. For an accuracy it is the negative change. It
// returns false for other metrics and where nothing is compared.
func (f Figure) ErrorDelta() (float64, bool) {
	switch {
	case f.Delta == nil:
		return 0, false
	case strings.HasSuffix(f.Metric, "_error"):
		return *f.Delta, true
	case strings.HasSuffix(f.Metric, "_accuracy"):
		return -*f.Delta, true
	}
	return 0, false
}

// ErrorMetric returns the name of the figure's metric, with accuracies turned into errors.
func (f Figure) ErrorMetric() string { return strings.Replace(f.Metric, "_accuracy", "_error", 1) }

//go:embed sources/*.yaml
var embedded embed.FS

// Claims returns all claims that ship with ablate, in the order of files and lines; the paper's own come first. The
// first call reads them.
var Claims = sync.OnceValue(func() []Claim {
	claims, err := load(embedded, "sources")
	if err != nil {
		panic(err) // the files are part of the program; a test loads them
	}
	slices.SortStableFunc(claims, func(a, b Claim) int { return rank(a.Key) - rank(b.Key) })
	return claims
})

// rank puts the paper first and its authors' diaries next. If two claims fit equally well, readers look for theirs.
func rank(key string) int {
	if i := slices.Index([]string{"paper", "diaries-2012"}, key); i >= 0 {
		return i
	}
	return 2
}

// Search returns the claims whose text contains all words. It ignores case.
func Search(words ...string) []Claim {
	return slices.DeleteFunc(slices.Clone(Claims()), func(c Claim) bool {
		text := strings.ToLower(strings.Join(slices.Concat(c.Nets, []string{
			c.Key, c.Source, c.Where, c.About, c.Name, c.Is, c.Base, c.Ablation, c.Study, c.Variant, c.Data, c.Split,
			c.Confounded, c.Note,
		}), "\n"))
		return slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, strings.ToLower(w)) })
	})
}

// Of returns the claims about an ablation of the catalogue.
func Of(ablation string) []Claim {
	return slices.DeleteFunc(slices.Clone(Claims()), func(c Claim) bool { return c.Ablation != ablation })
}

func load(files fs.FS, dir string) ([]Claim, error) {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, err
	}
	var claims []Claim
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		read, err := parse(name, text)
		if err != nil {
			return nil, err
		}
		claims = append(claims, read...)
	}
	return claims, nil
}

// A source is a file: what was published in one place. Its tables are read one by one.
type source struct {
	Source string `yaml:"source"`
}

// A table holds figures of one kind under one protocol.
type table struct {
	About      string   `yaml:"about"`
	Where      string   `yaml:"where"`
	Nets       []string `yaml:"nets"`
	Study      string   `yaml:"study"`
	Data       string   `yaml:"data"`
	Split      string   `yaml:"split"`
	Views      int      `yaml:"views"`
	Epochs     int      `yaml:"epochs"`
	Seeds      int      `yaml:"seeds"`
	Metrics    []string `yaml:"metrics"`
	Baseline   *row     `yaml:"baseline"`
	Confounded string   `yaml:"confounded"`
	Note       string   `yaml:"note"`
	Memory     bool     `yaml:"memory"`
}

// A row is one figure or claim of a table.
type row struct {
	Name       string    `yaml:"name"`
	Is         string    `yaml:"is"`
	Ablation   string    `yaml:"ablation"`
	Variant    string    `yaml:"variant"`
	Figures    []float64 `yaml:"figures"` // in the order of the table's metrics
	Deltas     []float64 `yaml:"deltas"`  // in the same order, where only differences are printed
	Bound      string    `yaml:"bound"`
	Confounded string    `yaml:"confounded"`
	Note       string    `yaml:"note"`
	Memory     bool      `yaml:"memory"`
}

// parse reads one source.
func parse(file string, text []byte) ([]Claim, error) {
	node, err := strictyaml.Parse(file, text)
	if err != nil {
		return nil, err
	}
	var s source
	if err := node.Without("tables").Decode(&s); err != nil {
		return nil, err
	}
	tables := node.Get("tables")
	if s.Source == "" || tables == nil || len(tables.Items()) == 0 {
		return nil, node.Errorf("a source needs source (what to cite) and tables")
	}
	key := strings.TrimSuffix(path.Base(file), ".yaml")
	var claims []Claim
	for _, t := range tables.Items() {
		read, err := parseTable(t)
		if err != nil {
			return nil, err
		}
		for i := range read {
			read[i].Key, read[i].Source = key, s.Source
		}
		claims = append(claims, read...)
	}
	return claims, nil
}

func parseTable(n *strictyaml.Node) ([]Claim, error) {
	var t table
	if err := n.Without("rows").Decode(&t); err != nil {
		return nil, err
	}
	rows := n.Get("rows")
	if t.About == "" || t.Where == "" || t.Data == "" || t.Split == "" || rows == nil || len(rows.Items()) == 0 {
		return nil, n.Errorf("a table needs about, where, data, split and rows")
	}
	for _, m := range t.Metrics {
		if _, ok := Metrics[m]; !ok {
			return nil, n.Errorf("metric %q; want one of %s", m, strings.Join(metricNames(), ", "))
		}
	}
	if t.Baseline != nil && len(t.Baseline.Figures) > 0 && len(t.Baseline.Figures) != len(t.Metrics) {
		return nil, n.Errorf("the baseline has %d figures for %d metrics", len(t.Baseline.Figures), len(t.Metrics))
	}
	var claims []Claim
	for _, item := range rows.Items() {
		var r row
		if err := item.Decode(&r); err != nil {
			return nil, err
		}
		c, err := t.claim(r, item)
		if err != nil {
			return nil, err
		}
		claims = append(claims, c)
	}
	return claims, nil
}

func metricNames() []string {
	names := make([]string, 0, len(Metrics))
	for n := range Metrics {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// claim joins a row with what its table says about all rows.
func (t table) claim(r row, at *strictyaml.Node) (Claim, error) {
	c := Claim{
		Where: t.Where, About: t.About, Name: r.Name, Is: r.Is, Ablation: r.Ablation, Study: t.Study, Variant: r.Variant,
		Nets: t.Nets, Data: t.Data, Split: t.Split, Views: t.Views, Epochs: t.Epochs, Seeds: t.Seeds,
		Confounded: joined(t.Confounded, r.Confounded), Note: joined(t.Note, r.Note),
		Memory: t.Memory || r.Memory, Pos: at.Pos(),
	}
	if t.Baseline != nil {
		c.Base = t.Baseline.Name
	}
	switch {
	case r.Name == "":
		return c, at.Errorf("a row needs a name")
	case len(r.Figures) > 0 && len(r.Deltas) > 0:
		return c, at.Errorf("%s: figures or deltas, not both", r.Name)
	case len(r.Figures)+len(r.Deltas) == 0 && r.Is == "":
		return c, at.Errorf("%s: without figures a row says in `is` what is claimed", r.Name)
	case len(r.Figures)+len(r.Deltas) > 0 && len(r.Figures)+len(r.Deltas) != len(t.Metrics):
		return c, at.Errorf("%s: %d figures for %d metrics", r.Name, len(r.Figures)+len(r.Deltas), len(t.Metrics))
	case r.Variant != "" && t.Study == "":
		return c, at.Errorf("%s: variant %s of which study?", r.Name, r.Variant)
	case !slices.Contains([]string{"", "over", "about"}, r.Bound):
		return c, at.Errorf("%s: bound %q; write over or about", r.Name, r.Bound)
	}
	for i, d := range r.Deltas {
		c.Figures = append(c.Figures, Figure{Metric: t.Metrics[i], Delta: &d, Bound: r.Bound})
	}
	for i, v := range r.Figures {
		f := Figure{Metric: t.Metrics[i], Value: &v, Bound: r.Bound}
		if b := t.Baseline; b != nil && len(b.Figures) > 0 {
			base := b.Figures[i]
			delta := math.Round((v-base)*1e6) / 1e6 // as exact as what is printed
			f.Baseline, f.Delta = &base, &delta
		}
		c.Figures = append(c.Figures, f)
	}
	return c, nil
}

// joined puts two remarks together.
func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// String returns the claim in one line, for errors and tests.
func (c Claim) String() string { return fmt.Sprintf("%s: %s, %s", c.Pos, c.Key, c.Name) }
