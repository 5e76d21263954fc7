package export

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"

	"go.yaml.in/yaml/v3"

	"ablate/experiments"
)

// The types below describe the front matter of a model card, as huggingface_hub's ModelCardData reads it
// (huggingface.co/docs/hub/model-cards).
type (
	cardData struct {
		Library  string      `yaml:"library_name"`
		Pipeline string      `yaml:"pipeline_tag"`
		Tags     []string    `yaml:"tags"`
		Datasets []string    `yaml:"datasets,omitempty"`
		Metrics  []string    `yaml:"metrics"`
		Index    []cardModel `yaml:"model-index"`
	}
	cardModel struct {
		Name    string       `yaml:"name"`
		Results []cardResult `yaml:"results"`
	}
	cardResult struct {
		Task    cardTask     `yaml:"task"`
		Dataset cardDataset  `yaml:"dataset"`
		Metrics []cardMetric `yaml:"metrics"`
	}
	cardTask struct {
		Type string `yaml:"type"`
		Name string `yaml:"name"`
	}
	cardDataset struct {
		Type  string `yaml:"type"`
		Name  string `yaml:"name"`
		Split string `yaml:"split"`
	}
	cardMetric struct {
		Type  string  `yaml:"type"`
		Name  string  `yaml:"name"`
		Value float64 `yaml:"value"`
	}
)

// ErrNoResult is the error for a run without a result to put on a card.
var ErrNoResult = errors.New("only a run that is done has a result")

// ModelCard returns the README.md of a run's net for the Hugging Face Hub. It returns ErrNoResult for a run that is not
// finished.
func ModelCard(r Run) ([]byte, error) {
	res := r.Result
	if r.Status != experiments.Done || res == nil {
		return nil, fmt.Errorf("%s is %s: %w", r.Name(), r.Status, ErrNoResult)
	}
	net, _ := r.Keys["net.net"].(string)
	data, _ := r.Keys["data.name"].(string)
	if net == "" || data == "" {
		return nil, fmt.Errorf("%s: a card is of a net and a data set; its recipe names none", r.Name())
	}
	result := cardResult{
		Task:    cardTask{"image-classification", "Image classification"},
		Dataset: cardDataset{data, data, "test"},
	}
	for _, m := range []cardMetric{
		{"accuracy", "Top-1 accuracy", 1 - float64(res.Top1Error)},
		{"accuracy", "Top-5 accuracy", 1 - float64(res.Top5Error)},
		{"loss", "Cross-entropy", float64(res.TestLoss)},
	} {
		if !math.IsNaN(m.Value) && !math.IsInf(m.Value, 0) {
			result.Metrics = append(result.Metrics, m)
		}
	}
	front, err := yaml.Marshal(cardData{
		Library: "ablate", Pipeline: "image-classification", Metrics: []string{"accuracy"}, Datasets: []string{data},
		Tags:  append([]string{"image-classification", net}, r.Notes.Tags...),
		Index: []cardModel{{Name: r.Name(), Results: []cardResult{result}}},
	})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "---\n%s---\n\n# %s\n\n", front, markdown(r.Name()))
	what := "the baseline"
	if len(r.Changes) > 0 {
		what = "the baseline with " + strings.Join(r.Changes, " · ")
	}
	fmt.Fprintf(&b, "%s on %s, trained by ablate: %s of the study %s, seed %d.\n\n", markdown(net), markdown(data),
		markdown(what), markdown(r.Study), r.Seed)
	b.WriteString("| | |\n|---|---|\n")
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", what, markdown(fmt.Sprintf(format, args...)))
	}
	line("top-1 error", "%.2f %% of %d test images", 100*float64(res.Top1Error), res.TestExamples)
	line("top-5 error", "%.2f %%", 100*float64(res.Top5Error))
	line("parameters", "%d", r.Params)
	line("multiply-adds", "%d an image", r.MACs)
	line("epochs", "%d", res.Epochs)
	if n := len(r.Attempts); n > 0 {
		line("trained on", "%s", r.Attempts[n-1].Hardware)
	}
	if p := r.Provenance; p != nil {
		line("commit", "%s", p.Commit)
		for _, split := range []string{"train", "test"} {
			if digest, ok := p.Data[split]; ok {
				line(split+" images", "SHA-256 %s", digest)
			}
		}
	}
	line("weights", "SHA-256 %s", res.WeightsSHA256)
	if said := r.Remarks(); said != "" {
		fmt.Fprintf(&b, "\n%s\n", markdown(said))
	}
	b.WriteString("\nOne seed says little: compare the study's runs before you claim a difference.\n")
	return b.Bytes(), nil
}

// markdown escapes a text as one line that Markdown shows literally.
func markdown(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", "[", `\[`, "*", `\*`, "`", "\\`").Replace(text)
}
