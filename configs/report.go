package configs

import (
	"regexp"
	"slices"

	"ablate/strictyaml"
)

// A Report declares what a study sets out to show: the figure that its verdicts are about, and the
// comparisons that share one error rate. Tables of other figures are exploratory.
type Report struct {
	// the metric to compare variants by, as in `ablate report --metric`
	Metric string `yaml:"metric" example:"test_loss"`
	// the epoch whose figure counts: last, best, best-validation or epoch:N
	At string `yaml:"at" example:"epoch:20"`
	// further primary metrics, whose comparisons also belong to the family
	Also []string `yaml:"also" items:"100" example:"[test_loss]"`
	// two variants that differ by less are called the same; in the unit in which the metric is
	// printed, which for error rates is percentage points. 0 means no margin
	Margin float64 `yaml:"margin" min:"0" example:"0.5"`
	// the variants whose comparisons share the error rate of 5 %; the others form a family of their
	// own, which is exploratory. By default all variants belong to the family
	Family []string `yaml:"family" items:"10000" example:"[no-lrn, no-dropout]"`
	// the numbers of seeds at which the study is looked at while seeds are added; the error rate is
	// divided among the looks
	Sequential Sequential `yaml:"sequential" example:"{looks: [6, 8, 12]}"`
}

// Sequential describes the looks at a study that grows.
type Sequential struct {
	// the number of complete seeds at each look, in rising order
	Looks []int `yaml:"looks" items:"100" min:"1" max:"10000" example:"[6, 8, 12]"`
	// how the error rate is spent: obrien-fleming keeps almost all of it for the last look, pocock
	// spends it evenly
	Spending string `yaml:"spending" json:"spending,omitempty" oneof:"obrien-fleming pocock" example:"pocock"`
}

// check refuses a family that contains unknown variants, or only the baseline.
func (r Report) check(node *strictyaml.Node, variants []Variant) error {
	if err := strictyaml.CheckBounds(r, "report"); err != nil {
		return located(node, err)
	}
	at := node.At("report")
	var names []string
	for _, v := range variants[1:] {
		names = append(names, v.Name)
	}
	for i, name := range r.Family {
		if !slices.Contains(names, name) {
			return strictyaml.Unknown(at.At("family"), "variant in report.family", name, names)
		}
		if slices.Contains(r.Family[:i], name) {
			return at.At("family").Errorf("report.family: %s is named twice", strictyaml.Plain(name))
		}
	}
	for i, k := range r.Sequential.Looks {
		if i > 0 && k <= r.Sequential.Looks[i-1] {
			return at.At("sequential").Errorf("report.sequential.looks: %d after %d; want rising numbers of seeds", k,
				r.Sequential.Looks[i-1])
		}
	}
	if r.Sequential.Spending != "" && len(r.Sequential.Looks) == 0 {
		return at.At("sequential").Errorf("report.sequential: no looks; write looks: [6, 8, 12]")
	}
	for i, name := range r.Also {
		if name == r.Metric || slices.Contains(r.Also[:i], name) {
			return at.At("also").Errorf("report.also: %s is named twice", strictyaml.Plain(name))
		}
	}
	return nil
}

// A Metric is what a study says about a figure that its runs log.
type Metric struct {
	// which values are better: lower, higher
	Better string `yaml:"better" json:"better,omitempty" oneof:"lower higher" example:"higher"`
	// the unit of the values. A share lies between 0 and 1 and is printed in percent; any other
	// unit is printed after the metric's name
	Unit string `yaml:"unit" example:"share"`
	// how a value is printed: .2f has two decimals, .3g three digits, .1e a power of ten
	Format string `yaml:"format" example:".2f"`
}

// Metrics maps the names of metrics to what a study says about them.
type Metrics map[string]Metric

var validFormat = regexp.MustCompile(`^\.[0-9][efg]$`)

// UnmarshalStrict reads the mapping and checks each metric.
func (m *Metrics) UnmarshalStrict(n *strictyaml.Node) error {
	if n.Kind != strictyaml.Mapping {
		return n.Errorf("metrics is a mapping of names to {better: lower or higher, unit: …, format: …}")
	}
	*m = Metrics{}
	for _, name := range n.Keys() {
		at, one := n.Get(name), Metric{}
		if err := at.Decode(&one); err != nil {
			return err
		}
		if err := strictyaml.CheckBounds(one, "metrics."+strictyaml.Plain(name)); err != nil {
			return at.Errorf("%w", err)
		}
		if one.Format != "" && !validFormat.MatchString(one.Format) {
			return at.At("format").Errorf("metric %s: format is %s; want a form such as .2f, .3g or .1e",
				strictyaml.Plain(name), strictyaml.Quote(one.Format))
		}
		(*m)[name] = one
	}
	return nil
}

// Describe returns the schema of a mapping from names to metrics.
func (Metrics) Describe(c strictyaml.Comments) *strictyaml.Schema {
	one := c.Describe(Metric{})
	one.Properties.Get("format").Pattern = validFormat.String()
	return &strictyaml.Schema{Type: strictyaml.Types{"object"}, Additional: one}
}
