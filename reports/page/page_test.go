package page

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ablate/arch"
	"ablate/experiments"
	"ablate/internal/golden"
	"ablate/reports"
)

const storedRecipe = `{"net": {"net": "tiny", "input": {"height": 8, "width": 8, "channels": 3}, "columns": 2,
"layers": [
{"conv": {"name": "conv1", "filters": 4, "kernel": 3, "init": {"kind": "he"}}}, {"relu": {"name": "relu1"}}, %s
{"conv": {"name": "conv2", "filters": 4, "kernel": 3, "within_column": true, "init": {"kind": "he"}}},
{"dense": {"name": "fc", "outputs": 2, "init": {"kind": "he"}}}, {"softmax_loss": {"name": "loss"}}]}}`

const lrn = `{"lrn": {"name": "norm1", "size": 3, "alpha": 0.1, "alpha_over_size": false, "beta": 0.75, "k": 1}},`

// study makes the records of a variant with errors by seed.
func study(name, layer string, errors ...float64) []experiments.Record {
	var rs []experiments.Record
	for i, e := range errors {
		r := experiments.Record{Study: "s", Variant: name, Seed: uint64(i + 1), Identity: "id",
			Recipe: []byte(fmt.Sprintf(storedRecipe, layer)),
			Params: 10, MACs: 1000, Status: experiments.Done,
			Attempts: []experiments.Attempt{{Hardware: "a CPU, 2 threads"}},
			Result: &experiments.Result{Epochs: 2, Top1Error: experiments.Number(e), TestExamples: 1000,
				ImagesPerSecond: experiments.Number(100 + 10*float64(i))},
			Provenance: &experiments.Provenance{Commit: "abc", Dirty: true, Go: "go1.26", OS: "linux", Arch: "amd64",
				Data: map[string]string{"test": "t1", "train": "t2"}, Command: []string{"ablate", "run", "s"}},
		}
		if layer == "" {
			r.Changes = []string{"− norm1"}
		}
		rs = append(rs, r)
	}
	return rs
}

func source(records []experiments.Record) Source {
	ramp := func(sign float32) experiments.Tensor {
		t := experiments.Tensor{Name: "conv1.weight.initial", Shape: []int{3, 3, 3, 4}, Data: make([]float32, 108)}
		for i := range t.Data {
			t.Data[i] = sign * float32(i-54)
		}
		return t
	}
	return Source{
		Records: records,
		Metrics: func(r experiments.Record) ([]experiments.Metric, error) {
			var log []experiments.Metric
			for epoch := 1; epoch <= 2; epoch++ {
				for _, name := range []string{"test_top1_error", "train_top1_error"} {
					v := float64(r.Result.Top1Error) + 0.1*float64(2-epoch)
					log = append(log, experiments.Metric{Epoch: epoch, Step: int64(10 * epoch), Name: name,
						Value: experiments.Number(v)})
				}
			}
			return log, nil
		},
		Filters: func(experiments.Record) (a, b experiments.Tensor, err error) { return ramp(1), ramp(-1), nil },
		Times: func(experiments.Record) (experiments.Times, error) {
			return experiments.Times{Hardware: "a CPU, 2 threads", Batch: 20, Kernels: []experiments.KernelTime{
				{Name: "conv{conv1}+relu", Seconds: 0.002}, {Name: "update{conv1.bias}", Seconds: 0.001},
				{Name: "dense{fc}", Seconds: 0.0005}}}, nil
		},
	}
}

