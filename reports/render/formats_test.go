package render

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"html"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"go.yaml.in/yaml/v3"

	"ablate/experiments"
	"ablate/reports"
)

// tables returns comparisons of all sorts, by name.
func tables(t *testing.T) map[string]*reports.Comparison {
	t.Helper()
	all := map[string]*reports.Comparison{}
	for name, c := range map[string]struct {
		study   string
		records []experiments.Record
		opts    reports.Options
	}{
		"eight":      {"cifar10-norm", eight(), reports.Options{Speed: true}},
		"troubled":   {"cifar10-norm", troubled(), reports.Options{}},
		"odd":        {"odd|study_*", oddNames(), reports.Options{}},
		"one":        {"cifar10-norm", slices.Concat(baseline8[:1], noLRN8[:1]), reports.Options{Predictions: twoNets}},
		"machines":   {"cifar10-norm", twoMachines(), reports.Options{Speed: true}},
		"factorial":  {"cifar10-norm", factorial(), reports.Options{}},
		"unadjusted": {"cifar10-norm", factorial(), reports.Options{Unadjusted: true}},
		"matrix":     {"cifar10-norm", factorial(), reports.Options{Shape: reports.Matrix}},
		"cumulative": {"cifar10-norm", factorial(), reports.Options{Shape: reports.Cumulative}},
		"loss":       {"cifar10-norm", eight(), reports.Options{Metric: "test_loss"}},
	} {
		table, err := reports.Table(c.study, c.records, c.opts)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = table
	}
	return all
}

