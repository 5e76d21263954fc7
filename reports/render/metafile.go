package render

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"ablate/reports"

	"go.yaml.in/yaml/v3"
)

// The types below describe a metafile as OpenMMLab and Papers with Code read it (mmpretrain's metafile.yml;
// github.com/paperswithcode/model-index).
type (
	metafile struct {
		Collections []collection `yaml:"Collections"`
		Models      []model      `yaml:"Models"`
	}
	collection struct {
		Name     string   `yaml:"Name"`
		Metadata metadata `yaml:"Metadata"`
	}
	model struct {
		Name         string        `yaml:"Name"`
		InCollection string        `yaml:"In Collection"`
		Metadata     metadata      `yaml:"Metadata"`
		Results      []modelResult `yaml:"Results,omitempty"`
	}
	metadata struct {
		Architecture string        `yaml:"Architecture,omitempty"`
		TrainingData string        `yaml:"Training Data,omitempty"`
		Epochs       int           `yaml:"Epochs,omitempty"`
		FLOPs        int64         `yaml:"FLOPs,omitempty"`
		Parameters   int64         `yaml:"Parameters,omitempty"`
		Seeds        int           `yaml:"Seeds,omitempty"`
		Changes      []string      `yaml:"Changes,omitempty"`
		Effects      []modelEffect `yaml:"Effects,omitempty"`
	}
	// modelEffect is a main effect or an interaction of a factorial design.
	modelEffect struct {
		Ablations []string `yaml:"Ablations"`
		Metric    string   `yaml:"Metric"` // the metric of Delta, which is in the metric's own unit: a share or a loss
		Delta     float64  `yaml:"Delta"`
		Adjusted  *float64 `yaml:"P (adjusted),omitempty"`
		Verdict   string   `yaml:"Verdict"`
	}
	modelResult struct {
		Dataset string             `yaml:"Dataset,omitempty"`
		Task    string             `yaml:"Task,omitempty"`
		Metrics map[string]float64 `yaml:"Metrics"`
	}
)

// writeMetafile prints each variant as a model for collections of results: the mean over its seeds, errors as
// accuracies.
func writeMetafile(b *bytes.Buffer, c *reports.Comparison) error {
	study := reports.Sanitize(c.Study)
	index := metafile{Collections: []collection{{study, metadata{
		Architecture: reports.Sanitize(c.Net), TrainingData: reports.Sanitize(c.Data), Epochs: c.Epochs[1],
	}}}}
	for _, e := range c.Effects {
		m := modelEffect{Ablations: cleaned(e.Factors), Metric: c.Metric.Name, Delta: e.Mean, Verdict: string(e.Verdict.Word)}
		if e.K > 1 {
			m.Adjusted = finite(e.Adjusted)
		}
		index.Collections[0].Metadata.Effects = append(index.Collections[0].Metadata.Effects, m)
	}
	for _, r := range c.Rows {
		m := model{Name: reports.Sanitize(r.Variant), InCollection: study, Metadata: metadata{
			FLOPs: r.MACs, Parameters: r.Params, Seeds: r.Error.K, Changes: cleaned(r.Changes),
		}}
		if r.Error.K > 0 {
			name, value := collected(c.Metric, r.Error.Mean)
			task := ""
			if c.Net != "" {
				task = "Image Classification"
			}
			m.Results = []modelResult{{reports.Sanitize(c.Data), task, map[string]float64{name: value}}}
			if r.Error.K > 1 {
				m.Results[0].Metrics[name+", standard deviation"] = rounded(c.Metric.Scale() * r.Error.SD)
			}
		}
		index.Models = append(index.Models, m)
	}
	fmt.Fprintf(b, "# Metrics are means and standard deviations over the seeds, %s. FLOPs are multiply-accumulates of "+
		"one image, as mmpretrain counts them.\n", c.At.Words())
	e := yaml.NewEncoder(b)
	e.SetIndent(2)
	if err := e.Encode(index); err != nil {
		return err
	}
	return e.Close()
}

func cleaned(words []string) []string {
	var all []string
	for _, w := range words {
		all = append(all, reports.Sanitize(w))
	}
	return all
}

// collected returns a value under the name and in the unit that metafiles use. Accuracies are in percent.
func collected(m reports.Metric, v float64) (string, float64) {
	switch {
	case !m.Share:
		return m.Title, v
	case m.More:
		return m.Title, 100 * v
	}
	name := strings.Replace(strings.Replace(m.Title, "top-", "Top ", 1), "error", "accuracy", 1)
	name = strings.NewReplacer(" test ", " ", "accuracy", "Accuracy").Replace(name)
	return name, rounded(100 * (1 - v))
}

// rounded removes the rounding errors that a subtraction leaves in the last bits.
func rounded(v float64) float64 {
	const decimals = 1e6
	return math.Round(v*decimals) / decimals
}