func written(t *testing.T, records []experiments.Record, s Source) string {
	t.Helper()
	table, err := reports.Table("s", records, reports.Options{Speed: true})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Write(&b, table, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func sample() []experiments.Record {
	return slices.Concat(study("baseline", lrn, 0.2, 0.21, 0.19, 0.22, 0.2, 0.21, 0.2, 0.19),
		study("no-lrn", "", 0.25, 0.27, 0.24, 0.26, 0.26, 0.25, 0.26, 0.25))
}

// The page of known records, byte for byte.
func TestGolden(t *testing.T) {
	records := sample()
	got := written(t, records, source(records))
	golden.Check(t, filepath.Join("testdata", "sample.html"), got)
	slices.Reverse(records) // the order of records leaves no trace
	if again := written(t, records, source(records)); again != got {
		t.Error("records in another order make another page")
	}
}

// The picture of the differences is a file of its own: well-formed XML with its style inside.
func TestForest(t *testing.T) {
	table, err := reports.Table("s", sample(), reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteForest(&b, table); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, filepath.Join("testdata", "forest.svg"), b.String())
	for d := xml.NewDecoder(bytes.NewReader(b.Bytes())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(b.String(), ".mean.worse") || strings.Count(b.String(), `class="mean worse"`) != 1 {
		t.Error("the one variant that is worse is not drawn so")
	}
	// Inside a page it must not restyle it, and on any page it must be seen.
	for _, rule := range regexp.MustCompile(`(?m)^[^<{]+\{`).FindAllString(b.String(), -1) {
		for _, selector := range strings.Split(strings.TrimSuffix(rule, "{"), ",") {
			if !strings.HasPrefix(selector, ".ablate-forest") {
				t.Errorf("the picture's style has %q", selector)
			}
		}
	}
	if !strings.Contains(b.String(), `<rect class="paper" width="100%"`) {
		t.Error("the picture has no ground")
	}
	alone, err := reports.Table("s", study("baseline", lrn, 0.2), reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteForest(&b, alone); !errors.Is(err, reports.ErrOption) {
		t.Errorf("a study with nothing to compare: %v", err)
	}
}

// The page of several studies on data sets of their own, byte for byte: tables, differences, ranks.
func TestGoldenOfSeveral(t *testing.T) {
	var tables []*reports.Comparison
	for i, data := range []string{"cifar10", "mnist", "shapes"} {
		records := sample()
		for j := range records {
			r := &records[j]
			r.Study = "on-" + data
			r.Recipe = bytes.Replace(r.Recipe, []byte(`{"net"`), []byte(`{"data": {"name": "`+data+`"}, "net"`), 1)
			result := *r.Result
			result.Top1Error *= experiments.Number(1 + 0.1*float64(i))
			r.Result = &result
		}
		table, err := reports.Table("on-"+data, records, reports.Options{})
		if err != nil {
			t.Fatal(err)
		}
		tables = append(tables, table)
	}
	var b bytes.Buffer
	if err := WriteSeveral(&b, tables); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "Mean ranks over data sets") {
		t.Error("three data sets, and no ranks over them")
	}
	golden.Check(t, filepath.Join("testdata", "several.html"), b.String())
}

// The picture shows the intervals that the table does, unadjusted where that was asked for.
func TestUnadjustedForest(t *testing.T) {
	records := append(sample(), study("noise", "", 0.2, 0.22, 0.2, 0.22, 0.21, 0.21, 0.21, 0.2)...)
	pictures := map[bool]string{}
	for _, unadjusted := range []bool{false, true} {
		table, err := reports.Table("s", records, reports.Options{Unadjusted: unadjusted})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := WriteForest(&b, table); err != nil {
			t.Fatal(err)
		}
		pictures[unadjusted] = b.String()
	}
	line := regexp.MustCompile(`<line class="interval[^>]*>`)
	if slices.Equal(line.FindAllString(pictures[false], -1), line.FindAllString(pictures[true], -1)) ||
		!strings.Contains(pictures[true], "unadjusted intervals") || strings.Contains(pictures[false], "unadjusted") {
		t.Error("the picture does not show which intervals were asked for")
	}
}

// The page must show certain words for known records.
func TestContent(t *testing.T) {
	records := sample()
	page := written(t, records, source(records))
	for _, want := range []string{
		"<strong>worse</strong>", // the verdict stands in bold
		"− norm1",                // the removed layer is marked in the net
		"conv1.weight of baseline, column 2 of 2, after training",
		`<td class="right">3.00</td>`, // conv1: 2 ms and its bias's update
		"abc with changes that were not committed",
		"a ReLU that is fused counts",
		"Top-1 training error by epoch",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	// Two columns: two straight wires into each of relu1, norm1, conv2 and loss, and
	// four into fc, which reads both; without norm1, its dashed box keeps them.
	if n := strings.Count(page, `class="wire"`); n != 2*(4*2+4) {
		t.Errorf("%d wires, want 24", n)
	}
}

// withoutScript returns a page without its one script.
func withoutScript(t *testing.T, page string) string {
	t.Helper()
	before, after, found := strings.Cut(page, "<script>"+Script()+"</script>")
	if !found {
		t.Fatal("the page does not hold its script as it is")
	}
	return before + after
}

// Names stay words, whatever they contain, and the page refers to nothing outside itself.
func TestHostileNames(t *testing.T) {
	name := "<script>alert(1)</script>\"'& \u202e &lt; 变体"
	records := slices.Concat(study("baseline", lrn, 0.2, 0.3), study(name, "", 0.25, 0.35))
	for i := range records {
		records[i].Provenance.Command = []string{"<img src=x onerror=alert(1)>"}
		records[i].Attempts[0].Hardware = "</svg><script>"
	}
	page := withoutScript(t, written(t, records, source(records)))
	if strings.Contains(page, "<script") || strings.Contains(page, "<img src=x") {
		t.Error("a name has become markup")
	}
	if m := regexp.MustCompile(`(src|href)="(?:[^#d]|d[^a])`).FindString(page); m != "" {
		t.Errorf("the page refers to something outside: %s", m)
	}
}

// Odd records make a page that says what it could not show.
func TestOddRecords(t *testing.T) {
	bad := slices.Concat(study("baseline", lrn, 0.2), study("sound", lrn, 0.3))
	bad[0].Recipe = []byte(`{"net": 3}`)
	failing := Source{Records: bad,
		Metrics: func(experiments.Record) ([]experiments.Metric, error) { return nil, errors.New("log torn") },
		Filters: func(experiments.Record) (a, b experiments.Tensor, err error) { return a, b, errors.New("no weights") },
		Times: func(experiments.Record) (experiments.Times, error) {
			return experiments.Times{}, errors.New("no times")
		},
	}
	page := written(t, bad, failing)
	if !strings.Contains(page, "log torn") || !strings.Contains(page, "no times") ||
		!strings.Contains(page, "net of baseline") {
		t.Error("problems are not named")
	}
	one := study("only", lrn, math.NaN())
	one[0].Result.ImagesPerSecond = experiments.Number(math.Inf(1))
	written(t, one, source(one))
	running := study("baseline", lrn, 0.5)
	running[0].Status, running[0].Result = experiments.Running, nil
	written(t, running, Source{Records: running})
}

// Filters whose shapes do not fit the net's columns are an error, not a crash.
func TestFiltersOfNoUse(t *testing.T) {
	for _, shape := range [][]int{{3, 3, 3, 1}, {3, 3, 3, 0}, {0, 3, 3, 4}} {
		n := shape[0] * shape[1] * shape[2] * shape[3]
		if _, err := drawFilters(experiments.Tensor{Name: "conv1.weight", Shape: shape, Data: make([]float32, n)}, 0,
			2); err == nil {
			t.Errorf("shape %v is drawn for two columns", shape)
		}
	}
}

// Ticks are round, rise, lie within the scale and end, even where floats are sparse or huge.
func TestTicks(t *testing.T) {
	if d := cmp.Diff([]float64{-2, 0, 2, 4}, scale{from: -3, to: 5}.ticks(4)); d != "" {
		t.Error(d)
	}
	for _, s := range []scale{{from: 1e15, to: 1e15 + 0.125}, {from: -1e308, to: 1e308}, {from: 0, to: 5e-324},
		{from: 12.3, to: 12.4}, {from: 0.999, to: 1}} {
		ticks := s.ticks(6)
		if len(ticks) > 7 || !slices.IsSorted(ticks) {
			t.Errorf("%v to %v: %v", s.from, s.to, ticks)
		}
	}
}

// A variant has one colour on the whole page, also where another has no curve.
func TestColours(t *testing.T) {
	records := sample()
	s := source(records)
	history := s.Metrics
	s.Metrics = func(r experiments.Record) ([]experiments.Metric, error) {
		if r.Variant == "baseline" {
			return nil, nil
		}
		return history(r)
	}
	labels := regexp.MustCompile(`class="label (s\d) r1"[^>]*>no-lrn<`).FindAllStringSubmatch(written(t, records, s), -1)
	if len(labels) != 6 { // of two sets of curves and of the speeds, each for wide and narrow screens
		t.Errorf("no-lrn is labelled %d times, not 6", len(labels))
	}
	for _, label := range labels {
		if label[1] != "s1" {
			t.Errorf("no-lrn, the second row, is drawn in %s", label[1])
		}
	}
}

// Text and its background keep WCAG's contrast of 4.5 in both schemes.
func TestContrast(t *testing.T) {
	css, err := files.ReadFile("style.css")
	if err != nil {
		t.Fatal(err)
	}
	schemes := regexp.MustCompile(`(?s):root\{[^}]*\}`).FindAllString(string(css), -1)
	if len(schemes) != 2 {
		t.Fatalf("%d colour schemes", len(schemes))
	}
	for _, s := range schemes {
		colours := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z0-9-]+):#([0-9a-f]+)`).FindAllStringSubmatch(s, -1) {
			colours[m[1]] = luminance(t, m[2])
		}
		for name, l := range colours {
			if name == "paper" || name == "tint" || name == "line" {
				continue
			}
			for _, ground := range []string{"paper", "tint"} {
				if c := contrast(l, colours[ground]); c < 4.5 {
					t.Errorf("%s on %s has a contrast of %.2f", name, ground, c)
				}
			}
		}
	}
}

// luminance returns WCAG 2.2's relative luminance.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	var rgb [3]float64
	for i := range rgb {
		v, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(v) / 255
		if c <= 0.04045 {
			rgb[i] = c / 12.92
		} else {
			rgb[i] = math.Pow((c+0.055)/1.055, 2.4)
		}
	}
	return 0.2126*rgb[0] + 0.7152*rgb[1] + 0.0722*rgb[2]
}