func rendered(t *testing.T, c *reports.Comparison, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Render(&b, c, format); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestJSONFollowsItsSchema(t *testing.T) {
	schema := compileSchema(t)
	for name, table := range tables(t) {
		text := rendered(t, table, "json")
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The schema must refuse something.
	for _, bad := range []string{`{}`, `{"format": "ablate-report", "version": 2}`} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(v) == nil {
			t.Errorf("the schema lets %s pass", bad)
		}
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// JSON keeps names as they are and figures to the last bit.
func TestJSONKeepsFigures(t *testing.T) {
	var got struct {
		Rows []struct {
			Variant string
			Value   struct{ Mean float64 }
			Delta   *struct {
				P        float64 `json:"p"`
				Adjusted float64 `json:"p_adjusted"`
				Mean     float64
			}
		}
	}
	all := tables(t)
	if err := json.Unmarshal(rendered(t, all["eight"], "json"), &got); err != nil {
		t.Fatal(err)
	}
	for i, r := range all["eight"].Rows {
		g := got.Rows[i]
		if g.Variant != r.Variant || g.Value.Mean != r.Error.Mean {
			t.Errorf("row %d: %+v, want %v of mean %v", i, g, r.Variant, r.Error.Mean)
		}
		if r.Delta != nil && (g.Delta.P != r.Delta.P || g.Delta.Adjusted != r.Delta.Adjusted ||
			g.Delta.Mean != r.Delta.Mean) {
			t.Errorf("row %d: %+v, want %+v", i, *g.Delta, *r.Delta)
		}
	}
	if err := json.Unmarshal(rendered(t, all["odd"], "json"), &got); err != nil {
		t.Fatal(err)
	}
	for i, r := range all["odd"].Rows {
		if want := strings.ToValidUTF8(r.Variant, "\ufffd"); got.Rows[i].Variant != want {
			t.Errorf("the name %q came out as %q", want, got.Rows[i].Variant)
		}
	}
}

func TestCSVKeepsFigures(t *testing.T) {
	table := tables(t)["eight"]
	lines, err := csv.NewReader(bytes.NewReader(rendered(t, table, "csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	figure := func(line []string, head string) float64 {
		v, err := strconv.ParseFloat(line[slices.Index(lines[0], head)], 64)
		if err != nil {
			t.Fatalf("%s: %v", head, err)
		}
		return v
	}
	for i, r := range table.Rows[1:] {
		line := lines[i+2]
		for head, want := range map[string]float64{
			"test_top1_error_mean": r.Error.Mean, "test_top1_error_sd": r.Error.SD, "delta": r.Delta.Mean,
			"delta_low": r.Delta.Interval.Low, "p_adjusted": r.Delta.Adjusted, "images_per_second": r.Speeds[0].ImagesPerSecond,
		} {
			if got := figure(line, head); got != want {
				t.Errorf("%s of %s is %v, want %v", head, r.Variant, got, want)
			}
		}
	}
}

// Every format's rows are whole, whatever the names contain.
func TestCSVOfOddNames(t *testing.T) {
	for name, table := range tables(t) {
		lines, err := csv.NewReader(bytes.NewReader(rendered(t, table, "csv"))).ReadAll()
		if err != nil {
			t.Errorf("%s: %v", name, err) // a line of another length is an error too
		} else if want := len(table.Rows) + len(table.Effects); len(lines) != 1+want {
			t.Errorf("%s: %d lines, want a head and %d", name, len(lines), want)
		}
	}
}

func TestModelIndex(t *testing.T) {
	for name, table := range tables(t) {
		var got struct {
			Collections []map[string]any `yaml:"Collections"`
			Models      []struct {
				Name    string `yaml:"Name"`
				Results []struct {
					Metrics map[string]float64 `yaml:"Metrics"`
				} `yaml:"Results"`
			} `yaml:"Models"`
		}
		if err := yaml.Unmarshal(rendered(t, table, "metafile"), &got); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(got.Collections) != 1 || len(got.Models) != len(table.Rows) {
			t.Errorf("%s: %d collections, %d models", name, len(got.Collections), len(got.Models))
		}
		for i, r := range table.Rows {
			if got.Models[i].Name != reports.Sanitize(r.Variant) {
				t.Errorf("%s: model %q, want %q", name, got.Models[i].Name, reports.Sanitize(r.Variant))
			}
			if (r.Error.K > 0) != (len(got.Models[i].Results) == 1) {
				t.Errorf("%s: model %q of %d runs has %d results", name, r.Variant, r.Error.K, len(got.Models[i].Results))
			}
		}
		if a := got.Models[0].Results[0].Metrics["Top 1 Accuracy"]; name == "eight" && math.Abs(a-87.6925) > 1e-9 {
			t.Errorf("Top 1 Accuracy %v, want 87.6925", a)
		}
	}
}

// Rendered by the rules of GitHub-flavoured Markdown, each cell shows the words it was made from.
func TestMarkdownShowsItsWords(t *testing.T) {
	gfm := goldmark.New(goldmark.WithExtensions(extension.GFM))
	cells := regexp.MustCompile(`(?s)<t[dh](?: [^>]*)?>(.*?)</t[dh]>`)
	tags := regexp.MustCompile(`</?strong>`)
	for name, table := range tables(t) {
		var page bytes.Buffer
		if err := gfm.Convert(rendered(t, table, "md"), &page); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range cells.FindAllStringSubmatch(page.String(), -1) {
			got = append(got, html.UnescapeString(tags.ReplaceAllString(m[1], "")))
		}
		d, err := New(table)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, d := range append([]Table{d}, d.More...) {
			for _, c := range d.Columns {
				want = append(want, c.Head)
			}
			for _, r := range d.Rows {
				for _, c := range r {
					text := c.Text
					if len(c.Marks) > 0 {
						text += " " + marks(c.Marks)
					}
					want = append(want, text)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: the page shows\n%q\nwant\n%q", name, got, want)
		}
		claims := slices.ContainsFunc(table.Rows, func(r reports.Row) bool { return r.Delta.Claims() })
		if bold := strings.Contains(page.String(), "<strong>"); bold != claims {
			t.Errorf("%s: bold is %v, claims are %v", name, bold, claims)
		}
	}
}

// compiles sets tables in an article and fails if TeX refuses them. It returns TeX's output. Without pdflatex only the
// golden files guard them.
func compiles(t *testing.T, preamble string, tables ...[]byte) string {
	t.Helper()
	pdflatex, err := exec.LookPath("pdflatex")
	if err != nil {
		t.Skip("pdflatex is missing: Debian has it in texlive-latex-base, siunitx in texlive-science")
	}
	paper := "\\documentclass{article}\n" + preamble + "\\usepackage{booktabs}\n\\usepackage{siunitx}\n\\begin{document}\n"
	for _, table := range tables {
		paper += string(table) + "\n\\clearpage\n"
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "paper.tex"), []byte(paper+"\\end{document}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var said []byte
	for range 2 { // the second run reads what captions left in paper.aux
		c := exec.Command(pdflatex, "-interaction=nonstopmode", "-halt-on-error", "paper.tex")
		c.Dir = dir
		if said, err = c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said[max(0, len(said)-3000):])
		}
	}
	return string(said)
}

// texts returns some of the tables in LaTeX.
func texts(t *testing.T, names ...string) [][]byte {
	t.Helper()
	all := tables(t)
	var b [][]byte
	for _, name := range names {
		b = append(b, rendered(t, all[name], "tex"))
	}
	return b
}

// overfull fails if TeX had to set anything into the margin.
func overfull(t *testing.T, said string) {
	t.Helper()
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "Overfull \\hbox") {
			t.Error(strings.TrimSpace(line))
		}
	}
}

// A table for a paper must compile.
func TestLatexCompiles(t *testing.T) {
	compiles(t, "\\usepackage[a3paper,landscape]{geometry}\n",
		texts(t, "eight", "troubled", "odd", "one", "factorial", "matrix", "loss")...)
}

// In an article as LaTeX sets it, 345 points wide, no table reaches into the margin, whether or not the article loads
// threeparttable. Verdicts once fell off the page, 580 to 670 points beyond it.
func TestLatexFitsThePage(t *testing.T) {
	for _, notes := range []string{"", "\\usepackage{threeparttable}\n"} {
		t.Run(notes, func(t *testing.T) {
			if err := exec.Command("kpsewhich", "threeparttable.sty").Run(); err != nil && notes != "" {
				t.Skip("threeparttable is missing: Debian has it in texlive-latex-extra")
			}
			overfull(t, compiles(t, notes, texts(t, "eight", "troubled", "one", "factorial", "loss")...))
		})
	}
}

// Taken apart by TeX's rules, escaped words hold no sign that TeX would act on.
func TestLatexEscapes(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`a\b`, `a\textbackslash{}b`}, {"50 % & #1 of $x_{2}^3~",
			`50 \% \& \#1 of \$x\_\{2\}\textasciicircum{}3\textasciitilde{}`},
		{"−0.17 ± 2", `$-$0.17 $\pm$ 2`}, {"it's 'quoted'", `it's \textquotesingle{}quoted\textquotesingle{}`},
		{"--set", `-{}-set`}, {"Größe", "Größe"}, {"通", `\ablateunicode{901A}{通}`}, {"ð", `\ablateunicode{00F0}{ð}`},
		{"[a]*", `{[}a]{*}`}, {"\u2068שלום\u2069"[:3] + "x", "x"},
	} {
		if got := latex(c.in); got != c.want {
			t.Errorf("latex(%q) = %s, want %s", c.in, got, c.want)
		}
	}
}

// A record may come from anywhere, and a spreadsheet runs any cell that begins like a formula.
func TestCSVHoldsNoFormulas(t *testing.T) {
	var b bytes.Buffer
	lines := [][]string{{"=HYPERLINK(1)", "@SUM(1)", "+cmd", "-2+3", "-0.25", "+1e9", "", "a=b", "\u2212 norm1"}}
	if err := writeCells(&b, lines); err != nil {
		t.Fatal(err)
	}
	if want := "'=HYPERLINK(1),'@SUM(1),'+cmd,'-2+3,-0.25,+1e9,,a=b,\u2212 norm1\n"; b.String() != want {
		t.Errorf("%s", b.String())
	}
}