func contrast(a, b float64) float64 { return (max(a, b) + 0.05) / (min(a, b) + 0.05) }

// In a browser: no word on the console, nothing wider than the window.
func TestBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: the page is not looked at in a browser")
	}
	records := sample()
	page := written(t, records, source(records))
	// The page allows no other script than its own; a copy without that rule measures itself.
	copied := regexp.MustCompile(`<meta http-equiv="Content-Security-Policy"[^>]*>`).ReplaceAllString(page, "")
	copied = strings.Replace(copied, "</body>",
		`<script>document.title = "widths " + document.documentElement.scrollWidth + " " + innerWidth</script></body>`, 1)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page.html"), []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(file string, width int) (dom, log string) { return opened(t, chromium, dir, file, width) }
	if _, log := run("page.html", 1400); strings.Contains(log, "CONSOLE") {
		t.Errorf("the console says:\n%s", log)
	}
	// Without the rule that forbids loads, nothing asks for any.
	if err := os.WriteFile(filepath.Join(dir, "free.html"), []byte(copied), 0o644); err != nil {
		t.Fatal(err)
	}
	run("free.html", 1400)
	if urls := requested(t, filepath.Join(dir, "net.json")); len(urls) > 0 {
		t.Errorf("the page asks for %q", urls)
	}
	// The log would show a request if there were one.
	asking := strings.Replace(copied, "</body>", `<img src="http://127.0.0.1:9/asked.png"></body>`, 1)
	if err := os.WriteFile(filepath.Join(dir, "asking.html"), []byte(asking), 0o644); err != nil {
		t.Fatal(err)
	}
	run("asking.html", 1400)
	if urls := requested(t, filepath.Join(dir, "net.json")); len(urls) == 0 {
		t.Error("the browser's log of requests does not show one that was made")
	}
	for _, width := range []int{360, 800, 1400} {
		// Headless Chromium has no window narrower than 500; a frame is a viewport of
		// its own, in which the style sheet's rules for narrow screens apply.
		frame := fmt.Sprintf(`<!DOCTYPE html><iframe width="%d" height="900" style="border:0" srcdoc="%s"></iframe>
<script>onload = () => document.title = document.querySelector("iframe").contentDocument.title</script>`, width,
			html.EscapeString(copied))
		if err := os.WriteFile(filepath.Join(dir, "frame.html"), []byte(frame), 0o644); err != nil {
			t.Fatal(err)
		}
		dom, _ := run("frame.html", 1500)
		m := regexp.MustCompile(`widths (\d+) (\d+)`).FindStringSubmatch(dom)
		if m == nil {
			t.Fatal("the copy did not measure itself")
		}
		content, _ := strconv.Atoi(m[1])
		window, _ := strconv.Atoi(m[2])
		if window != width {
			t.Fatalf("measured at %d, not %d", window, width)
		}
		if content > window {
			t.Errorf("at %d the page is %d wide", window, content)
		}
	}
}

// opened returns a file's elements after its scripts have run, and the browser's log.
func opened(t *testing.T, chromium, dir, file string, width int) (dom, log string) {
	t.Helper()
	cmd := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
		"--log-net-log="+filepath.Join(dir, "net.json"), "--user-data-dir="+filepath.Join(dir, "profile"),
		fmt.Sprintf("--window-size=%d,900", width), "--dump-dom", "file://"+filepath.Join(dir, file))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	return out.String(), errs.String()
}

// A reader sorts the table by its heads, back to its own order by the third click, and copies it as text.
func TestTableInABrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: nothing is sorted in a browser")
	}
	records := append(sample(), study("a-waiting", "", 0.3)[0])
	records[len(records)-1].Status, records[len(records)-1].Result = experiments.Running, nil
	dir := t.TempDir()
	page := written(t, records, source(sample()))
	if err := os.WriteFile(filepath.Join(dir, "page.html"), []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	if dom, _ := opened(t, chromium, dir, "page.html", 1400); !strings.Contains(dom, ">Copy as text</button>") {
		t.Error("the page's own rule does not let its script run")
	}
	driver := `<script>
Object.defineProperty(navigator, "clipboard", {value: {writeText: async words => { window.copied = words; }}});
const heads = [...document.querySelectorAll("#table .sort")], seen = [];
const rows = () => [...document.querySelectorAll("#table tbody th")];
const order = () => rows().map(th => th.firstChild.textContent.trim()).join();
for (const name of ["Δ [95 %]", "variant"]) for (let i = 0; i < 3; i++) {
  heads.find(h => h.textContent === name).click();
  seen.push(order());
}
heads.find(h => h.textContent.startsWith("Δ")).click();
document.querySelector("#table .copy").click();
document.title = JSON.stringify({seen, copied});
</script></body>`
	free := regexp.MustCompile(`<meta http-equiv="Content-Security-Policy"[^>]*>`).ReplaceAllString(page, "")
	if err := os.WriteFile(filepath.Join(dir, "driven.html"), []byte(strings.Replace(free, "</body>", driver, 1)),
		0o644); err != nil {
		t.Fatal(err)
	}
	dom, log := opened(t, chromium, dir, "driven.html", 1400)
	_, title, _ := strings.Cut(dom, "<title>")
	title, _, _ = strings.Cut(title, "</title>")
	var got struct {
		Seen   []string
		Copied string
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(title)), &got); err != nil {
		t.Fatalf("%v in %s\n%s", err, title, log)
	}
	// Rows without a difference come last in either order.
	want := []string{"no-lrn,baseline,a-waiting", "no-lrn,baseline,a-waiting", "baseline,a-waiting,no-lrn",
		"a-waiting,baseline,no-lrn", "no-lrn,baseline,a-waiting", "baseline,a-waiting,no-lrn"}
	if d := cmp.Diff(want, got.Seen); d != "" {
		t.Error(d)
	}
	golden.Check(t, filepath.Join("testdata", "copied.txt"), got.Copied)
}

// requested returns the addresses in a log of Chromium's network stack, except
// those of its own services. Files are not requests there.
func requested(t *testing.T, log string) []string {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var urls []string
	for _, m := range regexp.MustCompile(`"url":"((?:https?|wss?)://[^"]*)"`).FindAllStringSubmatch(string(text), -1) {
		if !regexp.MustCompile(`^https?://[^/]*\b(google|googleapis|gvt1|gstatic|chromium)\.`).MatchString(m[1]) &&
			!slices.Contains(urls, m[1]) {
			urls = append(urls, m[1])
		}
	}
	return urls
}

// Labels are measured: none is cut if there is room, and a cut label is marked.
func TestLabelsFit(t *testing.T) {
	if got := fit("no-lrn", textWidth("no-lrn")); got != "no-lrn" {
		t.Errorf("%q is cut though it fits", got)
	}
	for _, words := range []string{"no-dropout+no-overlapping-pooling", "WWWWWWWWWWWW", "iiiiiiiiiiiiiiiiiiiiiiiiiiiiiii",
		"\u901a\u901a\u901a\u901a\u901a"} {
		got := fit(words, 60)
		if got == words || !strings.HasSuffix(got, "\u2026") || textWidth(got) > 60 {
			t.Errorf("%q is cut to %q of width %.1f", words, got, textWidth(got))
		}
	}
}

// A narrow screen shows only the first columns: they must hold the result.
func TestVerdictComesFirst(t *testing.T) {
	records := sample()
	page := written(t, records, source(records))
	table := page[strings.Index(page, "<thead>"):]
	if !strings.HasPrefix(table, `<thead><tr><th scope="col">variant</th><th scope="col">verdict</th><th scope="col">Δ`) {
		t.Errorf("the table begins with %.200s", table)
	}
}

// Each variant's box hides the variant's drawings by style alone.
func TestCurvesAreToggled(t *testing.T) {
	records := sample()
	page := written(t, records, source(records))
	for _, want := range []string{
		`<input type="checkbox" id="row-1" checked> no-lrn`, "#curves:has(#row-1:not(:checked)) .r1{display:none}",
		`class="curve s1 d0 r1"`, "<title>no-lrn, epoch 2: ",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %s", want)
		}
	}
}

// The second half of the epochs has a picture of its own, in which the end is not squeezed by the beginning.
func TestLateCurves(t *testing.T) {
	var log []experiments.Metric
	for e := 1; e <= 10; e++ {
		log = append(log, experiments.Metric{Epoch: e, Name: "test_top1_error", Value: experiments.Number(1 / float64(e))})
	}
	curves := []Curve{{Name: "v", Metric: "test_top1_error", Logs: [][]experiments.Metric{log}}}
	late := string(DrawCurves(curves, curveKinds[1].Axes))
	if !strings.Contains(late, "v, epoch 5: 20 (") || strings.Contains(late, "epoch 4:") {
		t.Errorf("not the epochs from 5 to 10: %s", late)
	}
	curves[0].Logs[0] = log[:2]
	if DrawCurves(curves, curveKinds[1].Axes) != "" {
		t.Error("two epochs have a second half")
	}
}

// Several studies share a page: a table and a picture each, and the ranks over their data sets.
func TestSeveralStudies(t *testing.T) {
	table, err := reports.Table("s", sample(), reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other := *table
	other.Study, other.Data = "other", "other data"
	var b bytes.Buffer
	if err := WriteSeveral(&b, []*reports.Comparison{table, &other}); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"2 data sets together", "critical difference", `id="ranks"`, "<h3>other</h3>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, `id="curves"`) {
		t.Error("curves of one study stand on a page of two")
	}
}

// Bars join variants that lie no further apart than the critical difference; only the largest sets have bars (Demšar
// 2006, figure 1).
func TestJoined(t *testing.T) {
	var rows []reports.AcrossRow
	for _, rank := range []float64{1.2, 1.9, 2.4, 4.5} {
		rows = append(rows, reports.AcrossRow{Rank: rank})
	}
	for critical, want := range map[float64][][2]int{1: {{0, 1}, {1, 2}}, 1.2: {{0, 2}}, 3: {{0, 2}, {1, 3}}, 0.1: nil} {
		if got := joined(rows, critical); !slices.Equal(got, want) {
			t.Errorf("critical difference %v: %v, want %v", critical, got, want)
		}
	}
}

// A net that is not a chain has wires that pass the layers which do not read them.
func TestDrawingOfResidualNet(t *testing.T) {
	wires := func(shortcut string) int {
		net, err := arch.Nets.Load("resnet-20")
		if err != nil {
			t.Fatal(err)
		}
		for l := range net.All() {
			if r, ok := l.Spec.(*arch.Residual); ok {
				r.Shortcut = shortcut
			}
		}
		placed, err := net.Infer()
		if err != nil {
			t.Fatal(err)
		}
		d := newDrawing(net, placed)
		return strings.Count(string(d.draw("baseline", d)), "wire")
	}
	// Nine blocks, each with three strokes around its layers.
	if with, without := wires(arch.ShortcutPad), wires(arch.ShortcutNone); with != without+9*(3+1) {
		t.Errorf("%d wires with shortcuts, %d without", with, without)
	}
}
